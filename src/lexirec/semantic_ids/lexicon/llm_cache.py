"""Everything a teacher ever answered: JSON lines that are only appended to, and survive a kill at any moment."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from lexirec.core.errors import DataError

FILE = "answers.jsonl"
_log = logging.getLogger(__name__)


class AnswerLine(BaseModel):
    """One attempt at one question.

    Attributes:
        key: Digest of the question, of the model and of what else shapes its answers.
        about: What was asked about, for people: a token, or a token under a prefix.
        model: Who was asked.
        text: What came back, as it came; None when nothing did.
        reason: Why it could not be used; None when it could.
        input_tokens: Tokens asked, as the teacher counts.
        output_tokens: Tokens answered.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    about: str
    model: str
    text: str | None = None
    reason: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0


def question_key(parts: dict[str, Any]) -> str:
    """Return the SHA-256 of what determines an answer."""
    canonical = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode(errors="surrogatepass")).hexdigest()


def make_folder(folder: Path) -> None:
    """Make sure that answers can be kept in a folder.

    Raises:
        DataError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).touch()
    except OSError as error:
        raise DataError(f"a teacher's answers cannot be kept in {folder} ({error.strerror}); give another") from None


class AnswerFile:
    """`answers.jsonl` in a folder, open for appending; several threads may write, one process at a time.

    A line is on the disk when `add` returns. A line that a kill has torn is passed over by `lines` and stays where it
    is, with a line break after it.
    """

    def __init__(self, folder: Path) -> None:
        """Open the file, which is made if there is none."""
        self.path = folder / FILE
        self._lock = threading.Lock()
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        size = os.fstat(self._descriptor).st_size
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
            self._append(b"\n")

    def __enter__(self) -> Self:
        """Return the file."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def lines(self) -> Iterator[AnswerLine]:
        """Yield all whole lines, oldest first."""
        torn = 0
        with self.path.open("rb") as file:
            for line in file:
                try:
                    yield AnswerLine.model_validate_json(line)
                except ValidationError:
                    torn += bool(line.strip())
        if torn:
            _log.warning("%s: %d torn lines passed over", self.path, torn)

    def add(self, line: AnswerLine) -> None:
        """Append a line and wait until it is on the disk."""
        with self._lock:
            self._append(line.model_dump_json(exclude_none=True).encode(errors="backslashreplace") + b"\n")

    def _append(self, content: bytes) -> None:
        while content:
            content = content[os.write(self._descriptor, content) :]
        os.fsync(self._descriptor)
