"""The lines of README and docs that ask the service run against one."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving.live import LiveService, saved_shop

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "docs/service.md")


def lines(page: str) -> list[str]:
    return re.findall(r"^curl .*$", (ROOT / page).read_text("utf-8"), re.MULTILINE)


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_the_lines_with_curl_and_the_python_run(tmp_path):
    with LiveService(saved_shop(tmp_path / "model"), tmp_path) as service:
        for page in PAGES:
            assert lines(page), page
            for line in lines(page):
                command = shlex.split(
                    line.replace("http://localhost:8000", service.url).replace("localhost:8000", service.url)
                )
                run = subprocess.run([*command, "--fail-with-body"], capture_output=True, text=True)
                assert run.returncode == 0, f"{line}\n{run.stdout}"
                json.loads(run.stdout)
        code = re.search(r"```python\n(.*?)```", (ROOT / "docs/service.md").read_text("utf-8"), re.DOTALL)
        assert code is not None
        text = code[1].replace("http://127.0.0.1:8000", service.url) + "\nassert answer.items\n"
        subprocess.run([sys.executable, "-c", text], check=True, env=service.environment)
