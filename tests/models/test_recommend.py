import logging
from functools import partial

import numpy as np
import pyarrow as pa
import pytest

from lexirec.core.errors import DataError, LexirecError
from lexirec.data.catalog import Catalog
from lexirec.data.sequences import Sequences
from lexirec.models.baselines.memory import Memory, MemorySettings
from lexirec.models.baselines.recommender import ScoreRecommender
from lexirec.models.recommend import recommend
from lexirec.testing import tiny_catalog


@pytest.fixture(scope="module")
def recommender():
    """Item i is followed by i + 1: the newest item speaks for its successor."""
    train = Sequences.from_lists([[i, i + 1] for i in range(9)] * 3)
    memory = Memory(MemorySettings(window=1, backward=0.0)).fit(train, 10)
    return ScoreRecommender(tiny_catalog(10), memory)


def ids(found) -> list[str]:
    return [each.item_id for each in found]


def test_ids_go_in_and_out(recommender):
    found = recommend(recommender, ["item-2", "item-5"], k=2)
    assert ids(found) == ["item-6", "item-3"]
    assert found[0].title == "red chair number 6"
    assert found[0].score > found[1].score
    assert found[0].because == ()


def test_reasons_name_the_item_that_speaks_for_each(recommender):
    found = recommend(recommender, ["item-2", "item-5"], k=2, explain=True)
    assert [each.because[0] for each in found] == [("item-5", pytest.approx(1.0)), ("item-2", pytest.approx(1.0))]


def test_seen_items_return_only_when_asked_for(recommender):
    history = ["item-2", "item-3"]
    assert "item-3" not in ids(recommend(recommender, history, k=10))
    assert ids(recommend(recommender, history, k=2, exclude_seen=False)) == ["item-4", "item-3"]


def test_items_that_were_seen_may_be_others_than_those_of_the_history(recommender):
    history = ["item-2", "item-3"]
    assert set(ids(recommend(recommender, history, k=10, seen=["item-3", "item-7"]))) == {
        f"item-{number}" for number in (0, 1, 2, 4, 5, 6, 8, 9)
    }
    assert len(recommend(recommender, history, k=10, seen=[])) == 10
    assert len(recommend(recommender, history, k=10, seen=["item-7"], exclude_seen=False)) == 10
    with pytest.raises(DataError, match="item-77"):
        recommend(recommender, history, seen=["item-77"])


def test_filters_hold(recommender):
    found = recommend(recommender, ["item-5"], k=10, allow=["title~blue"], deny=["item_id=item-7"])
    assert set(ids(found)) == {"item-1", "item-3", "item-9"}


def test_newcomers_get_an_answer_even_with_reasons(recommender):
    assert len(recommend(recommender, [], k=3, explain=True)) == 3


def test_unknown_items_and_places_are_refused(recommender):
    with pytest.raises(DataError, match=r"'item-22' is not in the catalog"):
        recommend(recommender, ["item-22"])
    with pytest.raises(DataError, match="k is 0"):
        recommend(recommender, ["item-2"], k=0)


@pytest.mark.parametrize(
    ("history", "options", "message"),
    [
        ("item-2", {}, r"history is the text 'item-2'; pass a list of item ids"),
        (b"item-2", {}, "history is the text"),
        ([2], {}, r"Item ids are text, but 2 is of type int; pass '2'"),
        ([None], {}, "Item ids are text, but None is of type NoneType"),
        (["\udcff"], {}, "is no UTF-8 text"),
        (["item-2"], {"k": 2.0}, r"k is 2\.0; set it to a whole number"),
        (["item-2"], {"k": "3"}, "k is '3'; set it to a whole number"),
        (["item-2"], {"k": True}, "k is True; set it to a whole number"),
        (["item-2"], {"allow": "title~blue"}, "allow is 'title~blue'; pass a list of filters"),
        (["item-2"], {"exclude_seen": "no"}, "exclude_seen = 'no': pass True or False"),
        (["item-2"], {"seen": "item-3"}, "seen is the text 'item-3'; pass a list of item ids"),
    ],
)
def test_arguments_of_other_types_are_refused_in_one_line(recommender, history, options, message):
    with pytest.raises(LexirecError, match=message) as caught:
        recommend(recommender, history, **options)
    assert "\n" not in str(caught.value)


def test_a_list_is_never_longer_than_the_catalog(recommender):
    assert len(recommend(recommender, [], k=10**15)) == 10


def test_filters_that_cannot_be_decided_for_some_items_are_remarked_and_logged(recommender, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("lexirec"), "propagate", True)  # the command line turns it off
    prices = pa.array(["5", "12,50", "call us", "", *["7,00"] * 6])
    catalog = Catalog(recommender.catalog.table.append_column("price", prices), ("title",))
    priced = ScoreRecommender(catalog, recommender.scorer)
    assert recommend(priced, ["item-9"], deny=["price=5"]).remarks == ()
    assert not caplog.records
    found = recommend(priced, ["item-9"], deny=["price>10"])
    assert set(ids(found)) == {f"item-{i}" for i in (0, 3, 4, 5, 6, 7, 8)}
    (line,) = found.remarks
    assert line.startswith("deny 'price>10': 1 of 10 items have a 'price' that is no number, such as 'call us'")
    assert "1 of 10 items have no 'price' and are not denied" in line
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [("WARNING", line)]


def test_rules_hold(recommender):
    ask = partial(recommend, recommender, ["item-5"])
    assert set(ids(ask(allow_items=["item-1", "item-2", "item-5"]))) == {"item-1", "item-2"}
    assert "item-6" not in ids(ask(deny_items=["item-6"]))
    assert set(ids(ask(candidates=["item-1", "item-5"], exclude_seen=False))) == {"item-1", "item-5"}
    assert ids(ask(candidates=[])) == []
    assert ids(ask(boosts={"item_id=item-3": 10}, k=1)) == ["item-3"]
    assert ids(ask(boosts=["-10:item_id=item-6"], k=1)) != ["item-6"]
    assert len(ask(at_most={"title": 1})) == 9
    assert recommender.recommend(["item-5"], candidates=["item-3"])[0].item_id == "item-3"


def test_ids_that_no_item_has_are_remarked(recommender):
    found = recommend(recommender, ["item-5"], candidates=["item-1", "item-22"])
    assert ids(found) == ["item-1"]
    assert found.remarks == ("candidates: no item has this id, which is ignored: 'item-22'",)


def test_the_newest_items_get_their_share_where_they_are_known(recommender):
    found = recommend(recommender, ["item-5"], k=4, new_items=0.5)
    assert found.remarks == ("new_items: no item is known to be newer than the recommender, so no place is kept",)

    class Extended(ScoreRecommender):
        newer_items = np.isin(np.arange(10), [8, 9])

    extended = Extended(recommender.catalog, recommender.scorer)
    assert ids(recommend(extended, ["item-5"], k=4, new_items=0.5))[-2:] == ["item-8", "item-9"]


def test_reasons_are_those_of_the_history_not_of_a_boost(recommender):
    found = recommend(recommender, ["item-2", "item-5"], k=2, explain=True, boosts={"item_id=item-3": 8})
    assert [(each.item_id, each.because[0][0]) for each in found] == [("item-3", "item-2"), ("item-6", "item-5")]


def test_an_option_that_does_not_exist_is_refused(recommender):
    with pytest.raises(DataError, match=r"there is no option 'alow'; .*Did you mean 'allow'\?"):
        recommend(recommender, ["item-2"], alow=["title~red"])


def test_reasons_are_shares(recommender):
    for each in recommend(recommender, ["item-1", "item-4", "item-7"], k=5, explain=True):
        shares = np.array([share for _, share in each.because])
        assert (shares > 0).all()
        assert shares.sum() <= 1 + 1e-6
