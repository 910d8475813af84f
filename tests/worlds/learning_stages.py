"""Every kind of learning stage, made once on a small shop, and made again beside other held-out events."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from lexirec.core.config import validate_settings
from lexirec.core.progress import quiet
from lexirec.core.store import PROGRESS, Store
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases
from lexirec.pipeline.experiment import Experiment
from lexirec.pipeline.graph import VERSIONS, walk
from lexirec.pipeline.runner import Call, StageRunner, StopRequested

SHOP: dict[str, Any] = {"kind": "toy-shop", "products": 84, "shoppers": 60}
NETWORK: dict[str, Any] = {"dimensions": 4, "layers": 1, "training": {"epochs": 1}}
BACKBONE: dict[str, Any] = {
    "name": "scratch:tiny",
    "d_model": 16,
    "heads": 2,
    "feed_forward": 16,
    "vocabulary_size": 300,
}
COUNTED: dict[str, Any] = {
    "name": "counted",
    "data": SHOP,
    "vectors": {"text": {"dimensions": 8}, "bought": {"kind": "collaborative", "dimensions": 4}},
    "codes": {"branching": 4, "levels": 2},
    "identifiers": {"kind": "codes"},
    "neighbors": {"kind": "memory", "k": 4},
    "baselines": {
        "popularity": {"kind": "popularity"},
        "recency": {"kind": "recency"},
        "transitions": {"kind": "transitions"},
        "memory": {"kind": "memory"},
        "memory-vectors": {"kind": "memory", "evidence": "vectors"},
        "item-knn": {"kind": "item-knn", "neighbors": 5},
        "ease": {"kind": "ease"},
        "als": {"kind": "als", "dimensions": 4},
        "sasrec": {"kind": "sasrec", **NETWORK},
        "sasrec-more": {"kind": "sasrec", **NETWORK, "with_vectors": True, "with_neighbors": True},
        "gru4rec": {"kind": "gru4rec", "dimensions": 4, "width": 4, "training": {"epochs": 1}},
        "hstu": {"kind": "hstu", **NETWORK},
    },
    "ensemble": {"fused": {"of": ["sasrec", "memory"], "partner": {"part": "memory", "trials": 1}}},
}
GRAM: dict[str, Any] = {
    "name": "gram",
    "data": SHOP,
    "vectors": {"text": {"dimensions": 8}},
    "codes": {"branching": 4, "levels": 2},
    "backbone": BACKBONE,
    "neighbors": {"kind": "co-occurrence", "k": 4},
    "model": {
        "kind": "late-fusion",
        "network": {"head": "grounded", "user_prompt": "grounded", "pooling": "mass", "neighbor_rows": 2},
        "training": {"epochs": 1, "distillation": {"share": 0.3, "folds": 2}},
        "search": {"num_beams": 5},
    },
}
PLAIN: dict[str, Any] = {
    "name": "plain",
    "data": SHOP,
    "codes": {"branching": 4, "levels": 2},
    "vectors": {"text": {"dimensions": 8}},
    "backbone": BACKBONE,
    "model": {
        "kind": "late-fusion",
        "prompts": {"parts": ["item", "metadata"]},
        "training": {"epochs": 1},
        "search": {"num_beams": 5},
    },
}
SASREC: dict[str, Any] = {
    "name": "sasrec",
    "data": SHOP,
    "vectors": {"text": {"dimensions": 8}},
    "codes": {
        "kind": "rq-vae",
        "levels": 2,
        "branching": 4,
        "letter": {"collaborative": 0.1},
        "training": {"epochs": 1},
    },
    "neighbors": {"kind": "sasrec", "k": 4, "sasrec": NETWORK},
}
TSREC: dict[str, Any] = {
    "name": "tsrec",
    "data": SHOP,
    "vectors": {"text": {"dimensions": 8}},
    "codes": {"kind": "residual-kmeans", "levels": 2, "branching": 8},
    "lexicon": {"kind": "contrastive"},
    "backbone": {"kind": "causal", **BACKBONE},
    "pretraining": {"epochs": 1},
    "neighbors": {"kind": "vectors", "k": 4},
    "model": {
        "kind": "causal",
        "network": {"head": "grounded", "embeddings": "grounded", "neighbor_rows": 2},
        "prompts": {"frame": "plain", "max_history": 5},
        "sa_init": {},
        "tasks": {"sid_title": 0.2, "history_title": 0, "ts_align": 1},
        "training": {"epochs": 1, "evals_per_epoch": 1},
        "search": {"num_beams": 10},
    },
    "reinforcement": {"training": {"cases": 16, "evals_per_epoch": 1}},
}
EXPERIMENTS = {
    "counted": (COUNTED, "fused"),
    "gram": (GRAM, "model"),
    "plain": (PLAIN, "model"),
    "sasrec": (SASREC, "neighbors"),
    "tsrec": (TSREC, "reinforced"),
}
"""Experiments by name, each with its last group of stages that learns."""


def made_again(call: Call, data: Path, out: Path) -> Path:
    """Make a stage in `out`, with `data` in place of every data stage among its inputs."""
    out.mkdir(parents=True)
    with quiet():
        call(out, data)
    shutil.rmtree(out / PROGRESS, ignore_errors=True)
    return out


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="lexirec-learning-")


@cache
def stages_of(name: str) -> tuple[Call, ...]:
    """Run one of the experiments; return how its stages were made."""
    settings, last = EXPERIMENTS[name]
    runner = StageRunner(Store(Path(_folder().name)), VERSIONS, until=last)
    with quiet(), contextlib.suppress(StopRequested):
        walk(validate_settings(settings, Experiment), runner)
    return tuple(runner.calls.values())


def without_held_out(data: Path, target: Path, *, validation: str = "other") -> Path:
    """Copy a data stage without its test cases, with its validation cases in another order or replaced by others."""
    shutil.copytree(data, target)
    shutil.rmtree(target / "split" / "test")
    (target / "split" / "protocol.json").unlink()
    (target / "user_ids.npy").unlink()
    cases, random = Cases.load(target / "split" / "validation"), np.random.default_rng(1)
    if validation == "shuffled":
        cases = cases.take(random.permutation(len(cases)))
    else:
        n_items = int(Sequences.load(target / "split" / "train").items.max()) + 1
        drawn = random.integers(0, n_items, len(cases.histories.items)).astype(np.int32)
        targets = random.integers(0, n_items, len(cases)).astype(np.int32)
        cases = Cases(cases.users, targets, Sequences(drawn, cases.histories.offsets))
    cases.save(target / "split" / "validation")
    return target


_OF_THE_CHOICE = ("summary.md", "curve.json", "weights.json", "manifest.json")
"""Files that report on validation cases, or on the making."""


def differences(one: Path, other: Path) -> list[str]:
    """Return the files of two artifacts that differ, without figures and without what reports on validation cases."""
    mine, theirs = _contents(one), _contents(other)
    return sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))


def _contents(folder: Path) -> dict[str, Any]:
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        name: _content(path)
        for name, path in found.items()
        if path.suffix not in (".png", ".svg") and path.name not in _OF_THE_CHOICE and not name.startswith(PROGRESS)
    }


def _content(path: Path) -> Any:
    if path.suffix == ".safetensors":  # metadata hold seconds
        return {name: (array.dtype, array.shape, array.tobytes()) for name, array in load_file(path).items()}
    return path.read_bytes()
