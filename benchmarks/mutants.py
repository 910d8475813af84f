"""Do the tests notice when an important line is wrong? Each mutant changes one line, and the named tests must fail.

    python benchmarks/mutants.py                    all mutants of mutants.toml, one after the other
    python benchmarks/mutants.py --jobs 4           four at a time
    python benchmarks/mutants.py 'beam-*' holm      those whose names match

A mutant in `mutants.toml` has a name, what is wrong with it, a file below `src/lexirec`, the old text (which occurs
exactly once in that file), the new text, and the tests that should fail. Sources and tests are copied into a scratch
folder, so the working tree stays as it is. First the tests run without a mutant and have to pass. Prints a table, and
exits with 1 where fewer than 38 of 40 mutants are killed or one cannot be run, with 2 where the tests fail anyway.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Literal

ROOT = Path(__file__).resolve().parents[1]
TABLE = Path(__file__).with_suffix(".toml")
LEAST = 38 / 40
"""Share of the mutants that has to be killed."""
SECONDS = 1200
"""Time for the tests of one mutant; a mutant that makes them hang is killed, too."""
COPIED = ("src", "tests")
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)

Outcome = Literal["killed", "survived", "broken"]


@dataclass(frozen=True)
class Mutant:
    """One wrong line.

    Attributes:
        name: unique, in lower case with dashes.
        wrong: what it does wrong.
        file: path below `src/lexirec`.
        old: text of the file, found exactly once.
        new: text in its place.
        tests: files of tests, below `tests`, of which one should fail.
    """

    name: str
    wrong: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def source(self) -> Path:
        """Path of the changed file, below the root."""
        return Path("src/lexirec") / self.file

    def places(self, root: Path = ROOT) -> int:
        """Return how often the old text occurs in the file."""
        return (root / self.source).read_text(encoding="utf-8").count(self.old)


@dataclass(frozen=True)
class Trial:
    """What became of a mutant: outcome, the test that failed first (or why it is broken), and seconds."""

    mutant: Mutant
    outcome: Outcome
    by: str
    seconds: float


def mutants(patterns: Sequence[str] = ()) -> list[Mutant]:
    """Read the table; with patterns, the mutants whose names match one of them."""
    rows = tomllib.loads(TABLE.read_text(encoding="utf-8"))["mutant"]
    found = [Mutant(**{**row, "tests": tuple(row["tests"])}) for row in rows]
    return [each for each in found if not patterns or any(fnmatch.fnmatch(each.name, one) for one in patterns)]


def scratch_copy(folder: Path) -> Path:
    """Copy sources and tests into a folder; everything else that tests may read is linked."""
    for path in ROOT.iterdir():
        if path.name in COPIED:
            shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        elif not path.name.startswith("."):
            (folder / path.name).symlink_to(path)
    return folder


def run_tests(folder: Path, tests: Sequence[str]) -> tuple[int, str]:
    """Run test files of a copy until one test fails; return the exit status (124 after too long) and the output."""
    # byte code is not kept: a file that changes twice within a second would be taken for the one compiled before
    settings = {"PYTHONPATH": str(folder / "src"), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-o", "timeout=0", *(f"tests/{each}" for each in tests)]
    try:
        done = subprocess.run(
            command, cwd=folder, env=os.environ | settings, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return 124, ""
    return done.returncode, done.stdout + done.stderr


def try_mutant(mutant: Mutant, folder: Path) -> Trial:
    """Change the line in a copy, run the tests, and put the line back."""
    path, started = folder / mutant.source, time.monotonic()
    if mutant.places(folder) != 1:
        return Trial(mutant, "broken", f"the old text occurs {mutant.places(folder)} times", 0.0)
    kept = path.read_text(encoding="utf-8")
    try:
        path.write_text(kept.replace(mutant.old, mutant.new), encoding="utf-8")
        status, output = run_tests(folder, mutant.tests)
    finally:
        path.write_text(kept, encoding="utf-8")
    failed = _FAILED.search(output)
    seconds = time.monotonic() - started
    if status == 124:
        return Trial(mutant, "killed", f"no end after {SECONDS} s", seconds)
    if status == 1 and failed:
        return Trial(mutant, "killed", failed[1].removeprefix("tests/"), seconds)
    if status == 0:
        return Trial(mutant, "survived", "", seconds)
    return Trial(mutant, "broken", output.strip().splitlines()[-1] if output.strip() else f"status {status}", seconds)


def try_all(chosen: Sequence[Mutant], jobs: int) -> Iterator[Trial]:
    """Try mutants, `jobs` at a time, each in a copy of its own; yields the trials in the order of the table."""
    with tempfile.TemporaryDirectory(prefix="lexirec-mutants-") as temporary:
        free: SimpleQueue[Path] = SimpleQueue()
        for number in range(jobs):
            folder = Path(temporary) / str(number)
            folder.mkdir()
            free.put(scratch_copy(folder))

        def one(mutant: Mutant) -> Trial:
            folder = free.get()
            try:
                return try_mutant(mutant, folder)
            finally:
                free.put(folder)

        with ThreadPoolExecutor(jobs) as workers:
            yield from workers.map(one, chosen)


def passes_without(chosen: Sequence[Mutant]) -> str | None:
    """Run all named tests without a mutant; return the output where one fails."""
    tests = sorted({test for mutant in chosen for test in mutant.tests})
    with tempfile.TemporaryDirectory(prefix="lexirec-mutants-") as temporary:
        folder = scratch_copy(Path(temporary))
        # file by file: all of them together may take longer than the tests of any mutant
        for test in tests:
            status, output = run_tests(folder, [test])
            if status:
                return output or f"{test}: no end after {SECONDS} s"
    return None


def line(trial: Trial) -> str:
    """Return the row of a trial in the table."""
    mutant = trial.mutant
    return f"{trial.outcome:8}  {trial.seconds:5.0f} s  {mutant.name:28} {mutant.file:42} {trial.by or mutant.wrong}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the chosen mutants and print the table; return the exit status."""
    parser = argparse.ArgumentParser(description="Break important lines, one at a time, and see whether tests notice.")
    parser.add_argument("names", nargs="*", help="mutants, or patterns of their names; by default all")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time")
    parser.add_argument("--skip-check", action="store_true", help="do not run the tests without a mutant first")
    given = parser.parse_args(arguments)
    chosen = mutants(given.names)
    if not chosen:
        print(f"no mutant is named {' or '.join(given.names)}; {TABLE.name} has the names", file=sys.stderr)
        return 1
    failure = None if given.skip_check else passes_without(chosen)
    if failure is not None:
        print(f"{failure}\n\nthese tests fail without any mutant; mend them first", file=sys.stderr)
        return 2
    trials = []
    for trial in try_all(chosen, max(1, given.jobs)):
        print(line(trial), flush=True)
        trials.append(trial)
    counts = {outcome: sum(each.outcome == outcome for each in trials) for outcome in ("killed", "survived", "broken")}
    print(f"{len(trials)} mutants: " + ", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    return 0 if counts["killed"] >= LEAST * len(trials) and not counts["broken"] else 1


if __name__ == "__main__":
    sys.exit(main())
