"""Offline reports of the store: a list, and their files, which are shown without any right of their own."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from lexirec.core.runs import RUNS, newest_run, run_names
from lexirec.core.store import Store
from lexirec.serving.problems import ProblemError
from lexirec.serving.schemas.workbench import ReportAnswer, ReportFile

STUDIES = "studies"
MEDIA = {".html": "text/html", ".md": "text/markdown", ".svg": "image/svg+xml", ".png": "image/png"}
PAGE, TEXT = "report.html", "report.md"
VALID_SECONDS = 3600.0
"""Seconds for which an address of a file needs no key: frames and pictures cannot send one."""
LARGEST_BYTES = 32_000_000


class Tickets:
    """Signs addresses of files for a while, with a secret that the process makes at its start."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """Make the secret; the clock returns seconds since 1970."""
        self._secret, self._clock = secrets.token_bytes(32), clock

    def issue(self, path: str) -> str:
        """Return a ticket for an address."""
        # one ticket for half an hour, so that an address stays the same and a page is not loaded anew
        until = int((self._clock() // (VALID_SECONDS / 2) + 2) * (VALID_SECONDS / 2))
        return f"{until}-{self._sign(path, until)}"

    def holds(self, path: str, ticket: str | None) -> bool:
        """Say whether a ticket is valid for an address."""
        until, _, signature = (ticket or "").partition("-")
        if not until.isdecimal() or len(until) > 12 or int(until) < self._clock():
            return False
        return hmac.compare_digest(signature.encode(), self._sign(path, int(until)).encode())

    def _sign(self, path: str, until: int) -> str:
        return hmac.new(self._secret, f"{until}\n{path}".encode(), hashlib.sha256).hexdigest()[:32]


class Reports:
    """The reports of a store."""

    def __init__(self, store: Store, tickets: Tickets) -> None:
        """Read from a store."""
        self._store, self._tickets = store, tickets

    def all(self) -> Iterator[ReportAnswer]:
        """Yield all reports by name: those of experiments' newest runs, then those of studies."""
        for name in run_names(self._store):
            run = newest_run(self._store, name)
            folder = self._folder("run", name)
            if run is not None and folder is not None:
                yield self._answer("run", name, folder, run.finished)
        for path in sorted((self._store.root / STUDIES).glob(f"[!.]*/{PAGE}")):
            yield self._answer("study", path.parent.name, path.parent, None)

    def file(self, kind: str, name: str, file: str) -> tuple[bytes, str]:
        """Return the content and the media type of a file of a report.

        Raises:
            ProblemError: there is no such report, or it has no such file.
        """
        folder = self._folder(kind, name)
        found = None if folder is None else next((each for each in _files(folder) if each.name == file), None)
        if found is None:
            raise ProblemError("not-found", f"there is no file '{file[:100]}' of a report '{name[:100]}' of the store")
        return found.read_bytes(), MEDIA[found.suffix]

    def _folder(self, kind: str, name: str) -> Path | None:
        """Return the folder of a report; None where there is none, or the name leads elsewhere."""
        parent = self._store.root / (RUNS if kind == "run" else STUDIES)
        if name not in {path.name for path in parent.glob("[!.]*")}:
            return None
        if kind == "study":
            return parent / name
        run = newest_run(self._store, name)
        stage = run.stages.get("report") if run is not None else None
        return stage.folder if stage is not None and stage.folder.is_dir() else None

    def _answer(self, kind: str, name: str, folder: Path, finished: str | None) -> ReportAnswer:
        files = {path.name: self._file(kind, name, path) for path in _files(folder)}
        return ReportAnswer.model_validate(
            {
                "name": name,
                "kind": kind,
                "finished": finished,
                "page": files.get(PAGE),
                "text": files.get(TEXT),
                "figures": tuple(each for file, each in files.items() if file not in (PAGE, TEXT)),
            }
        )

    def _file(self, kind: str, name: str, path: Path) -> ReportFile:
        url = f"/v1/reports/{kind}/{quote(name, safe='')}/{quote(path.name, safe='')}"
        ticket = self._tickets.issue(f"{kind}/{name}/{path.name}")
        size = path.stat().st_size
        return ReportFile(name=path.name, media_type=MEDIA[path.suffix], bytes=size, url=f"{url}?ticket={ticket}")


def _files(folder: Path) -> list[Path]:
    """Return the files that may be shown: no links that lead elsewhere, nothing that is too large."""
    shown = []
    for path in sorted(folder.iterdir()):
        known = path.suffix in MEDIA and path.name != "summary.md" and not path.is_symlink() and path.is_file()
        # a figure is there twice; the drawing is sharper at every size
        if known and not (path.suffix == ".png" and path.with_suffix(".svg").is_file()):
            shown += [path] if path.stat().st_size <= LARGEST_BYTES else []
    return shown
