"""Cache of a labelling model's answers: an append-only JSON-lines file that survives interruptions."""

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
    """One attempt at one question, a line of the cache.

    Attributes:
        key: Digest of the question, the model and all else that determines its answer.
        about: Subject of the question, for readers of the file: a token, or a token under a prefix.
        model: Name of the model.
        text: The unchanged reply; None without one.
        reason: Why the reply is unusable; None if it is usable.
        input_tokens: Input tokens as counted by the model.
        output_tokens: Output tokens.
        check: Digest of all of the above, which tells a damaged line; None in lines of earlier versions.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    about: str
    model: str
    text: str | None = None
    reason: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    check: str | None = None

    def written(self) -> bytes:
        """Return the line as it is stored."""
        return self.model_copy(update={"check": self._digest()}).model_dump_json(exclude_none=True).encode()

    def whole(self) -> bool:
        """Say whether the line is what was written."""
        return self.check is None or self.check == self._digest()

    def _digest(self) -> str:
        values = self.model_dump(mode="json", exclude={"check"})
        return question_key(values)[:16]


def question_key(parts: dict[str, Any]) -> str:
    """Return the SHA-256 of all that determines an answer."""
    canonical = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode(errors="surrogatepass")).hexdigest()


def make_folder(folder: Path) -> None:
    """Create the folder of the cache and check that it is writable.

    Raises:
        DataError: it is not.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).touch()
    except OSError as error:
        raise DataError(
            f"the model's answers cannot be kept in {folder} ({error.strerror}); give a writable folder"
        ) from None


class AnswerFile:
    """`answers.jsonl` of a folder, open for appending by several threads of one process.

    A line is on disk when `add` returns. A line that an interruption left incomplete stays in the file, ended by a line
    break, and is skipped by `lines`, as are lines that were changed later.
    """

    def __init__(self, folder: Path) -> None:
        """Open the file, or create it."""
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
        """Yield all complete lines, oldest first."""
        torn = 0
        with self.path.open("rb") as file:
            for line in file:
                try:
                    answer = AnswerLine.model_validate_json(line)
                except ValidationError:
                    torn += bool(line.strip())
                    continue
                if answer.whole():
                    yield answer.model_copy(update={"check": None})
                else:
                    torn += 1
        if torn:
            _log.warning("%s: skipped %d incomplete or damaged lines", self.path, torn)

    def add(self, line: AnswerLine) -> None:
        """Append a line and wait until it is on disk."""
        with self._lock:
            self._append(line.written() + b"\n")

    def _append(self, content: bytes) -> None:
        while content:
            content = content[os.write(self._descriptor, content) :]
        os.fsync(self._descriptor)
