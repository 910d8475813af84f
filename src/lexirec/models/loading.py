"""Load saved recommenders: from a folder, from the hub, or from a finished experiment by its name.

Imports are lazy: only the module of the recommender's own kind is imported, none of training, pipeline or reporting.
"""

from __future__ import annotations

from pathlib import Path

from lexirec.core.arguments import given_path
from lexirec.core.errors import ArtifactError, did_you_mean
from lexirec.core.runs import OWN, RunRecord, Stage, evaluations, find_run, recommenders
from lexirec.core.store import Store
from lexirec.data.ranking import Recommender
from lexirec.models import living_catalog
from lexirec.models.exported import EXPORT, check_export
from lexirec.models.hub_download import fetch_from_hub, is_hub_name
from lexirec.models.saving import MANIFEST, read_manifest

KINDS = ("scores", "late-fusion", "causal", "fused")
"""Kinds of saved recommenders, as `recommender.json` names them: a baseline, GRAM, TS-Rec, an ensemble."""


def located(name: str | Path) -> Path:
    """Return the folder of a recommender: the one given, or that of the hub's files where the name is `org/name`.

    Raises:
        ArtifactError: the hub has no such repository, or cannot be reached.
    """
    if isinstance(name, str) and is_hub_name(name):
        return fetch_from_hub(name)
    return given_path("folder", name)


def load_recommender(folder: str | Path) -> Recommender:
    """Load a saved recommender of any kind; its manifest names the kind.

    Args:
        folder: written by `save` or `lexirec export`, or `org/name` or `org/name@REVISION` of the Hugging Face hub. The
            files of an exported folder are compared with their digests first.

    Raises:
        ArtifactError: the folder holds no recommender, a damaged one, or one of a kind or format this version does not
            know; or the hub has none of this name, or cannot be reached.
    """
    source = located(folder)
    if (source / EXPORT).is_file():
        check_export(source, "hub")
    kind = read_manifest(source).get("kind")
    if kind == "scores":
        from lexirec.models.baselines.recommender import ScoreRecommender

        return ScoreRecommender.load(source)
    if kind == "late-fusion":
        from lexirec.models.gram.recommender import GramRecommender

        return GramRecommender.load(source)
    if kind == "causal":
        from lexirec.models.tsrec.recommender import TSRecRecommender

        return TSRecRecommender.load(source)
    if kind == "fused":
        from lexirec.models.ensemble.recommender import EnsembleRecommender

        return EnsembleRecommender.load(source, load_recommender)
    allowed = ", ".join(f"'{name}'" for name in KINDS)
    raise ArtifactError(f"{source / MANIFEST}: kind '{kind}' is unknown to this version of lexirec; allowed: {allowed}")


def folder_named(name: str) -> Path | None:
    """Return the folder that a name means: one with a saved recommender or an export, or the hub's files of `org/name`.

    None where it can only be the name of an experiment.

    Raises:
        ArtifactError: the hub has no such repository, or cannot be reached.
    """
    if (Path(name) / MANIFEST).is_file() or (Path(name) / EXPORT).is_file():
        return Path(name)
    return fetch_from_hub(name) if is_hub_name(name) else None


def load_named(store: Store, name: str, wanted: str | None = None) -> Recommender:
    """Load a recommender of the finished experiment `name`, or the one saved in the folder, or on the hub as, `name`.

    Args:
        store: of finished experiments.
        name: of an experiment, the folder of a saved recommender, or `org/name` of the hub.
        wanted: name of one of the experiment's recommenders; see `chosen` for the default.

    Raises:
        ArtifactError: there is no such experiment, folder or recommender, or its files are damaged.
    """
    folder = folder_named(name)
    if folder is not None:
        return living_catalog.present(load_recommender(folder), living_catalog.Facts())
    run = find_run(store, name)
    part = chosen(run, wanted)
    return load_present(store, run.name, part, recommenders(run)[part])


def load_present(store: Store, name: str, part: str, stage: Stage) -> Recommender:
    """Load a recommender of an experiment with the catalogue as it is today (`models.living_catalog`).

    Args:
        store: of finished experiments.
        name: of the experiment.
        part: name of the recommender.
        stage: its artifact.

    Raises:
        ArtifactError: files of the recommender, of its active version or of its facts are damaged.
    """
    if not (store.root / living_catalog.CATALOGS / name / part / stage.key).is_dir():
        store.check(stage.folder)
        return living_catalog.present(load_recommender(stage.folder), living_catalog.Facts())
    folder = living_catalog.state_folder(store, name, part, stage.key)
    version = living_catalog.read_state(folder, stage.key).present
    store.check(stage.folder if not version.number else store.path(living_catalog.KIND, version.key))
    recommender = load_recommender(living_catalog.version_folder(store, version, stage.folder))
    return living_catalog.present(recommender, living_catalog.Facts.read(folder))


def chosen(run: RunRecord, wanted: str | None = None) -> str:
    """Return the wanted recommender's name; by default the last trained model, else the best baseline.

    Raises:
        ArtifactError: the experiment has no such recommender, or none at all.
    """
    available = recommenders(run)
    if not available:
        raise ArtifactError(f"{run.name} has no recommender: the experiment has neither [model] nor [baselines.NAME]")
    if wanted is not None:
        if wanted not in available:
            hint = run.why_left_out(wanted) or did_you_mean(wanted, available)
            raise ArtifactError(f"{run.name} has no recommender '{wanted}'; it has {', '.join(available)}.{hint}")
        return wanted
    own = [name for name in OWN if name in available]
    return own[-1] if own else max(evaluations(run), key=lambda name: _headline(run, name))


def metrics_of(run: RunRecord, name: str) -> dict[str, dict[str, float]]:
    """Return what a run measured of a recommender, by the treatment of seen items; what cannot be read is left out."""
    from lexirec.evaluation.evaluator import Report

    found: dict[str, dict[str, float]] = {}
    folder = evaluations(run).get(name)
    for seen in run.settings.get("evaluation", {}).get("seen", ()) if folder is not None else ():
        try:
            found[seen] = Report.load(folder / seen, lists=False).metrics
        except ArtifactError:
            continue
    return found


def _headline(run: RunRecord, name: str) -> float:
    """Return NDCG@10 under the experiment's first treatment of seen items, else its first metric."""
    from lexirec.evaluation.evaluator import Report

    seen = run.settings["evaluation"]["seen"][0]
    metrics = Report.load(evaluations(run)[name] / seen, lists=False).metrics
    return metrics.get("ndcg@10", next(iter(metrics.values())))
