"""Run the code of pages and write down what it prints: `python docs/generators/tutorial.py docs/tutorials/*-*.md`.

Blocks run in order in one empty folder: `python` blocks in one namespace, the lines of `sh` blocks as calls of the
command line in this process. A block with `title="FILE"` is not run but written to that file. What a block prints is
shown by the `text` block behind it, below a comment that says which part and how exactly it is repeated elsewhere:

    <!-- output -->                                  all of it, the same everywhere
    <!-- output: from "recall@10" first 8 varies --> eight lines from that text on; figures differ between machines
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lexirec import cli
from lexirec.core.progress import quiet

WIDTH = 100
"""Columns of the terminal in which the output is shown."""
_BLOCK = re.compile(
    r"(?:^<!-- output(?P<how>[^\n]*?) -->\n)?"
    r'^```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<body>.*?)^```$',
    re.MULTILINE | re.DOTALL,
)
_NUMBER = re.compile(r"-?\d*\.?\d+(?:e-?\d+)?")
CUT = "…"


class Shown(NamedTuple):
    """What a page shows of the output of a block.

    Attributes:
        text: The lines shown.
        printed: Those lines as they were printed this time.
        varies: Whether figures and names may differ from one machine to another.
        span: Where the text stands in the page.
        line: The line of the page on which it begins.
    """

    text: str
    printed: str
    varies: bool
    span: tuple[int, int]
    line: int

    @property
    def agrees(self) -> bool:
        """Whether what is shown is what was printed; of what varies the first line, figures apart."""
        shown, printed = (_lines(text) for text in (self.text, self.printed))
        if self.varies:
            return [_NUMBER.sub("0", line) for line in shown[:1]] == [_NUMBER.sub("0", line) for line in printed[:1]]
        return shown == printed


def run_tutorial(page: str, folder: Path) -> Iterator[Shown]:
    """Run a page's blocks in a folder; yield what it shows of their output beside what they printed.

    Raises:
        SystemExit: a command failed; the message names it.
    """
    namespace: dict[str, object] = {"__name__": "__main__"}
    printed = ""
    with contextlib.chdir(folder), _terminal(), quiet():
        for block in _BLOCK.finditer(page):
            language, title, body = block["language"], block["title"], block["body"]
            line = page.count("\n", 0, block.start()) + 1
            if title:
                Path(title).write_text(body, encoding="utf-8")
            elif language == "python":
                printed = _printed_by_python(body, namespace, line)
            elif language == "sh":
                printed = _printed_by_commands(body)
            elif language == "text" and block["how"] is not None:
                yield Shown(body, _part(printed, block["how"]), "varies" in block["how"], block.span("body"), line)


@contextlib.contextmanager
def _terminal() -> Iterator[None]:
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = str(WIDTH)
    try:
        yield
    finally:
        os.environ.pop("COLUMNS") if before is None else os.environ.update(COLUMNS=before)


def _printed_by_python(body: str, namespace: dict[str, object], line: int) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile("\n" * line + body, "tutorial", "exec"), namespace)
    return out.getvalue()


def _printed_by_commands(body: str) -> str:
    out = io.StringIO()
    for written in body.replace("\\\n", " ").splitlines():
        command = shlex.split(written, comments=True)
        if not command:
            continue
        assert command[0] == "lexirec", written
        with contextlib.redirect_stdout(out):
            try:
                cli.main(["--quiet", *command[1:]])
            except SystemExit as end:
                if end.code not in (0, None):
                    raise SystemExit(f"failed: {written}\n{out.getvalue()}") from None
    return out.getvalue()


def _part(printed: str, how: str) -> str:
    """Return the lines of an output that a page shows."""
    lines = textwrap.dedent(printed).rstrip().splitlines()
    while lines and not lines[0].strip():
        del lines[0]
    lines = [line.rstrip() for line in lines]
    start = re.search(r'from "([^"]+)"', how)
    first = next((place for place, line in enumerate(lines) if start[1] in line), 0) if start else 0
    most = re.search(r"first (\d+)", how)
    last = min(len(lines), first + int(most[1])) if most else len(lines)
    kept = [*([CUT] if first else []), *lines[first:last], *([CUT] if last < len(lines) else [])]
    return "\n".join(kept) + "\n"


def _lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if line.strip() not in ("", CUT)]


def rewritten(page: str) -> str:
    """Return a page with the output that its blocks print now."""
    with tempfile.TemporaryDirectory() as folder:
        for shown in reversed(list(run_tutorial(page, Path(folder)))):
            page = page[: shown.span[0]] + shown.printed + page[shown.span[1] :]
    return page


def main(paths: list[str]) -> None:
    """Bring the outputs of some tutorials up to date."""
    for path in map(Path, paths):
        path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
