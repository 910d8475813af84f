"""Identifiers that moved are found, whatever their lengths and their places in the two catalogues."""

from types import SimpleNamespace

import numpy as np

from lexirec.serving.catalog_versions.differences import moved_identifiers


def recommender(**identifiers):
    """A generative recommender of items with these identifiers, as far as the comparison looks at it."""
    ids = list(identifiers)
    width = max(map(len, identifiers.values()))
    tokens = np.array([[*each, *[-1] * (width - len(each))] for each in identifiers.values()], dtype=np.int32)
    catalog = SimpleNamespace(item_ids=ids, numbers=lambda asked: np.array([ids.index(each) for each in asked]))
    return SimpleNamespace(catalog=catalog, identifiers=SimpleNamespace(tokens=tokens))


def test_moved_identifiers_are_found():
    before = recommender(a=[1, 2], b=[1, 3], c=[4], d=[5, 6])
    same = recommender(d=[5, 6], a=[1, 2], b=[1, 3], new=[7, 8, 9])  # wider, in another order, without c
    assert moved_identifiers(same, before) == []
    assert moved_identifiers(recommender(a=[1, 2], b=[1, 4], c=[4, 1], d=[5, 6, 7]), before) == ["b", "c", "d"]
