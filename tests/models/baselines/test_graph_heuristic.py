from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lexirec.core.errors import ArtifactError, DataError, SettingsError
from lexirec.data.sequences import Sequences
from lexirec.models.baselines import graph_heuristic
from lexirec.models.baselines.base import BaselineInputs
from lexirec.models.baselines.graph_heuristic import GraphHeuristic, GraphHeuristicSettings

TRAIN = Sequences.from_lists([[0, 1, 3], [0, 2, 4], [0, 1], [5], [3, 6]])
"""Successors of 0 are 1 (twice) and 2; theirs 3 and 4; 6 is three hops away, and 5 has no edge."""
VECTORS = np.array([[1, 0], [0.6, 0.8], [0.8, 0.6], [0, 1], [0.28, 0.96], [0.96, 0.28], [-1, 0]], dtype=np.float32)
HISTORY = Sequences.from_lists([[0]])


def order(settings, history=HISTORY, vectors=VECTORS):
    scores = GraphHeuristic(settings).fit(TRAIN, 7, vectors=vectors).scores(history)[0]
    return np.argsort(-scores, kind="stable").tolist()


def test_rings_share_the_list_by_their_places():
    settings = GraphHeuristicSettings(first_hop=1, second_hop=1, further=1, edge_weight=0.0)
    # rings of 0, each by cosine: 2 and 1; 4 and 3; 5 and 6. A round takes one of each.
    assert order(settings)[:6] == [2, 4, 5, 1, 3, 6]
    assert order(settings.model_copy(update={"first_hop": 2}))[:6] == [2, 1, 4, 5, 3, 6]


def test_counts_raise_frequent_successors():
    settings = GraphHeuristicSettings(edge_weight=1.0)
    assert order(settings)[:2] == [1, 2]  # .6 + log 3 / log 3 above .8 + log 2 / log 3
    assert order(settings.model_copy(update={"edge_weight": 0.1}))[:2] == [2, 1]


def test_without_features_counts_decide_alone():
    assert order(GraphHeuristicSettings(), vectors=None)[:4] == [1, 2, 3, 4]


def test_rings_without_places_are_left_out():
    scores = GraphHeuristic(GraphHeuristicSettings(second_hop=0, further=0)).fit(TRAIN, 7, vectors=VECTORS)
    assert (scores.scores(HISTORY)[0] > 1e-3).nonzero()[0].tolist() == [1, 2]
    with pytest.raises(ValidationError, match="no ring has a place"):
        GraphHeuristicSettings(first_hop=0, second_hop=0, further=0)


def test_the_item_before_the_newest_has_places_of_its_own():
    two = GraphHeuristicSettings(first_hop=1, second_hop=0, further=0, previous_first_hop=1)
    assert order(two, Sequences.from_lists([[0, 3]]))[:3] == [6, 2, 1]  # after 3 only 6; after 0 two items
    one = two.model_copy(update={"previous_first_hop": 0})
    assert order(one, Sequences.from_lists([[0, 3]]))[0] == 6
    assert order(two, Sequences.from_lists([[3]]))[0] == 6  # no item before


def test_the_graph_can_be_read_both_ways():
    after, around = GraphHeuristicSettings(further=0), GraphHeuristicSettings(further=0, both_ways=True)
    assert GraphHeuristic(after).fit(TRAIN, 7).newest[[6]].nnz == 0
    assert set(GraphHeuristic(around).fit(TRAIN, 7).newest[[6]].indices) == {3, 1}


def test_hubs_keep_their_most_frequent_successors():
    found = GraphHeuristic(GraphHeuristicSettings(second_hop=0, further=0, successors=1)).fit(TRAIN, 7)
    assert found.newest[[0]].indices.tolist() == [1]


def test_popular_items_follow_where_rings_end():
    assert order(GraphHeuristicSettings(), Sequences.from_lists([[4]]), vectors=None)[:3] == [0, 1, 3]
    scores = GraphHeuristic().fit(TRAIN, 7).scores(Sequences.from_lists([[]]))
    assert scores[0].tolist() == pytest.approx((np.array([3, 2, 1, 2, 1, 1, 1]) / 11).tolist())


@hypothesis_settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 7), max_size=6), min_size=1, max_size=6), st.integers(0, 7))
def test_first_and_second_ring_by_hand(rows, item):
    settings = GraphHeuristicSettings(first_hop=1, second_hop=1, further=0)
    model = GraphHeuristic(settings).fit(Sequences.from_lists(rows), 8)
    pairs = {(a, b) for row in rows for a, b in pairwise(row) if a != b}
    first = {b for a, b in pairs if a == item}
    second = {b for a, b in pairs if a in first} - first - {item}
    listed = model.newest[[item]].toarray()[0]
    places = np.round(1 / listed[listed > 0]).astype(int) - 1
    assert set(listed.nonzero()[0].tolist()) == first | second
    assert sorted(place for place in places if place % 2 == 0) == [2 * rank for rank in range(len(first))]


def test_blocks_give_the_same_lists(monkeypatch):
    whole = GraphHeuristic().fit(TRAIN, 7, vectors=VECTORS)
    monkeypatch.setattr(graph_heuristic, "_PAIRS", 1)
    monkeypatch.setattr(graph_heuristic, "_COSINES", 2)
    parts = GraphHeuristic().fit(TRAIN, 7, vectors=VECTORS)
    assert np.array_equal(whole.newest.toarray(), parts.newest.toarray())


def test_it_reads_what_its_evidence_names():
    readers = {
        "texts": lambda: ["red pen", "red ink", "blue ink", "pen", "ink", "blue", "red"],
        "vectors": lambda: VECTORS,
    }
    inputs = BaselineInputs(TRAIN, 7, readers=readers)
    settings = GraphHeuristicSettings(evidence="vectors")
    by_vectors = GraphHeuristic.fitted(settings, inputs)
    assert np.array_equal(
        by_vectors.scores(HISTORY), GraphHeuristic(settings).fit(TRAIN, 7, vectors=VECTORS).scores(HISTORY)
    )
    assert not np.array_equal(
        by_vectors.scores(HISTORY), GraphHeuristic.fitted(GraphHeuristicSettings(), inputs).scores(HISTORY)
    )
    assert (settings.needed(), GraphHeuristicSettings().needed()) == (("vectors",), ())


def test_wrong_features_are_refused():
    with pytest.raises(SettingsError, match="texts and vectors are both given"):
        GraphHeuristic().fit(TRAIN, 7, texts=["a"] * 7, vectors=VECTORS)
    with pytest.raises(DataError, match="3 texts or vectors for 7 items"):
        GraphHeuristic().fit(TRAIN, 7, texts=["a"] * 3)


def test_it_is_saved_and_a_damaged_folder_is_refused(tmp_path):
    model = GraphHeuristic(GraphHeuristicSettings(previous_first_hop=2)).fit(TRAIN, 7, vectors=VECTORS)
    model.save(tmp_path)
    both = Sequences.from_lists([[3, 0], [], [6]])
    assert np.array_equal(GraphHeuristic.load(tmp_path).scores(both), model.scores(both))
    (tmp_path / "arrays.safetensors").unlink()
    with pytest.raises(ArtifactError, match="no saved GraphHeuristicSettings"):
        GraphHeuristic.load(tmp_path)
