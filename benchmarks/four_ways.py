"""The study of TS-Rec's four ways with all layers of a pretrained model, its seeds side by side on one GPU.

    BACKBONE=SmolLM2-135M-Instruct.Q4_1.gguf python benchmarks/four_ways.py --store STORE

One process a seed runs `experiments/studies/pretrained-ways.toml` in bfloat16 over one store; then the study is put
together: a table with intervals, curves, steps to 90 % of plain's best. After `--minutes` what still runs is stopped;
the same command goes on where it was. `--steps 20` stops each process at its first validation, which it puts after
about so many steps, and prints it: a check on a CPU before GPU time is spent.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

STUDY = Path(__file__).parents[1] / "experiments" / "studies" / "pretrained-ways.toml"
_STEP = re.compile(r"step (\d+) of (\d+): .*")
_GRACE = 60


def main() -> int:
    """Run the seeds, then the whole study; return 1 where a process failed or the time was over."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--layers", type=int, default=30, help="layers that are kept; SmolLM2-135M has 30")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--steps-per-epoch", type=int, default=856, help="of the experiment, for --steps")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="further settings")
    given = parser.parse_args()
    sets = [f"backbone.keep_layers={given.layers}", "model.training.precision=bfloat16", *given.set]
    if given.steps:
        often = max(1, round(given.steps_per_epoch / given.steps))
        sets += [f"model.training.evals_per_epoch={often}", "model.training.validation_users=20"]
    end = time.monotonic() + 60 * given.minutes
    given.store.mkdir(parents=True, exist_ok=True)
    logs = {seed: given.store / f"seed-{seed}.log" for seed in given.seeds}
    running = {seed: start(given.store, [seed], sets, logs[seed]) for seed in given.seeds}
    ended = {seed: wait(process, logs[seed], end, given.steps) for seed, process in running.items()}
    for seed, how in ended.items():
        print(f"seed {seed}: {how}; {logs[seed]}")
    if given.steps:
        return int(not all(how.startswith("step") for how in ended.values()))
    if any(how != "done" for how in ended.values()):
        return 1
    return subprocess.run(command(given.store, given.seeds, sets)).returncode


def command(store: Path, seeds: list[int], sets: list[str]) -> list[str]:
    """Return the command of the study with some of its seeds."""
    options = [part for each in (f"seeds={seeds}", *sets) for part in ("--set", each)]
    out = store / ("study-" + "-".join(map(str, seeds)))
    return [
        sys.executable,
        "-m",
        "lexirec.cli",
        "study",
        str(STUDY),
        "--store",
        str(store),
        "--out",
        str(out),
        *options,
    ]


def start(store: Path, seeds: list[int], sets: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start the study with some of its seeds; it writes into a log."""
    with log.open("wb") as out:
        return subprocess.Popen(command(store, seeds, sets), stdout=out, stderr=subprocess.STDOUT)


def wait(process: subprocess.Popen[bytes], log: Path, end: float, steps: int) -> str:
    """Wait for a process; return how it ended: done, failed, out of time, or the line of its first validation."""
    while process.poll() is None:
        time.sleep(0.5)
        found = _STEP.search(log.read_text(encoding="utf-8")) if steps else None
        if found or time.monotonic() > end:
            process.terminate()
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
            return found[0] if found else "out of time, the same command goes on"
    return "done" if process.returncode == 0 else f"failed with status {process.returncode}"


if __name__ == "__main__":
    sys.exit(main())
