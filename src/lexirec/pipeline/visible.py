"""What each kind of stage may read of a data stage: stages that learn get the training part, never the test cases.

A data stage holds everything in one folder. Only stages that measure get that folder; all others get parts of it under
names of their own (`catalog`, `train` …), whatever their key depends on. A kind that is not listed may read the
catalogue and the training rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lexirec.core.runs import Stage

PARTS = {
    "catalog": Path("catalog"),
    "train": Path("split", "train"),
    "validation": Path("split", "validation"),
    "preferences": Path("preferences.json"),
    "pictures": Path("pictures"),
}
"""Parts of a data stage by the names under which stages find them; test cases are none of them."""

MEASURES = frozenset({"evaluation", "report", "meaning", "cost"})
"""Kinds of stages that measure finished recommenders, and read the whole data stage."""

_LEARNS = ("catalog", "train", "validation")
SEES: Mapping[str, tuple[str, ...]] = {
    "times": (),  # reads the tables again
    **dict.fromkeys(("tokenizer", "codes", "lexicon", "identifiers", "backbone", "untrained"), ("catalog",)),
    "vectors": ("catalog", "train", "pictures"),
    "neighbors": ("catalog", "train"),
    **dict.fromkeys(("baselines", "reinforced", "fused"), _LEARNS),
    **dict.fromkeys(("model", "carried", "fine-tuned"), (*_LEARNS, "preferences")),
}
"""Kind of stage -> the parts of a data stage that it may read."""
_USUAL = ("catalog", "train")


def visible(kind: str, inputs: Mapping[str, Stage]) -> dict[str, Path]:
    """Return the folders that a stage of this kind may read, by name.

    Args:
        kind: Kind of the stage that reads.
        inputs: Its inputs by name. A data stage called `data` becomes its parts; one of another name, such as `first`,
            becomes `first.catalog` and so on.
    """
    folders: dict[str, Path] = {}
    for name, stage in inputs.items():
        if stage.kind != "data" or kind in MEASURES:
            folders[name] = stage.folder
            continue
        prefix = "" if name == "data" else f"{name}."
        folders |= {f"{prefix}{part}": stage.folder / PARTS[part] for part in SEES.get(kind, _USUAL)}
    return folders
