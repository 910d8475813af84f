import shutil

import pytest

from lexirec.core.errors import ArtifactError
from lexirec.core.runs import find_run, recommenders
from lexirec.models.extension.artifacts import artifacts_of
from tests.worlds.grown_shop import trained, unpack


def test_a_recommender_leads_to_all_that_it_was_made_from():
    recommender, artifacts = trained("old-tsrec", "reinforced")
    n_items = len(recommender.catalog)
    assert artifacts.catalog.digest == recommender.catalog.digest
    assert artifacts.vectors.shape == (n_items, 12)
    assert len(artifacts.codes) == len(artifacts.identifiers) == len(artifacts.neighbors) == n_items
    assert artifacts.codebook.levels == artifacts.semantic_levels == 3
    assert len(artifacts.train) > 0


def test_an_ensemble_has_those_of_its_parts():
    _, artifacts = trained("old-gram", "fused")
    assert set(artifacts.parts) == {"model", "memory"}
    assert artifacts.parts["model"].codebook is None
    assert artifacts.parts["model"].codes.kind == "tree"


def test_a_stage_that_is_gone_is_named(tmp_path):
    store = unpack(tmp_path)
    folder = recommenders(find_run(store, "old-gram"))["model"].folder
    shutil.rmtree(store.root / "codes")
    with pytest.raises(ArtifactError, match=r"the stage .codes. .* is no longer in the store"):
        artifacts_of(store, folder)
