"""Raw files of a data set: found in a folder or its zip file, read line by line, copied in UTF-8."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from lexirec.core.errors import DataError

if TYPE_CHECKING:
    from lexirec.data.importers.base import Conversion

Row = dict[str, Any]
T = TypeVar("T")

_CHUNK = 2**22
_FREELY = 2**30
"""Bytes that any archive may unpack to; a larger content must not be more than `_RATIO` times the archive."""
_RATIO = 100


def find_file(folder: Path, expected: str, matches: Callable[[str], bool]) -> Path:
    """Return the one file of a folder whose name matches.

    Raises:
        DataError: There is none, or more than one.
    """
    candidates = find_files(folder, expected, matches)
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise DataError(f"{folder}: there is no {expected} in this folder.")
    names = ", ".join(path.name for path in candidates)
    raise DataError(f"{folder}: several files could be the {expected}: {names}; leave one of them in the folder.")


def find_files(folder: Path, expected: str, matches: Callable[[str], bool]) -> list[Path]:
    """Return the files of a folder whose names match, by name.

    Raises:
        DataError: This is no folder.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: this is no folder; give the folder with {expected}.")
    return sorted(path for path in folder.iterdir() if path.is_file() and matches(path.name))


def optional_file(folder: Path, expected: str, matches: Callable[[str], bool]) -> Path | None:
    """Return the one file of a folder whose name matches, or None.

    Raises:
        DataError: There are several.
    """
    return find_file(folder, expected, matches) if find_files(folder, expected, matches) else None


def lines(conversion: Conversion, path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a text file (plain, .gz or .zst) that are not blank, with their numbers from 1."""
    with conversion.work.unpacked(path).open("rb") as content:
        for number, line in enumerate(content, start=1):
            if line.strip():
                yield number, line


def records(conversion: Conversion, path: Path, parse: Callable[[bytes], T]) -> Iterator[T]:
    """Yield what `parse` makes of each line of a text file (plain, .gz or .zst).

    Raises:
        DataError: A line cannot be parsed, unless bad rows are rejected.
    """
    for number, line in lines(conversion, path):
        try:
            record = parse(line)
        except (ValueError, TypeError, AttributeError, SyntaxError, RecursionError, MemoryError) as error:
            refuse(conversion, path, number, line, f"malformed line ({type(error).__name__})")
            continue
        yield record


def refuse(conversion: Conversion, path: Path, number: int, line: bytes, reason: str) -> None:
    """Reject one line with its reason, or raise an error.

    Raises:
        DataError: `on_bad_row` is "error".
    """
    text = line.decode("utf-8", "replace").strip()
    if conversion.rejects.on_bad_row == "error":
        shown = text if len(text) <= 60 else f"{text[:60]}…"
        raise DataError(f'{path}, line {number}: {reason} in {shown!r}; on_bad_row = "reject" skips such lines.')
    row = {"file": str(path), "row": number, "column": "", "value": text, "reason": reason}
    conversion.rejects.add(pa.Table.from_pylist([row]))


def in_utf8(conversion: Conversion, path: Path) -> Path:
    """Return the file itself where it is UTF-8, else a copy that is, read as Windows-1252 (which holds Latin-1).

    The five bytes that Windows-1252 leaves undefined are read as Latin-1 has them.
    """
    plain = conversion.work.unpacked(path)
    if _is_utf8(plain):
        return plain
    target = conversion.work.folder / f"utf8-{len(list(conversion.work.folder.iterdir()))}"
    with plain.open("rb") as content, target.open("w", encoding="utf-8", newline="") as out:
        while block := content.read(_CHUNK):
            try:
                out.write(block.decode("cp1252"))
            except UnicodeDecodeError:
                out.write(block.decode("latin-1"))
    return target


def _is_utf8(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8", newline="") as content:
            while content.read(_CHUNK):
                pass
    except UnicodeDecodeError:
        return False
    return True


def unzipped(conversion: Conversion, archive: Path, wanted: Callable[[str], bool]) -> list[Path]:
    """Unpack the wanted files of a zip file and return the folders that hold them, by name.

    Args:
        conversion: The import; files are unpacked into its scratch folder.
        archive: The zip file.
        wanted: Whether a file of that name (without folders) is needed.

    Raises:
        DataError: The archive is damaged, encrypted or far larger than its size says, holds none of the files, or
            names places outside of it.
    """
    target = conversion.work.folder / f"zip-{archive.name}"
    try:
        with zipfile.ZipFile(archive) as packed:
            members = [each for each in packed.infolist() if not each.is_dir() and wanted(_base(each.filename))]
            _check_size(archive, sum(member.file_size for member in members), conversion.work.folder)
            for member in members:
                place = target / _inside(archive, member.filename)
                place.parent.mkdir(parents=True, exist_ok=True)
                with packed.open(member) as content, place.open("wb") as out:
                    shutil.copyfileobj(content, out, _CHUNK)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise DataError(f"{archive}: the archive cannot be opened ({error}); fetch it again.") from error
    return sorted({(target / _inside(archive, member.filename)).parent for member in members})


def _base(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).name


def _inside(archive: Path, name: str) -> Path:
    """Return the relative path of a member; an error for one that leaves the folder it is unpacked into."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise DataError(f"{archive}: the archive names a place outside of it ({name!r}); fetch it from its publisher.")
    return Path(*path.parts)


def _check_size(archive: Path, size: int, folder: Path) -> None:
    packed = archive.stat().st_size
    if size > max(_FREELY, _RATIO * packed):
        raise DataError(
            f"{archive}: {packed:,} bytes would unpack to {size:,}, more than {_RATIO} times as many, which no table"
            " of a data set does; fetch the archive from its publisher."
        )
    if size > shutil.disk_usage(folder).free:
        raise DataError(f"{archive}: unpacking needs {size:,} bytes in {folder}; set TMPDIR to a disk with that space.")


def batches(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """Yield rows in lists of at most `size`."""
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
