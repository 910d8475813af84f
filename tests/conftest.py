from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("busy", deadline=None)  # how long an example takes says more about the machine
settings.load_profile("busy")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real data sets; skips the test where it is absent."""
    folder = Path(os.environ.get("LEXIREC_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not (folder / "beauty" / "items.parquet").exists():
        pytest.skip(f"the real data are not at {folder} (set LEXIREC_DATA)")
    return folder


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Undo what a command sets up: its level would hide messages from later tests, its handler is closed with it."""
    logger = logging.getLogger("lexirec")
    level, handlers, propagate = logger.level, list(logger.handlers), logger.propagate
    yield
    logger.setLevel(level)
    logger.handlers[:], logger.propagate = handlers, propagate


@pytest.fixture(scope="session", autouse=True)
def _what_is_imported_is_no_garbage() -> Iterator[None]:
    """Training ends with a garbage collection, which costs more than all of a small training: half of it is spared."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def lexirec(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Return what runs a command and returns its exit status, output and messages."""
    from lexirec import cli

    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            cli.main([str(argument) for argument in arguments])
        found = capsys.readouterr()
        return int(stopped.value.code or 0), found.out, found.err

    return call
