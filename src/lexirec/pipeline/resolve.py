"""Resolve the parts of an experiment: a single recommender with its needs, experts of other files, and ensembles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lexirec.core.config import as_toml
from lexirec.core.errors import SettingsError, did_you_mean
from lexirec.models.baselines.memory import MemoryBaseline
from lexirec.models.ensemble.settings import EnsembleSettings
from lexirec.pipeline.experiment import Experiment, load_experiment, smoothed


def alone(experiment: Experiment, system: str) -> Experiment:
    """Return an experiment reduced to one recommender and the parts that it needs.

    Raises:
        SettingsError: as of `fusions`, where an expert's memory is searched.
    """
    parts = _parts(experiment, system)
    own = {"model", "reinforced"} & parts
    baselines = {name: each for name, each in experiment.baselines.items() if name in parts}
    update: dict[str, Any] = {
        "baselines": baselines,
        "experts": {name: each for name, each in experiment.experts.items() if name in parts},
        "ensemble": {name: each for name, each in experiment.ensemble.items() if name in parts},
    }
    if "reinforced" not in own:
        update["reinforcement"] = None
    if not own:
        update |= dict.fromkeys(("model", "backbone", "pretraining", "codes", "identifiers"))
        near = experiment.neighbors if any("neighbors" in each.needed() for each in baselines.values()) else None
        update["neighbors"] = near
        mixed = _searching(experiment.model_copy(update=update))
        readers = [*baselines.values(), *mixed.values(), *([] if near is None else [near])]
        reads = any("vectors" in each.needed() for each in readers)
        update["vectors"] = experiment.vectors if reads else {}
    return experiment.model_copy(update=update)


def _searching(experiment: Experiment) -> dict[str, EnsembleSettings]:
    """Return the ensembles with the evidence of their partner searches; reads the files of searched experts only."""
    searched = {fusion.partner.part for fusion in experiment.ensemble.values() if fusion.partner is not None}
    return fusions(experiment, {name: expert_experiment(experiment, name) for name in searched & {*experiment.experts}})


def _parts(experiment: Experiment, system: str) -> set[str]:
    """Return the recommenders that one depends on, itself included."""
    parts = {system}
    if system in experiment.ensemble:
        parts.update(*(_parts(experiment, name) for name in experiment.ensemble[system].of))
    if system == "reinforced" and experiment.reinforcement is not None:
        scorer = experiment.reinforcement.scorer
        parts |= {"model", *([scorer] if scorer is not None else [])}
    return parts


def expert_experiment(experiment: Experiment, name: str) -> Experiment:
    """Return the experiment that makes one of the experts: its file's recipe on this experiment's data, reduced to it.

    Raises:
        SettingsError: the file cannot be read, does not fit these data, or has no such recommender.
    """
    expert = experiment.experts[name]
    data = as_toml(experiment.data.model_dump(mode="json", exclude_none=True))
    seed = f"seed={expert.seed + expert.seed_step}"
    other = load_experiment(expert.experiment, ["data={}", f"data={data}", seed, *expert.set])
    known = other.parts
    if expert.part not in known:
        raise SettingsError(
            f"'experts.{name}.part' is '{expert.part}'; {expert.experiment.name} allows {', '.join(known) or 'none'}."
            f"{did_you_mean(expert.part, known)}"
        )
    return alone(other, expert.part)


def fusions(experiment: Experiment, experts: Mapping[str, Experiment]) -> dict[str, EnsembleSettings]:
    """Return an experiment's ensembles, with the evidence of a searched memory read from that memory's own settings.

    Args:
        experiment: the experiment with the ensembles.
        experts: name -> result of `expert_experiment`.

    Raises:
        SettingsError: a searched expert is no memory, or needs vectors that this experiment lacks.
    """
    return {name: _fusion(name, fusion, experiment, experts) for name, fusion in experiment.ensemble.items()}


def _fusion(
    name: str, fusion: EnsembleSettings, experiment: Experiment, experts: Mapping[str, Experiment]
) -> EnsembleSettings:
    partner = fusion.partner
    if partner is None or partner.part not in experts:
        return experiment.with_evidence(fusion)
    expert = experiment.experts[partner.part]
    own = experts[partner.part].baselines.get(expert.part)
    if not isinstance(own, MemoryBaseline):
        raise SettingsError(
            f"'ensemble.{name}.partner.part' is '{partner.part}', which is not of kind memory ('{expert.part}' "
            f"of {expert.experiment.name}); name a part of kind memory"
        )
    completed = fusion if partner.evidence is not None else smoothed(fusion, own.evidence)
    if "vectors" in completed.needed() and not experiment.vectors:
        raise SettingsError(
            f"'ensemble.{name}.partner' needs vectors, as '{partner.part}' is smoothed with them: add a table such as "
            '[vectors.text] with kind = "lsa", or set partner.evidence'
        )
    return completed
