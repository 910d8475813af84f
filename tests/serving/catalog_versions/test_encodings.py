"""Encodings of items once per version: made where they are missing, shared by versions, never needed to answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lexirec.core.progress import quiet
from lexirec.core.store import verify
from lexirec.models.gram.stored_states import StoredStates, encoded
from lexirec.models.living_catalog import KIND
from lexirec.models.loading import load_recommender
from lexirec.serving.answering.living import prepare
from lexirec.serving.answering.loading import load_snapshot
from lexirec.serving.catalog_versions import encodings
from lexirec.serving.catalog_versions.catalog import LivingCatalog
from lexirec.serving.catalog_versions.encodings import STAGE, map_encodings, with_encodings
from tests.worlds.grown_shop import HISTORIES, new_rows, unpack


@pytest.fixture
def living(tmp_path) -> LivingCatalog:
    found = LivingCatalog.of(unpack(tmp_path), "old-gram", "model")
    if not with_encodings(found.load(0)):
        pytest.skip("the stored model reads no encodings")
    return found


def lists(recommender):
    with quiet():
        found = recommender.rank(HISTORIES, k=8)
    return found.items, found.scores


def test_the_second_start_computes_nothing(living, monkeypatch):
    first = living.load(0)
    expected = lists(first)
    load_snapshot(living.store, "old-gram", "model")
    (made,) = living.store.artifacts(STAGE)
    verify(made)
    monkeypatch.setattr(encodings, "encoded", None)
    monkeypatch.setattr("lexirec.models.gram.step_decoder.encode_catalog", None)
    snapshot, _ = load_snapshot(living.store, "old-gram", "model")
    found = lists(snapshot.recommender)
    assert np.array_equal(expected[0], found[0])
    assert np.array_equal(expected[1], found[1])


def test_a_version_encodes_what_is_new_alone(living, monkeypatch):
    sizes, real = [], encodings.extend_states

    def counted(before, sources, model, folder):
        sizes.append(int((sources < 0).sum()))
        real(before, sources, model, folder)

    monkeypatch.setattr(encodings, "extend_states", counted)
    ids = living.catalog().item_ids
    living.add(new_rows(living.catalog(0), [3, 4]))
    living.remove([ids[9]])
    version = living.publish()
    folder = living.store.path(KIND, version.key)
    verify(folder)
    assert len(sizes) == 1
    assert 2 <= sizes[0] < 30, "the new items, and those whose prompts name others"
    recommender = living.load()
    stored = StoredStates(folder / "encodings" / "0")
    everything = encoded(recommender.model)
    items = torch.arange(len(recommender.catalog))
    (mine, mask), (theirs, other) = stored.take(items), everything.take(items)
    assert torch.equal(mask, other)
    assert torch.allclose(mine * mask.unsqueeze(2), theirs * mask.unsqueeze(2), atol=1e-4)
    expected = lists(recommender)
    map_encodings(living.store, version.key, recommender)
    prepare(recommender)
    found = lists(recommender)
    assert np.array_equal(expected[0], found[0])
    assert np.allclose(expected[1], found[1], atol=1e-4)


def test_a_store_that_cannot_be_written_answers_all_the_same(living, monkeypatch, caplog):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(encodings, "write_states", full)
    recommender = load_recommender(living.trained.folder)
    map_encodings(living.store, living.trained.key, recommender)
    assert "the items' encodings are not kept in files" in caplog.text
    assert recommender.states_folder is None
    assert lists(recommender)[0].min() >= 0
