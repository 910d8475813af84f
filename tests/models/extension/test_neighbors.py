from dataclasses import replace

import numpy as np

from lexirec.models.extension.changes import CatalogChange, ItemChanges
from lexirec.models.extension.encoding import ItemEncoder
from lexirec.models.extension.neighbors import neighbors_among_trained
from tests.worlds.grown_shop import new_rows, trained


def found(name, kind=None):
    _, artifacts = trained(name, "model")
    if kind is not None:
        artifacts = replace(artifacts, settings={**artifacts.settings, "neighbors": kind})
    encoder, catalog = ItemEncoder(artifacts, {}), artifacts.catalog
    change = CatalogChange.of(catalog, ItemChanges(new_rows(catalog, [5, 9, 30])))
    near = neighbors_among_trained(change.added, change, encoder, encoder.vectors(change.after))
    return artifacts, near


def test_neighbours_are_trained_items_best_first():
    for name in ("old-gram", "old-tsrec"):
        artifacts, near = found(name)
        assert near.items.shape == (3, artifacts.neighbors.items.shape[1])
        assert near.items.max() < len(artifacts.catalog)
        assert (np.diff(near.scores, axis=1) <= 1e-6).all()


def test_copies_by_text_are_each_others_nearest():
    _, near = found("old-gram", {"kind": "vectors"})
    assert [own in row for own, row in zip((5, 9, 30), near.items[:, :3].tolist(), strict=True)].count(True) >= 2


def test_no_neighbours_where_the_recommender_has_none():
    _, artifacts = trained("old-gram", "memory")
    catalog = artifacts.catalog
    change = CatalogChange.of(catalog, ItemChanges(new_rows(catalog, [5])))
    encoder = ItemEncoder(artifacts, {})
    assert neighbors_among_trained(change.added, change, encoder, encoder.vectors(change.after)) is None
