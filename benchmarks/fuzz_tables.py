"""Fuzz of `init` and the readers: thousands of tables as people have them, whose truth is known by construction.

    python benchmarks/fuzz_tables.py --tables 2000 --seed 0

Each pair of tables goes through `lexirec init`, `plan` and `run --until data`; what was read is compared with what the
tables mean. Prints the outcomes by kind as JSON, with an example of each that is wrong, and exits 1 if any was a crash
or silently wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.worlds.people_tables import Shape, certain, kinds, outcome, shapes, write

BY = ("time", "ids", "noise", "categories", "items_file", "events_file", "extra", "missing")


def fuzz(
    tables: int, start: int, log: Path | None
) -> tuple[Counter[str], dict[str, dict[str, Counter[str]]], list[str]]:
    """Return the outcomes, by kind of table, and examples of wrong ones."""
    total: Counter[str] = Counter()
    by: dict[str, dict[str, Counter[str]]] = {name: defaultdict(Counter) for name in BY}
    examples: list[str] = []
    began = time.monotonic()

    @seed(start)
    @settings(
        max_examples=tables, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(shapes())
    def one(shape: Shape) -> None:
        with tempfile.TemporaryDirectory() as folder:
            truth = write(shape, Path(folder))
            found = outcome(truth, Path(folder))
        kind: str = found.kind
        if kind == "refused" and certain(shape):
            kind = "refused though certain"
        if kind == "said" and shape.time != "none":
            kind = "times not seen"
        total[kind] += 1
        for name in BY:
            by[name][kinds(shape)[name]][kind] += 1
        if kind not in ("right", "refused", "said"):
            examples.append(f"{kind}: {shape} {found.words[:400]}")
            if log is not None:
                with log.open("a", encoding="utf-8") as out:
                    out.write(examples[-1] + "\n")
        if sum(total.values()) % 100 == 0:
            sys.stderr.write(f"{sum(total.values())} tables, {time.monotonic() - began:.0f} s: {dict(total)}\n")

    one()
    return total, by, examples


def main() -> None:
    """Fuzz and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, help="append wrong outcomes to this file while they are found")
    given_arguments = parser.parse_args()
    total, by, examples = fuzz(given_arguments.tables, given_arguments.seed, given_arguments.log)
    wrong = {kind: total[kind] for kind in total if kind.startswith("wrong") or kind in ("crash", "times not seen")}
    table = {name: {value: dict(counts) for value, counts in sorted(values.items())} for name, values in by.items()}
    print(json.dumps({"outcomes": dict(total), "by": table, "examples": examples[:20]}, indent=1, ensure_ascii=False))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
