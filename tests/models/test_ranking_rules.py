from functools import cache, partial

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexirec.core.errors import DataError, SettingsError
from lexirec.data.catalog import Catalog
from lexirec.data.ranking import Ranking
from lexirec.data.sequences import Sequences
from lexirec.models.ranking_rules import (
    AtMost,
    Boost,
    GivenRules,
    RankedItems,
    Rules,
    compile_rules,
    rank_with_rules,
    score_candidates,
)
from tests.models.ensemble.test_recommender import fused, parts
from tests.models.gram.test_recommender import CATALOG, GROUNDED, ITEMS, PAPER, built
from tests.models.tsrec import test_recommender as causal

_BRANDS = ["Acme", "acme ", "Zed", "", None, "Oak & Co", "Zed", "zed", "Acme", "Bo"] * 2
_TAGS = [
    ["red", "big"],
    ["red"],
    [],
    None,
    ["big", "big"],
    ["blue", "red"],
    ["blue"],
    ["old"],
    ["old", "big"],
    [""],
] * 2
FACTS = Catalog(
    CATALOG.table.append_column("brand", pa.array(_BRANDS))
    .append_column("tags", pa.array(_TAGS))
    .append_column("price", pa.array(np.arange(ITEMS) * 1.5)),
    ("title",),
)
NEWER = np.arange(ITEMS) % 5 == 2


def narrow(recommender, beams: int):
    """Return the recommender with few beams."""
    clone = recommender.clone()
    search = clone.settings.search.model_copy(update={"num_beams": beams})
    clone.settings = clone.settings.model_copy(update={"search": search})
    return clone


@cache
def family(name: str):
    made = {
        "memory": lambda: parts()["memory"],
        "sasrec": lambda: parts()["sasrec"],
        "knn": lambda: parts()["knn"],
        "gram": lambda: built(GROUNDED),
        "gram with few beams": lambda: narrow(built(GROUNDED), 3),
        "gram of the paper": lambda: built(PAPER),
        "gram of the paper with few beams": lambda: narrow(built(PAPER), 4),
        "tsrec": lambda: causal.built(causal.GROUNDED),
        "product": lambda: fused("model", "memory", "knn", weights=[0.7, 0.2]),
        "product of scorers": lambda: fused("sasrec", "memory", weights=[1.5]),
        "product of both": lambda: fused("model", "causal", weights=[1.0], depth=10, reach=10),
        "reciprocal ranks": lambda: fused("model", "memory", kind="reciprocal-rank", depth=ITEMS),
        "short reciprocal ranks": lambda: fused("memory", "sasrec", kind="reciprocal-rank", depth=10),
    }
    return made[name]()


EXHAUSTIVE = [
    *("memory", "sasrec", "knn", "gram", "gram of the paper", "tsrec", "product", "product of scorers"),
    "reciprocal ranks",
]
"""Those that see the whole tiny catalogue in one ranking."""
FEW_BEAMS = ["gram with few beams", "gram of the paper with few beams", "product of both", "short reciprocal ranks"]

FILTERS = st.sampled_from(["price<12", "price>=6", "brand=acme", "title~red", "tags=big", 'brand=""', "brand!=zed"])
IDS = st.lists(st.integers(0, ITEMS + 3).map(lambda number: f"item-{number}"), min_size=1, max_size=12)


@st.composite
def requests(draw) -> tuple[list[int], int, GivenRules, bool]:
    rules = GivenRules(
        allow=draw(st.lists(FILTERS, max_size=1)),
        deny=draw(st.lists(FILTERS, max_size=1)),
        allow_items=draw(st.just([]) | IDS),
        deny_items=draw(st.just([]) | IDS),
        candidates=draw(st.none() | IDS),
        boosts=[Boost(text, draw(st.floats(-10, 10))) for text in draw(st.lists(FILTERS, max_size=2))],
        at_most=[
            AtMost(field, draw(st.integers(1, 3)))
            for field in draw(st.lists(st.sampled_from(["brand", "tags"]), max_size=2, unique=True))
        ],
        new_items=draw(st.sampled_from([0.0, 0.0, 0.2, 0.5, 1.0])),
    )
    history = draw(st.lists(st.integers(0, ITEMS - 1), max_size=6))
    return history, draw(st.integers(1, ITEMS + 2)), rules, draw(st.booleans())


def answer(recommender, asked) -> list[RankedItems]:
    rules = [compile_rules(FACTS, given, newer=NEWER) for _, _, given, _ in asked]
    seen = [np.array(history if unseen else [], dtype=np.int32) for history, _, _, unseen in asked]
    histories = Sequences.from_lists([history for history, _, _, _ in asked])
    return rank_with_rules(recommender, histories, [k for _, k, _, _ in asked], rules, seen=seen)


def legal_items(request) -> np.ndarray:
    """Return what may be listed, told item by item."""
    history, _, given, unseen = request
    ids = FACTS.item_ids
    rules = compile_rules(FACTS, GivenRules(allow=given.allow, deny=given.deny))
    legal = np.ones(ITEMS, dtype=bool) if rules.allowed is None else rules.allowed.copy()
    for item in range(ITEMS):
        legal[item] &= not given.allow_items or ids[item] in given.allow_items
        legal[item] &= ids[item] not in given.deny_items
        legal[item] &= given.candidates is None or ids[item] in given.candidates
        legal[item] &= not (unseen and item in history)
    return legal


def groups(field: str, item: int) -> set[str]:
    value = {"brand": _BRANDS, "tags": _TAGS}[field][item]
    values = value if isinstance(value, list) else [value]
    return {each.strip().lower() for each in values if each}


def greedy(ranking: list[int], k: int, given: GivenRules) -> list[int]:
    """Choose item by item; places kept for new items are a quota of the others, lifted where it leaves a list short."""
    kept = min(round(min(k, ITEMS) * given.new_items), int(NEWER[ranking].sum()) if ranking else 0)
    taken: list[int] = []
    for others in (min(k, ITEMS) - kept, ITEMS):
        for item in ranking:
            room = all(
                sum(name in groups(quota.field, each) for each in taken) < quota.count
                for quota in given.at_most
                for name in groups(quota.field, item)
            )
            old = sum(not NEWER[each] for each in taken)
            if item not in taken and room and len(taken) < k and (NEWER[item] or old < others):
                taken.append(item)
    return sorted(taken, key=ranking.index)


def whole_ranking(recommender, request) -> Ranking:
    """Rank all legal items, boosted."""
    history, _, given, _ = request
    boosts = compile_rules(FACTS, GivenRules(boosts=given.boosts)).boosts
    histories = Sequences.from_lists([history])
    return recommender.rank(
        histories, k=ITEMS, allowed=legal_items(request), **({} if boosts is None else {"boosts": boosts})
    )


def check_lawful(request, found: RankedItems) -> None:
    _, k, given, _ = request
    legal = legal_items(request)
    items = found.items.tolist()
    assert found.legal == legal.sum()
    assert len(set(items)) == len(items) <= k
    assert legal[items].all()
    assert (np.diff(found.scores) <= 0).all()
    assert np.isfinite(found.scores).all()
    assert found.short == (len(items) < min(k, legal.sum()))
    assert not found.short or given.at_most
    for quota in given.at_most:
        names = [name for item in items for name in groups(quota.field, item)]
        assert all(names.count(name) <= quota.count for name in names)
    left = [item for item in np.flatnonzero(legal) if item not in items]
    if len(items) < min(k, legal.sum()):  # then every item that is left would break a quota
        assert not set(greedy([*items, *left], k, GivenRules(at_most=given.at_most))) - set(items)


@pytest.mark.parametrize("name", EXHAUSTIVE)
@settings(max_examples=12)
@given(asked=st.lists(requests(), min_size=1, max_size=6))
def test_lists_are_the_greedy_choice_along_the_ranking_of_all_legal_items(name, asked):
    recommender = family(name)
    for request, found in zip(asked, answer(recommender, asked), strict=True):
        check_lawful(request, found)
        ranking = whole_ranking(recommender, request)
        expected = greedy([item for item in ranking.items[0].tolist() if item >= 0], request[1], request[2])
        scores = dict(zip(ranking.items[0].tolist(), ranking.scores[0].tolist(), strict=True))
        wanted = [scores[item] for item in expected]
        np.testing.assert_allclose(found.scores, wanted, atol=1e-4)
        # items whose scores differ by rounding only may change places
        apart = np.diff(np.sort(ranking.scores[0][np.isfinite(ranking.scores[0])])).min(initial=1) > 1e-4
        assert found.items.tolist() == expected or not apart
        assert found.exact is (name != "reciprocal ranks" or not found.legal)


@pytest.mark.parametrize("name", FEW_BEAMS)
@settings(max_examples=12)
@given(asked=st.lists(requests(), min_size=1, max_size=5))
def test_a_search_that_does_not_see_all_items_fills_lists_as_well(name, asked):
    for request, found in zip(asked, answer(family(name), asked), strict=True):
        check_lawful(request, found)


@pytest.mark.parametrize("name", ["gram with few beams", "gram of the paper with few beams"])
@settings(max_examples=12)
@given(asked=st.lists(requests(), min_size=4, max_size=4))
def test_a_list_that_calls_itself_exact_is_the_one_of_all_scores(name, asked):
    wide = family("gram" if name == "gram with few beams" else "gram of the paper")
    narrowed = family(name)
    narrowed.model.load_state_dict(wide.model.state_dict())
    for request, found in zip(asked, answer(narrowed, asked), strict=True):
        if found.exact:
            (best,) = answer(wide, [request])
            np.testing.assert_allclose(found.scores, best.scores, atol=1e-4)


@pytest.mark.parametrize("name", [*EXHAUSTIVE, *FEW_BEAMS])
@settings(max_examples=5)
@given(asked=st.lists(requests(), min_size=32, max_size=32))
def test_a_request_alone_gets_the_list_that_it_gets_among_others(name, asked):
    together = answer(family(name), asked)
    for request, found in list(zip(asked, together, strict=True))[::5]:
        (alone,) = answer(family(name), [request])
        np.testing.assert_allclose(found.scores, alone.scores, atol=1e-5)
        assert np.array_equal(found.items, alone.items) or np.diff(np.sort(found.scores)).min(initial=1) < 1e-5
        assert (found.legal, found.short) == (alone.legal, alone.short)


@pytest.mark.parametrize("name", ["memory", "gram with few beams", "product", "short reciprocal ranks"])
def test_without_rules_lists_are_those_of_the_recommender(name):
    recommender = family(name)
    histories = Sequences.from_lists([[], [3], [1, 2, 3, 4, 5, 6, 7]])
    found = rank_with_rules(recommender, histories, [2, 5, 9], [Rules()] * 3)
    for row, k in enumerate((2, 5, 9)):
        ranking = recommender.rank(histories.take([row]), k=k)
        assert found[row].items.tolist() == ranking.items[0].tolist()
        np.testing.assert_allclose(found[row].scores, ranking.scores[0], atol=1e-5)


def test_few_beams_are_sometimes_exact_and_sometimes_not():
    histories = Sequences.from_lists([[item, (item + 3) % ITEMS] for item in range(ITEMS)])
    boosts = np.random.default_rng(0).normal(size=(ITEMS, ITEMS)).astype(np.float32) * 3
    rules = [Rules(boosts=each) for each in boosts]
    found = rank_with_rules(family("gram with few beams"), histories, [3] * ITEMS, rules)
    assert len({each.exact for each in found}) == 2


class Plain:
    """A recommender of somebody else: no boosts, no bounds; it ranks items by their numbers and counts its calls."""

    catalog = FACTS

    def __init__(self, most: int = ITEMS) -> None:
        self.most, self.calls = most, 0

    def rank(self, histories, *, k, exclude_seen=False, allowed=None):
        self.calls += 1
        allowed = np.broadcast_to(True if allowed is None else allowed, (len(histories), ITEMS))
        items = np.full((len(histories), k), -1, dtype=np.int32)
        for row in range(len(histories)):
            best = np.flatnonzero(allowed[row])[: min(k, self.most)]
            items[row, : len(best)] = best
        return Ranking(items, np.where(items < 0, -np.inf, -items).astype(np.float32))


def test_a_recommender_without_bounds_cannot_tell_whether_lists_are_exact():
    given = compile_rules(FACTS, GivenRules(at_most=["brand=1"]))
    plain = Plain()
    (found,) = rank_with_rules(plain, Sequences.from_lists([[]]), [8], [given])
    assert found.items.tolist() == [0, 2, 3, 4, 5, 9, 13, 14]
    assert found.exact is None
    assert plain.calls == 2, "items 0 to 7 give five, and one more call gives the rest"


def test_a_recommender_that_lists_too_little_does_not_hold_up_the_request():
    some = Rules(np.arange(ITEMS) < 9, quotas=compile_rules(FACTS, GivenRules(at_most=["brand=1"])).quotas)
    for rules in (Rules(), some):
        (found,) = rank_with_rules(Plain(most=0), Sequences.from_lists([[]]), [8], [rules])
        assert (len(found.items), found.short) == (0, True)
    plain = Plain(most=3)
    (found,) = rank_with_rules(plain, Sequences.from_lists([[]]), [8], [Rules()])
    assert found.items.tolist() == list(range(8))
    assert plain.calls == 3


def test_places_are_kept_for_new_items_and_given_back_where_there_are_too_few():
    plain, histories = Plain(), Sequences.from_lists([[]])
    rank = partial(rank_with_rules, plain, histories)
    (found,) = rank([6], [Rules(new_items=0.5, newer=NEWER)])
    assert found.items.tolist() == [0, 1, 2, 3, 7, 12]
    (found,) = rank([6], [Rules(new_items=0.5, newer=np.arange(ITEMS) == 19)])
    assert found.items.tolist() == [0, 1, 2, 3, 4, 19]
    (found,) = rank([6], [Rules(new_items=1.0, newer=np.arange(ITEMS) > 16)])
    assert found.items.tolist() == [0, 1, 2, 17, 18, 19]
    (found,) = rank([4], [Rules(new_items=0.1, newer=NEWER)])
    assert found.items.tolist() == [0, 1, 2, 3]  # round(0.4) keeps no place
    # a quota comes first: items 2 and 7 share a brand, so one kept place goes back
    quotas = compile_rules(FACTS, GivenRules(at_most=["brand=1"])).quotas
    (found,) = rank([4], [Rules(quotas=quotas, new_items=0.5, newer=np.isin(np.arange(ITEMS), [2, 7]))])
    assert found.items.tolist() == [0, 2, 3, 4]
    assert not found.short


def test_seen_items_are_not_legal():
    (found,) = rank_with_rules(
        Plain(), Sequences.from_lists([[]]), [3], [Rules()], seen=[np.array([0, 2, 2], dtype=np.int32)]
    )
    assert found.items.tolist() == [1, 3, 4]
    assert found.legal == ITEMS - 2


@pytest.mark.parametrize(
    "name", ["memory", "gram with few beams", "gram of the paper with few beams", "product", "reciprocal ranks"]
)
def test_all_candidates_come_back_with_their_scores(name, monkeypatch):
    recommender = family(name)
    histories = Sequences.from_lists([[1, 2], [], [5]])
    candidates = [np.array(each, dtype=np.int32) for each in ([2, 9, 4, 9, 1, 17, 12], [], [3])]
    boost = np.zeros(ITEMS, dtype=np.float32)
    boost[4] = 2.0
    whole = score_candidates(recommender, histories, candidates, boosts=[boost, None, None])
    assert [sorted(each.items.tolist()) for each in whole] == [[1, 2, 4, 9, 12, 17], [], [3]]
    allowed = np.zeros(ITEMS, dtype=bool)
    allowed[candidates[0]] = True
    ranking = recommender.rank(histories.take([0]), k=6, allowed=allowed, boosts=boost)
    assert whole[0].items.tolist() == ranking.items[0].tolist()
    np.testing.assert_allclose(whole[0].scores, ranking.scores[0], atol=1e-5)
    monkeypatch.setattr("lexirec.models.ranking_rules._PIECE", 4)
    pieces = score_candidates(recommender, histories, candidates, boosts=[boost, None, None])
    for one, other in zip(whole, pieces, strict=True):
        assert one.items.tolist() == other.items.tolist()
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
        assert one.exact == other.exact


def test_requests_that_do_not_fit_are_refused_in_one_line():
    histories = Sequences.from_lists([[0], [1]])
    with pytest.raises(SettingsError, match="ks are given for 1 rows, histories for 2"):
        rank_with_rules(Plain(), histories, [1], [Rules()] * 2)
    with pytest.raises(SettingsError, match="seen are given for 3 rows"):
        rank_with_rules(Plain(), histories, [1, 1], [Rules()] * 2, seen=[np.empty(0, np.int32)] * 3)
    with pytest.raises(SettingsError, match="k = 0"):
        rank_with_rules(Plain(), histories, [1, 0], [Rules()] * 2)
    with pytest.raises(DataError, match="holds item number 99"):
        rank_with_rules(Plain(), Sequences.from_lists([[99]]), [1], [Rules()])
    assert rank_with_rules(Plain(), Sequences.from_lists([]), [], []) == []
