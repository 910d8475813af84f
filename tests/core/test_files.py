from __future__ import annotations

import os
import subprocess
import sys

from lexirec.core.files import read_json, write_json


def test_what_a_killed_process_left_behind_is_removed(tmp_path):
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    abandoned = tmp_path / f".run[1].json.{int(dead.stdout)}.partial"
    of_another = tmp_path / f".other.json.{int(dead.stdout)}.partial"
    alive = tmp_path / f".run[1].json.{os.getppid()}.partial"
    for path in (abandoned, of_another, alive):
        path.write_text("{")
    write_json(tmp_path / "run[1].json", {"a": 1})
    assert read_json(tmp_path / "run[1].json") == {"a": 1}
    assert not abandoned.exists()
    assert of_another.exists()
    assert alive.exists()
