"""A store with the small experiment and, under the name `seeded`, three seeds of its memory that differ a little."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from lexirec.core.runs import RunRecord, Stage, record
from lexirec.core.store import Store
from lexirec.evaluation.evaluator import Report
from tests.worlds.small_run import experiment, small_run


def seeded_store(root: Path) -> Store:
    small, done = small_run()
    store = Store(root)
    (store.root / "evaluation").mkdir()
    for step in done.stages.values():
        if step.kind == "evaluation":
            store.path(step.kind, step.key).symlink_to(step.folder)
    record(store, "small", experiment(), list(done.stages.values()))
    for seed in (0, 1, 2):
        record(store, "seeded", experiment(seed=seed), [done.stage("baselines.memory"), _shifted(store, done, seed)])
    assert small.root != store.root
    return store


def _shifted(store: Store, done: RunRecord, seed: int) -> Stage:
    step = replace(done.stage("evaluation.memory"), key=str(seed) * 64)
    step = replace(step, folder=store.path(step.kind, step.key))
    found = Report.load(done.stage("evaluation.memory").folder / "excluded")
    ranks = np.where(np.arange(len(found.ranks)) % 40 == seed, 1, found.ranks)
    replace(found, ranks=ranks).save(step.folder / "excluded")
    return step
