import numpy as np
import pyarrow as pa
import pytest

from lexirec.core.errors import DataError
from lexirec.models.extension.changes import ItemChanges
from lexirec.models.extension.extend import extend
from lexirec.models.loading import load_recommender
from tests.worlds.grown_shop import HISTORIES, new_rows, trained

NEW = [3, 3, 12, 40, 41, 60, 77]
SYSTEMS = [
    ("old-gram", "model"),
    ("old-gram", "memory"),
    ("old-gram", "transitions"),
    ("old-gram", "fused"),
    ("old-tsrec", "model"),
    ("old-tsrec", "reinforced"),
]


def spelled(recommender, item_id):
    return recommender.identifiers.spelled(recommender.catalog.item_ids.index(item_id))


@pytest.mark.parametrize(("name", "part"), SYSTEMS)
def test_adding_items_changes_nothing_for_trained_ones(name, part):
    before, artifacts = trained(name, part)
    n_items = len(before.catalog)
    after = extend(before, ItemChanges(new_rows(before.catalog, NEW)), artifacts).recommender
    assert after.catalog.item_ids == [*before.catalog.item_ids, *(f"new-{n}" for n in range(len(NEW)))]
    assert after.trained == n_items
    assert after.newer_items.tolist() == [False] * n_items + [True] * len(NEW)
    assert before.newer_items is None
    if hasattr(before, "identifiers"):
        for item in before.catalog.item_ids:
            assert spelled(after, item) == spelled(before, item)
    old = np.arange(len(after.catalog)) < n_items
    expected, found = before.rank(HISTORIES, k=12), after.rank(HISTORIES, k=12, allowed=old)
    np.testing.assert_array_equal(found.items, expected.items)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize(("name", "part"), [("old-gram", "model"), ("old-gram", "fused"), ("old-tsrec", "model")])
def test_new_items_are_found_and_their_scores_do_not_depend_on_each_other(name, part):
    before, artifacts = trained(name, part)
    rows = new_rows(before.catalog, NEW)
    every = extend(before, ItemChanges(rows), artifacts).recommender
    ranking = every.rank(HISTORIES, k=len(every.catalog))
    assert {*ranking.items[0].tolist()} == {*range(len(every.catalog))}
    # item 12's copy shares its identifier's parent with no other new item, so it scores as if it had come alone
    alone = extend(before, ItemChanges(rows.slice(2, 1)), artifacts).recommender
    n_items = len(before.catalog)
    one = alone.rank(HISTORIES, k=len(alone.catalog))
    for row in range(len(HISTORIES)):
        mine = one.scores[row][one.items[row] == n_items]
        among = ranking.scores[row][ranking.items[row] == n_items + 2]
        np.testing.assert_allclose(mine, among, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "part"), SYSTEMS)
def test_a_saved_recommender_answers_as_before(name, part, tmp_path):
    before, artifacts = trained(name, part)
    made = extend(before, ItemChanges(new_rows(before.catalog, NEW)), artifacts).recommender
    made.save(tmp_path / "saved")
    loaded = load_recommender(tmp_path / "saved")
    assert loaded.trained == made.trained
    expected, found = made.rank(HISTORIES, k=20), loaded.rank(HISTORIES, k=20)
    np.testing.assert_array_equal(found.items, expected.items)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("part", ["model", "fused"])
def test_growing_twice_is_growing_once(part):
    before, artifacts = trained("old-gram", part)
    rows = new_rows(before.catalog, NEW)
    once = extend(before, ItemChanges(rows), artifacts).recommender
    first = extend(before, ItemChanges(rows.slice(0, 3)), artifacts).recommender
    twice = extend(first, ItemChanges(rows.slice(3)), artifacts).recommender
    assert twice.catalog.digest == once.catalog.digest
    found, expected = twice.rank(HISTORIES, k=15), once.rank(HISTORIES, k=15)
    np.testing.assert_array_equal(found.items, expected.items)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "part"), [("old-gram", "fused"), ("old-tsrec", "model")])
def test_removed_items_leave_and_the_others_move_up(name, part):
    before, artifacts = trained(name, part)
    ids = before.catalog.item_ids
    gone = [ids[0], ids[9], ids[50]]
    made = extend(before, ItemChanges(new_rows(before.catalog, [3]), removed=gone), artifacts)
    after = made.recommender
    assert after.catalog.item_ids == [*(item for item in ids if item not in gone), "new-0"]
    assert made.change.moved[[0, 1, 10]].tolist() == [-1, 0, 8]
    assert after.trained == len(ids) - 3
    ranking = after.rank(HISTORIES, k=5)
    assert np.isfinite(ranking.scores).all()
    lead = after.parts[0].recommender if part == "fused" else after
    trunk = before.parts[0].recommender if part == "fused" else before
    assert all(spelled(lead, item) == spelled(trunk, item) for item in ids if item not in gone)


def test_a_reworded_item_keeps_its_identifier_and_is_read_anew():
    before, artifacts = trained("old-gram", "model")
    item = before.catalog.item_ids[7]
    rows = pa.table({"item_id": [item], "title": ["a kettle of an entirely other kind"]})
    made = extend(before, ItemChanges(rows), artifacts)
    after = made.recommender
    assert made.change.reworded.tolist() == [7]
    assert after.trained is None
    assert spelled(after, item) == spelled(before, item)
    assert after.item_prompts.row(7) != before.item_prompts.row(7)
    assert after.item_prompts.row(8) == before.item_prompts.row(8)
    features = [each.model.items.features_IF[7] for each in (before, after)]
    assert not np.allclose(*(each.cpu().numpy() for each in features))


def test_what_cannot_score_new_items_says_so():
    from lexirec.data.sequences import Sequences
    from lexirec.models.baselines.recommender import ScoreRecommender
    from lexirec.models.baselines.sasrec import Sasrec, SasrecSettings
    from lexirec.models.baselines.sequential import SequenceTrainingSettings

    _, artifacts = trained("old-gram", "model")
    catalog = artifacts.catalog
    settings = SasrecSettings(dimensions=8, layers=1, training=SequenceTrainingSettings(epochs=1))
    scorer = Sasrec(settings).fit(Sequences.from_lists([[0, 1, 2], [3, 4, 5]]), len(catalog))
    with pytest.raises(DataError, match="kind 'sasrec' learns every item from its events"):
        extend(ScoreRecommender(catalog, scorer), ItemChanges(new_rows(catalog, [1])), artifacts)


def test_items_without_a_free_token_are_refused_and_the_others_added():
    before, artifacts = trained("old-tsrec", "model")
    rows = new_rows(before.catalog, [3] * 200)
    made = extend(before, ItemChanges(rows), artifacts)
    added = len(made.change.added)
    assert 0 < added < 200
    assert len(made.refused) == 200 - added
    assert "no identifier is left" in next(iter(made.refused.values()))
    assert set(made.refused).isdisjoint(made.recommender.catalog.item_ids)


def test_places_can_be_kept_for_new_items():
    before, artifacts = trained("old-gram", "fused")
    after = extend(before, ItemChanges(new_rows(before.catalog, NEW)), artifacts).recommender
    history = before.catalog.item_ids[:2]
    found = [each.item_id for each in after.recommend(history, k=5, new_items=0.6)]
    assert sum(item.startswith("new-") for item in found) >= 3
