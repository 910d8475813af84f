"""Make learned parts again where no held-out event exists, and compare: an exact test, at the price of training.

A part that was made from the training part is made again alike. One that was not differs; if it ranks held-out targets
higher than what is made again, it was trained on them.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from lexirec.core.errors import ArtifactError, LexirecError
from lexirec.core.manifest import read_manifest
from lexirec.core.progress import quiet, track
from lexirec.core.store import Store
from lexirec.data.neighbors import Neighbors
from lexirec.data.sequences import Sequences, load_array
from lexirec.models.loading import load_recommender
from lexirec.pipeline.experiment import Experiment
from lexirec.pipeline.graph import VERSIONS, walk
from lexirec.pipeline.runner import Call, StageRunner
from lexirec.pipeline.visible import MEASURES, PARTS, SEES
from lexirec.semantic_ids.codes import Codes
from lexirec.workflows.audit.evidence import Evidence
from lexirec.workflows.audit.findings import Finding, NotLookedError, percent
from lexirec.workflows.audit.matched_cases import TRAINED, matched_cases
from lexirec.workflows.audit.side_information import same_neighbors

CHECK = "refit"
ASKS = "are learned parts the same when made again without held-out events?"
_ALIKE = 0.99
_LISTED, _HISTORIES = 10, 500
_FAVOURED, _DEVIATIONS = 0.03, 4.0
"""A leak: targets win 0.03 more of the comparisons with matched items, by four standard errors."""


def refit(
    evidence: Evidence, store: Store, folders: Mapping[str, Path], minutes: float
) -> tuple[list[Finding], dict[str, str]]:
    """Make every learned part of an experiment again, as far as that took at most some minutes.

    Args:
        evidence: the evidence of the audit.
        store: of the artifacts.
        folders: stage -> folder of its artifact.
        minutes: parts that took longer are skipped.

    Returns:
        The findings, and part -> why it was not made again.
    """
    findings, without = list[Finding](), dict[str, str]()
    with tempfile.TemporaryDirectory(prefix="lexirec-refit-") as root:
        data = training_only(folders["data"], Path(root) / "data")
        try:
            calls = _learned(evidence.experiment, store, folders)
        except (LexirecError, OSError) as error:
            return findings, {CHECK: f"the experiment cannot be planned again ({error})"}
        for name, call in track(list(calls.items()), "making parts again"):
            took = read_manifest(call.stage.folder).seconds / 60
            if took > minutes:
                without[f"{CHECK} {name}"] = f"it took {took:.1f} minutes; --refit {int(np.ceil(took))} includes it"
                continue
            try:
                findings += _compared(evidence, name, call, data, Path(root) / name)
            except NotLookedError as error:
                without[f"{CHECK} {name}"] = str(error)
    return findings, without


def training_only(data: Path, target: Path) -> Path:
    """Link the parts of a data stage that stages may learn from into another folder; test cases are none of them."""
    for part in PARTS.values():
        source, link = (data / part).resolve(), target / part
        if source.exists():
            link.parent.mkdir(parents=True, exist_ok=True)
            try:
                link.symlink_to(source)
            except OSError:  # no links on this file system, or not allowed
                shutil.copytree(source, link) if source.is_dir() else shutil.copyfile(source, link)
    return target


def _learned(experiment: Experiment, store: Store, folders: Mapping[str, Path]) -> dict[str, Call]:
    """Return how the stored stages were made that read more than the catalogue, by name."""
    runner = StageRunner(store, VERSIONS, act=False)
    walk(experiment, runner)
    reads = {kind for kind, parts in SEES.items() if set(parts) > {"catalog"}} - MEASURES
    calls = {call.stage.name: call for call in runner.calls.values() if call.stage.kind in reads | {"codes"}}
    there = set(folders.values())
    return {name: call for name, call in calls.items() if call.stage.folder in there}


def _compared(evidence: Evidence, name: str, call: Call, data: Path, out: Path) -> Iterator[Finding]:
    """Make one part again and compare it with the stored one.

    Raises:
        NotLookedError: making it failed for a reason that is none of the data's.
    """
    out.mkdir(parents=True)
    try:
        with quiet():
            call(out, data)
    except (KeyError, FileNotFoundError, ArtifactError) as error:
        yield Finding(
            "leak",
            f"'{name}' cannot be made from the training part alone ({error})",
            "up: it reads held-out events",
            "make it from the training part alone",
        )
        return
    except LexirecError as error:
        raise NotLookedError(f"making it again failed: {error}") from None
    yield from _differences(evidence, name, call.stage.kind, (call.stage.folder, out))
    shutil.rmtree(out, ignore_errors=True)


def _differences(evidence: Evidence, name: str, kind: str, both: tuple[Path, Path]) -> Iterator[Finding]:
    match kind:
        case "vectors":
            alike = _alike_rows(*(load_array(folder / "vectors.npy") for folder in both))
        case "codes":
            alike = float((Codes.load(both[0]).values == Codes.load(both[1]).values).all(axis=1).mean())
        case "neighbors":
            alike = same_neighbors(*(Neighbors.load(folder) for folder in both))
        case _:
            yield from _recommenders(evidence, name, both)
            return
    if alike < _ALIKE:
        yield Finding(
            "leak",
            f"'{name}' is not what the training part gives: {percent(alike)} of it agree with what is made again",
            "up if held-out events entered it, which its readers then see",
            f"run the stage {name} again; if it then differs still, it is not reproducible",
        )


def _alike_rows(one: np.ndarray, other: np.ndarray) -> float:
    if one.shape != other.shape:
        return 0.0
    return float(np.isclose(one, other, rtol=1e-3, atol=1e-4).all(axis=1).mean())


def _recommenders(evidence: Evidence, name: str, both: Sequence[Path]) -> Iterator[Finding]:
    """Compare the lists of a stored recommender with those of one made again, and how both rank held-out targets."""
    with quiet():
        stored, again = (load_recommender(folder) for folder in both)
        histories = _histories(evidence)
        lists = [each.rank(histories, k=_LISTED).items for each in (stored, again)]
    shared = (lists[0][:, :, None] == lists[1][:, None, :]) & (lists[0] >= 0)[:, :, None]
    alike = float(shared.sum() / max(int((lists[0] >= 0).sum()), 1))
    if alike >= _ALIKE:
        return
    favoured = []
    for group, cases in matched_cases(evidence.split, evidence.catalog.texts()).items():
        if group != TRAINED and len(cases.cases):
            with quiet():
                gains = cases.wins(stored) - cases.wins(again)
            error = float(gains.std() / np.sqrt(len(gains)))
            if gains.mean() >= _FAVOURED and gains.mean() > _DEVIATIONS * error:
                favoured.append(f"{group} targets win {gains.mean():+.2f} ± {error:.2f} more of the comparisons")
    differs = f"{percent(alike)} of the lists of '{name}' agree with those of '{name}' made again"
    if favoured:
        yield Finding(
            "leak",
            f"'{name}' ranks held-out targets higher than the same made from the training part: {differs}; with "
            f"matched items, {', '.join(favoured)}",
            "up: it was trained on the answers, or on inputs that hold them",
            f"make '{name}' again",
        )
    else:
        yield Finding(
            "note",
            f"{differs}, and held-out targets are not favoured",
            "either way: training on another machine or with other thread counts gives other weights",
            "nothing to do where it was made on another machine; else make it again",
        )


def _histories(evidence: Evidence) -> Sequences:
    split = evidence.split
    most = int(split.protocol.get("max_history", 20))
    every = Sequences.concatenate([split.train.last(most), split.validation.histories, split.test.histories])
    chosen = np.random.default_rng(0).choice(len(every), min(_HISTORIES, len(every)), replace=False)
    return every.take(np.sort(chosen))
