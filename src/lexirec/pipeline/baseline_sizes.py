"""Which baselines a catalogue is too large for: said before anything is trained, by `plan`, `run` and `init`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from lexirec.core.errors import DataError
from lexirec.core.runs import Stage
from lexirec.models.baselines.base import BaselineSettings
from lexirec.pipeline.experiment import Experiment


def too_large(baselines: Mapping[str, BaselineSettings], n_items: int, n_users: int) -> dict[str, str]:
    """Return the baselines that so many items and users are too large for, and why, a line each."""
    reasons = {name: settings.too_large(n_items, n_users) for name, settings in baselines.items()}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def left_out_by_size(experiment: Experiment, n_items: int, n_users: int) -> dict[str, str]:
    """Return the baselines of an experiment that are left out, as `too_large` does.

    Raises:
        DataError: the reinforcement needs one of them.
    """
    found = too_large(experiment.baselines, n_items, n_users)
    scorer = experiment.reinforcement.scorer if experiment.reinforcement is not None else None
    if scorer is not None and scorer in found:
        raise DataError(f"'reinforcement.scorer' is '{scorer}', which is left out ({found[scorer]}); name another one")
    return found


def planned_without(experiment: Experiment, stages: Sequence[Stage]) -> dict[str, str]:
    """Return the baselines that a planned run will leave out, once its data are in the store; else none."""
    data = next((stage for stage in stages if stage.name == "data" and stage.state == "done"), None)
    card = data.folder / "split" / "protocol.json" if data is not None else None
    if card is None or not card.is_file():
        return {}
    facts = json.loads(card.read_text(encoding="utf-8"))
    return too_large(experiment.baselines, int(facts["n_items"]), int(facts["protocol"].get("users", 0)))
