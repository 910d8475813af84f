"""Load any saved recommender by the kind its manifest names."""

from __future__ import annotations

from pathlib import Path

from lexirec.core.errors import ArtifactError
from lexirec.data.ranking import Recommender
from lexirec.models.baselines.recommender import ScoreRecommender
from lexirec.models.ensemble.recommender import EnsembleRecommender
from lexirec.models.gram.recommender import GramRecommender
from lexirec.models.saving import MANIFEST, read_manifest
from lexirec.models.tsrec.recommender import TSRecRecommender


def load_recommender(folder: str | Path) -> Recommender:
    """Load any saved recommender by the kind its manifest names.

    Raises:
        ArtifactError: the folder holds no recommender, or one of a kind this version does not know.
    """
    source = Path(folder)
    kind = read_manifest(source).get("kind")
    if kind == "scores":
        return ScoreRecommender.load(source)
    if kind == "late-fusion":
        return GramRecommender.load(source)
    if kind == "causal":
        return TSRecRecommender.load(source)
    if kind == "fused":
        return EnsembleRecommender.load(source, load_recommender)
    raise ArtifactError(
        f"{source / MANIFEST}: kind '{kind}' is unknown to this version; allowed: 'scores', 'late-fusion', 'causal', "
        "'fused'"
    )
