"""False alarms and detections of the audit's check `memorised-targets`, on toy shops with and without planted leaks.

    python benchmarks/leak_probe.py --shops 20 --kinds item-knn,ease,als
    python benchmarks/leak_probe.py --shops 4 --kinds gram --epochs 4

Every recommender is fitted on the training part ("honest"), on whole histories with validation and test targets
("whole"), on the training rows with the test target behind each ("test"), and on the training rows with the histories
of the test cases, which hold validation targets ("histories").
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lexirec.core.config import validate_settings
from lexirec.core.progress import quiet
from lexirec.core.store import Store
from lexirec.data.catalog import Catalog
from lexirec.data.neighbors import Neighbors
from lexirec.data.ranking import Recommender
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Split
from lexirec.models.baselines.base import BaselineInputs
from lexirec.models.baselines.recommender import ScoreRecommender
from lexirec.models.baselines.registry import BASELINES
from lexirec.models.gram.recommender import GramInputs, GramRecommender
from lexirec.pipeline.experiment import Experiment, load_experiment
from lexirec.pipeline.graph import VERSIONS, walk
from lexirec.pipeline.runner import StageRunner, StopRequested
from lexirec.pipeline.stages import models
from lexirec.pipeline.stages.data import load_catalog, load_split
from lexirec.pipeline.visible import visible
from lexirec.semantic_ids.identifiers.identifiers import Identifiers
from lexirec.workflows.audit.evidence import Evidence
from lexirec.workflows.audit.findings import NotLookedError
from lexirec.workflows.audit.memorised_targets import advantages, judged, kept

LEAKS = ("honest", "whole", "test", "histories")


def planted(split: Split, leak: str) -> Sequences:
    """Return training rows with held-out events."""
    if leak == "histories":
        return Sequences.concatenate([split.train, split.test.histories])
    folds = {"honest": (), "whole": (split.validation, split.test), "test": (split.test,)}[leak]
    rows = [split.train.row(i).tolist() for i in range(len(split.train))]
    for cases in folds:
        for row, target in zip(np.searchsorted(split.train_users, cases.users), cases.targets, strict=True):
            rows[row].append(int(target))
    return Sequences.from_lists(rows)


def baseline(kind: str, catalog: Catalog, split: Split, rows: Sequences) -> Recommender:
    """Fit a baseline on the given rows."""
    scorer = BASELINES[kind]
    settings = (scorer.options or scorer.settings_class)()
    readers: dict[str, Any] = {"texts": catalog.texts, "times": lambda: None}
    return ScoreRecommender(
        catalog, scorer.fitted(settings, BaselineInputs(rows, len(catalog), split.validation, None, readers))
    )


def gram(experiment: Experiment, store: Store, split: Split, rows: Sequences) -> Recommender:
    """Train the experiment's GRAM on the given rows."""
    planned = StageRunner(store, VERSIONS, act=False)
    walk(experiment, planned)
    stages = {stage.name: stage for stage in planned.stages}
    inputs = visible("model", {name: stages[name] for name in ("data", "tokenizer", "identifiers", "neighbors")})
    assert experiment.backbone is not None
    given = GramInputs(Identifiers.load(inputs["identifiers"]), Neighbors.load(inputs["neighbors"]))
    backbone = models._backbone(experiment.backbone, 0, inputs)
    model = GramRecommender.build(Catalog.load(inputs["catalog"]), backbone, given, experiment.model)  # type: ignore[arg-type]
    return model.fit(rows, validation=split.validation)


def worlds(arguments: argparse.Namespace, store: Store) -> Iterator[tuple[int, Experiment, Catalog, Split]]:
    """Yield a toy shop per seed, with an experiment on it."""
    for shop in range(arguments.first, arguments.first + arguments.shops):
        changes = {"products": arguments.products, "shoppers": arguments.shoppers, "shop_seed": shop}
        overrides = [f"data.{name}={value}" for name, value in changes.items()]
        overrides += [
            "baselines={}",
            f"model.training.epochs={arguments.epochs}",
            "model.training.validation_users=150",
        ]
        experiment = load_experiment("lexirec:toy-gram.toml", [*overrides, *arguments.set])
        runner = StageRunner(store, VERSIONS, until="neighbors" if "gram" in arguments.kinds else "data")
        with contextlib.suppress(StopRequested):
            walk(experiment, runner)
        data = runner.stages[0].folder
        yield shop, experiment, load_catalog(data), load_split(data)


def main() -> None:
    """Fit, plant, look, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shops", type=int, default=10)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--products", type=int, default=150)
    parser.add_argument("--shoppers", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--set", action="append", default=[], help="further settings of GRAM")
    parser.add_argument("--kinds", default="transitions,memory,item-knn,ease,als", help="baselines, and gram")
    parser.add_argument("--leaks", default=",".join(LEAKS))
    arguments = parser.parse_args()
    arguments.kinds, leaks = arguments.kinds.split(","), arguments.leaks.split(",")
    verdicts: Counter[tuple[str, str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder, quiet():
        store = Store(Path(folder))
        for shop, experiment, catalog, split in worlds(arguments, store):
            evidence = Evidence(validate_settings({"data": {"kind": "toy-shop"}}, Experiment), catalog, split)
            for kind in arguments.kinds:
                for leak in leaks:
                    rows = planted(split, leak)
                    made = (
                        gram(experiment, store, split, rows) if kind == "gram" else baseline(kind, catalog, split, rows)
                    )
                    found = advantages(made, evidence)
                    try:
                        parts = kept(found)
                        verdict = next((each.severity for each in judged(kind, found)), "nothing")
                    except NotLookedError:
                        parts, verdict = {}, "too little memorised"
                    verdicts[kind, leak, verdict] += 1
                    shown = " ".join(f"{name} {each.part:+.2f}±{each.error:.2f}" for name, each in parts.items())
                    print(
                        f"shop {shop} {kind} {leak}: {verdict}; trained {found['training'].value:+.3f}; {shown}",
                        flush=True,
                    )
    for (kind, leak, verdict), count in sorted(verdicts.items()):
        print(f"{kind:12} {leak:10} {verdict:22} {count}")


if __name__ == "__main__":
    main()
