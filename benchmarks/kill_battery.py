"""Battery of disturbances: runs that are killed, damaged and fed with changing files must end as if they had not been.

    python benchmarks/kill_battery.py
    python benchmarks/kill_battery.py --kills 40 --seed 1

One small experiment of each family (GRAM, TS-Rec with reinforcement) runs undisturbed first. Then the same experiments
run again and are killed (`kill -9`) at random moments. Before some kills a table is changed, and changed back behind
it; after some, a file of the unfinished stage's saved progress is cut, altered or deleted. The same command follows
until the run is finished; its metrics, its ranks and its weights must equal the undisturbed ones exactly, and every
stored file its digest. Then the next run begins. Prints a line per disturbance, and one JSON object; the exit status is
1 after any difference. One thread throughout (`OMP_NUM_THREADS=1`), about ten minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lexirec.core.manifest import read_manifest, verify
from lexirec.core.runs import evaluations, find_run
from lexirec.core.store import PROGRESS, Store
from lexirec.data.toy_shop.shop import toy_shop
from lexirec.evaluation.evaluator import Report

FAMILIES = ("gram", "tsrec")
BARE = """
extends = "lexirec:toy-{family}.toml"
baselines = {{}}
[data]
kind = "tables"
items = "items.parquet"
interactions = "interactions.parquet"
text = ["title", "brand", "categories", "description"]
"""
EXPERIMENT = """
extends = "bare-{family}.toml"
[baselines.sasrec]
kind = "sasrec"
dimensions = 16
training = {{ epochs = 6 }}
[model.training]
epochs = 2
checkpoints_per_epoch = 5
validation_users = 60
[evaluation]
ks = [5, 10]
{more}
"""
MORE = {"gram": "", "tsrec": "[reinforcement.training]\ncases = 96\nvalidation_users = 60\n"}
_MOST_FAILURES = 5
_BEGUN = r"{}: (?:started|resumed|reused)"
_TRAINED = ("model", "reinforced", "backbone", "baselines.sasrec")
_TOOK = r"(\S+): done in ([0-9.]+) s"
INPUTS = ("none", "none", "changed, then killed", "changed and changed back", "touched")
DAMAGES = ("none", "cut", "cut", "altered", "deleted")


@dataclass
class Result:
    """What a finished run must have equal: metrics and ranks by recommender and treatment, digests of weights."""

    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    ranks: dict[str, list[int]] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)

    def differences(self, other: Result) -> list[str]:
        """Name what differs from another result."""
        named = {"metrics": self.metrics, "ranks": self.ranks, "weights": self.weights}
        rest = {"metrics": other.metrics, "ranks": other.ranks, "weights": other.weights}
        return [name for name, mine in named.items() if mine != rest[name]]


def result_of(store: Store, family: str) -> Result:
    """Return the result of an experiment's newest run, and check every file of its stages."""
    run, result = find_run(store, family), Result()
    for name, folder in evaluations(run).items():
        for seen in ("excluded", "included"):
            report = Report.load(folder / seen, lists=False)
            result.metrics[f"{name} {seen}"] = dict(report.metrics)
            result.ranks[f"{name} {seen}"] = report.ranks.tolist()
    for stage in run.stages.values():
        verify(stage.folder)
        files = read_manifest(stage.folder).files
        result.weights |= {
            f"{stage.name} {file}": files[file].sha256 for file in files if file.endswith(".safetensors")
        }
    return result


@dataclass
class Battery:
    """The folder with both experiments, the random numbers, and what has been found."""

    folder: Path
    random: random.Random
    wholes: dict[str, Result] = field(default_factory=dict)
    seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    kills: int = 0
    rounds: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def table(self) -> Path:
        """The table that is changed."""
        return self.folder / "interactions.parquet"

    def prepare(self) -> None:
        """Write the tables and the experiments, and run each undisturbed."""
        toy_shop(seed=0, items=120, shoppers=150).write(self.folder)
        self.content = self.table.read_bytes()
        toy_shop(seed=1, items=120, shoppers=150).write(self.folder / "other")
        self.other = (self.folder / "other" / "interactions.parquet").read_bytes()
        for family in FAMILIES:
            (self.folder / f"bare-{family}.toml").write_text(BARE.format(family=family), encoding="utf-8")
            text = EXPERIMENT.format(family=family, more=MORE[family])
            (self.folder / f"{family}.toml").write_text(text, encoding="utf-8")
            started = time.monotonic()
            status, said = self.finish(family, "whole")
            if status:
                raise SystemExit(f"the undisturbed run of {family} fails: {said}")
            took = time.monotonic() - started
            self.seconds[family] = {name: float(seconds) for name, seconds in re.findall(_TOOK, self.log())}
            self.wholes[family] = result_of(Store(self.folder / "whole"), family)
            print(f"{family}: undisturbed in {took:.0f} s", flush=True)

    def start(self, family: str, store: str) -> subprocess.Popen[str]:
        """Start the command that runs an experiment."""
        command = [sys.executable, "-m", "lexirec.cli", "run", f"{family}.toml", "--store", store]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "log.txt").open("w", encoding="utf-8"),
            text=True,
        )

    def log(self) -> str:
        """Return what the last command has logged so far."""
        return (self.folder / "log.txt").read_text("utf-8")

    def finish(self, family: str, store: str) -> tuple[int, str]:
        """Run an experiment to its end; return the exit status and the last line of the log."""
        status = self.start(family, store).wait()
        return status, (self.log().splitlines() or [""])[-1]

    def stages(self, family: str, count: int) -> list[str]:
        """Choose stages to be killed in, in the order in which they run; those that train more often."""
        names = list(self.seconds[family])
        weights = [5 if name.startswith(_TRAINED) else 1 for name in names]
        return sorted(self.random.choices(names, weights, k=count), key=names.index)

    def disturb(self, family: str, store: str, stage: str) -> str:
        """Run an experiment, change its table and kill it, each at a random moment; return what was done."""
        change = self.random.choice(INPUTS)
        seconds = self.random.uniform(0, 1.2 * self.seconds[family][stage])
        process = self.start(family, store)
        if change != "none":
            first = self.random.choice(sorted({"data", stage}))
            self._wait(process, first, self.random.uniform(0, self.seconds[family].get(first, 1.0)))
            if change == "touched":
                os.utime(self.table)
            else:
                self.table.write_bytes(self.other)
            if change == "changed and changed back":
                self._sleep(process, self.random.uniform(0, 1))
                self.table.write_bytes(self.content)
        self._wait(process, stage, seconds)
        alive = process.poll() is None
        process.kill()
        status = process.wait()
        if self.table.read_bytes() != self.content:
            self.table.write_bytes(self.content)
        self.kills += alive
        self.counts[f"table {change}"] += change != "none"
        return f"table {change}; {self._ending(family, alive, status)}"

    def _wait(self, process: subprocess.Popen[str], stage: str, seconds: float) -> None:
        """Wait until a stage has begun, or is there already, and so many seconds more, or until the end."""
        begun = re.compile(_BEGUN.format(re.escape(stage)))
        while process.poll() is None and not begun.search(self.log()):
            time.sleep(0.01)
        self._sleep(process, seconds)

    def _sleep(self, process: subprocess.Popen[str], seconds: float) -> None:
        until = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.005)

    def _ending(self, family: str, alive: bool, status: int) -> str:
        stages = re.findall(_BEGUN.format(r"(\S+)"), self.log())
        last = (self.log().splitlines() or [""])[-1]
        if alive:
            return f"killed in {stages[-1] if stages else 'the imports'}"
        if status == 0:
            return "finished before the kill"
        if "changed" in last:
            self.counts["stopped by the change of a table"] += 1
            return "stopped: a table changed"
        self.failures.append(f"{family}: exit status {status}: {last}")
        return f"FAILED with {last}"

    def damage(self, store: str) -> str:
        """Damage a random file of saved progress; return what was done."""
        how = self.random.choice(DAMAGES)
        files = [path for path in sorted((self.folder / store).glob(f"*/.*.partial/{PROGRESS}/**/*")) if path.is_file()]
        if how == "none" or not files:
            return "nothing damaged"
        path = self.random.choice(files)
        content = bytearray(path.read_bytes())
        if how == "deleted":
            path.unlink()
        elif how == "cut" or not content:
            path.write_bytes(content[: self.random.randrange(len(content) or 1)])
        else:
            content[self.random.randrange(len(content))] ^= 1 << self.random.randrange(8)
            path.write_bytes(content)
        self.counts[f"progress {how}"] += 1
        return f"{path.relative_to(self.folder / store).parts[0]}/{path.name} {how}"

    def compare(self, family: str, store: str) -> None:
        """Finish a run that was disturbed and compare it with the undisturbed one."""
        status, said = self.finish(family, store)
        if status:
            self.failures.append(f"{family}: exit status {status}: {said}")
            print(f"  {family} FAILED: {said}", flush=True)
            return
        wrong = result_of(Store(self.folder / store), family).differences(self.wholes[family])
        left = list((self.folder / store).glob("*/.*.partial"))
        self.rounds += 1
        if wrong or left:
            self.failures.append(f"{family}: other {', '.join(wrong)}" if wrong else f"{family}: {left[0]} is left")
        print(f"  {family} finished: {'DIFFERENT ' + ', '.join(wrong) if wrong else 'equal'}", flush=True)


def main() -> None:
    """Run the battery and print what it found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=int, default=5, help="kills of one run")
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kill-battery-") as folder:
        battery = Battery(Path(folder), random.Random(options.seed))
        battery.prepare()
        number = 0
        while battery.kills < options.kills and len(battery.failures) < _MOST_FAILURES:
            family, store = FAMILIES[number % len(FAMILIES)], f"store-{number}"
            number += 1
            for stage in battery.stages(family, min(options.most, options.kills - battery.kills)):
                done = battery.disturb(family, store, stage)
                print(f"{battery.kills:>3} {family}: {done}; {battery.damage(store)}", flush=True)
                if "before the kill" in done:
                    break
            battery.compare(family, store)
        summary: dict[str, Any] = {
            "kills": battery.kills,
            "runs compared": battery.rounds,
            "disturbances": dict(sorted(battery.counts.items())),
            "failures": battery.failures,
            "seconds": round(time.monotonic() - started),
        }
    print(json.dumps(summary, indent=2))
    raise SystemExit(1 if battery.failures else 0)


if __name__ == "__main__":
    main()
