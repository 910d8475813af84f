"""Tracebacks of unexpected errors, written to a file so that the terminal shows one line."""

from __future__ import annotations

import os
import platform
import tempfile
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from lexirec.core.environment import versions


def write_traceback(error: BaseException, command: Sequence[str]) -> str:
    """Write the traceback of an error, with the command and the versions, and return where it is.

    It goes into `$XDG_STATE_HOME/lexirec` (by default `~/.local/state/lexirec`), else into the folder of temporary
    files; where neither can be written, the text itself is returned.
    """
    known = ", ".join(f"{name} {version}" for name, version in versions().items())
    trace = "".join(traceback.format_exception(error))
    text = f"{' '.join(command)}\n{platform.platform()}; {known}\n\n{trace}"
    name = f"error-{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.getpid()}.txt"
    for folder in (_state_folder(), Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / name
            path.touch(mode=0o600)
            path.write_text(text, encoding="utf-8", errors="backslashreplace")
        except (OSError, RuntimeError):  # RuntimeError: a user without a home
            continue
        return str(path)
    return f"nowhere, as no file can be written: {text}"


def _state_folder() -> Path:
    given = os.environ.get("XDG_STATE_HOME")
    return Path(given or "~/.local/state").expanduser() / "lexirec"
