"""Planted leaks: each in data or an artifact of its own, each found by its name; the clean shop has none."""

import re
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from lexirec.core.errors import DataError
from lexirec.core.progress import quiet
from lexirec.data.neighbors import co_occurrence
from lexirec.data.sequences import Sequences
from lexirec.data.splits import TEST, TRAIN, VALIDATION, Cases, global_temporal, leave_last_out, predefined_split
from lexirec.evaluation.evaluator import Report
from lexirec.models.baselines.memory import TRANSITIONS, Memory
from lexirec.models.baselines.popularity import Popularity
from lexirec.models.baselines.recommender import ScoreRecommender
from lexirec.semantic_ids.embeddings.svd import LsaSpace
from lexirec.workflows.audit.checks import CHECKS, Check, examine
from lexirec.workflows.audit.findings import NotLookedError
from tests.worlds.audit import (
    appended,
    catalog_with,
    clean_split,
    evidence,
    look,
    looked,
    shop,
    with_test,
)

NAMES = {check.name for check in CHECKS}


def severities(check, given):
    return [each.severity for each in look(check, given)]


@cache
def memory() -> ScoreRecommender:
    catalog, _ = shop()
    return ScoreRecommender(catalog, Memory(TRANSITIONS).fit(clean_split().train, len(catalog)))


def test_names_are_unique_and_every_check_says_what_it_asks():
    assert len(NAMES) == len(CHECKS)
    assert all(check.asks.endswith("?") for check in CHECKS)


def test_the_clean_shop_has_no_leak():
    catalog, interactions = shop()
    with quiet():
        vectors = LsaSpace.fit(catalog.texts(), 32).embed(catalog.texts()).astype(np.float32)
        found = examine(
            evidence(
                neighbors=co_occurrence(clean_split().train, len(catalog), 10),
                vectors={"text": vectors},
                scorers={"transitions": memory()},
                settings={"neighbors": {"kind": "co-occurrence", "k": 10}},
            )
        )
    assert [each.check for each in found.findings if each.severity == "leak"] == []
    assert {"neighbors", "baselines", "everybodys-future"} <= set(found.asked)
    assert set(found.asked) | set(found.not_looked_at) == NAMES
    assert interactions.times is not None


def test_a_clean_split_by_time_has_no_leak():
    _, interactions = shop()
    with quiet():
        found = examine(evidence(split=global_temporal(interactions)))
    assert [each.check for each in found.findings if each.severity == "leak"] == []


# ---------------------------------------------------------------------------------------------------- planted leaks


def test_planted_test_items_in_training_rows():
    split = clean_split()
    rows = np.searchsorted(split.train_users, split.test.users[:40])
    train = split.train.take(np.arange(len(split.train)))
    chosen = train.take(rows)
    longer = appended(chosen, split.test.targets[:40])
    rest = np.setdiff1d(np.arange(len(train)), rows)
    lists = [longer.row(i) for i in range(40)] + [train.row(i) for i in rest]
    leaky = replace(
        split,
        train=Sequences.from_lists([row.tolist() for row in lists]),
        train_users=np.concatenate([split.test.users[:40], split.train_users[rest]]),
    )
    (found,) = look("held-out-in-training", evidence(split=leaky))
    assert found.severity == "leak"
    assert "40 of" in found.found
    assert found.share == pytest.approx(40 / len(split.test))
    assert shop()[1].user_ids[split.test.users[0]] in found.examples[0]
    without_tables = evidence(split=leaky, interactions=None, times=None)
    (again,) = look("held-out-in-training", without_tables)
    assert again.share == pytest.approx(found.share, abs=0.02), "histories that are truncated tell nothing"


def test_planted_validation_items_in_training_rows():
    split = clean_split()
    leaky = replace(split, train=appended(split.train, split.validation.targets))
    (found,) = look("held-out-in-training", evidence(split=leaky))
    assert "validation" in found.found
    assert found.share is None


def test_planted_events_that_were_to_be_held_back():
    _, interactions = shop()
    split = leave_last_out(interactions, hold_back=0.2)
    assert look("held-out-in-training", evidence(split=split)) == []
    leaky = replace(split, train=clean_split().train, train_users=clean_split().train_users)
    (found,) = look("held-out-in-training", evidence(split=leaky))
    taught = split.protocol["held_back_events"]
    assert f"{taught:,} of {taught:,} events" in found.found
    assert (found.severity, found.share, len(found.examples)) == ("leak", None, 3)


def test_planted_answer_in_the_history():
    split = clean_split()
    leaky = with_test(split, histories=appended(split.test.histories, split.test.targets))
    (found,) = look("answer-in-history", evidence(split=leaky))
    assert (found.severity, found.share) == ("leak", 1.0)


def test_planted_future_in_the_history():
    split = clean_split()
    validation = replace(split.validation, histories=appended(split.validation.histories, split.test.targets))
    (found,) = look("answer-in-history", evidence(split=replace(split, validation=validation)))
    assert found.severity == "leak"
    assert "later" in found.found


def test_histories_of_other_people_are_reported():
    split = clean_split()
    turned = with_test(split, histories=split.test.histories.take(np.roll(np.arange(len(split.test)), 1)))
    assert severities("answer-in-history", evidence(split=turned))[-1] == "distortion"


def doubled(step: float = 0.0):
    """The shop with every test event of half the users written twice, once as training."""
    _, interactions = shop()
    sequences, times = interactions.sequences, interactions.times
    ends = sequences.offsets[1:][::2] - 1
    places = np.sort(np.concatenate([np.arange(len(sequences.items)), ends]))
    copies = np.concatenate([[False], places[1:] == places[:-1]])
    labels = np.full(len(places), TRAIN, dtype=np.int8)
    added = np.zeros(len(sequences), dtype=np.int64)
    added[::2] = 1
    offsets = sequences.offsets + np.concatenate([[0], np.cumsum(added)])
    labels[offsets[1:] - 1] = TEST
    labels[offsets[1:] - 3] = VALIDATION
    return replace(
        interactions,
        sequences=Sequences(sequences.items[places], offsets),
        times=times[places] + copies * step,
        labels=labels,
        protocol={},
    )


def test_planted_duplicates_across_the_split():
    interactions = doubled()
    given = evidence(split=predefined_split(interactions), interactions=interactions, times=interactions.times)
    (found,) = look("duplicates", given)
    assert found.severity == "leak"
    assert found.share == pytest.approx(0.5, abs=0.01)
    later = doubled(step=60.0)
    assert look("duplicates", evidence(split=predefined_split(later), interactions=later, times=later.times)) == []


def test_planted_copies_of_users():
    split = clean_split()
    cases = split.test.take(np.flatnonzero(split.test.histories.lengths >= 5)[:30])
    copies = appended(cases.histories, cases.targets)
    lists = [split.train.row(i).tolist() for i in range(len(split.train))]
    lists += [copies.row(i).tolist() for i in range(len(copies))]
    users = np.concatenate([split.train_users, np.arange(len(copies)) + 10_000])
    (found,) = look(
        "copied-cases", evidence(split=replace(split, train=Sequences.from_lists(lists), train_users=users))
    )
    assert found.severity == "leak"
    assert found.share == pytest.approx(30 / len(split.test))
    assert look("copied-cases", evidence()) == []


def test_planted_selection_on_test():
    split = clean_split()
    given = evidence(split=replace(split, validation=split.test), settings={"baselines": {"s": {"kind": "sasrec"}}})
    (found,) = look("folds", given)
    assert (found.severity, found.share) == ("leak", 1.0)
    assert look("folds", evidence()) == []


def test_an_empty_validation_fold_and_figures_of_it_are_distortions():
    split = clean_split()
    settings = {"baselines": {"s": {"kind": "sasrec"}}, "evaluation": {"fold": "validation"}}
    given = evidence(
        split=replace(split, validation=split.validation.take(np.empty(0, dtype=np.int64))), settings=settings
    )
    assert severities("folds", given) == ["distortion", "distortion"]


def relabelled(tests: slice, validations: slice):
    """A published split whose held-out events are those of each user's row that the slices name."""
    _, interactions = shop()
    labels = np.full(len(interactions.sequences.items), TRAIN, dtype=np.int8)
    rows = interactions.sequences.offsets
    for start, end in pairwise(rows):
        labels[start:end][tests] = TEST
        labels[start:end][validations] = VALIDATION
    return replace(interactions, labels=labels)


def test_planted_training_on_the_own_future():
    interactions = relabelled(slice(2, 3), slice(1, 2))
    (found,) = look("own-future", evidence(split=predefined_split(interactions), interactions=interactions))
    assert found.severity == "leak"
    assert found.share == pytest.approx(1.0)
    assert look("own-future", evidence()) == []


def test_planted_training_on_everybodys_future_in_a_split_by_time():
    _, interactions = shop()
    cut = np.quantile(interactions.times, 0.8)
    users = np.repeat(np.arange(len(interactions)), interactions.sequences.lengths)
    labels = np.where((interactions.times >= cut) & (users % 2 == 0), TEST, TRAIN).astype(np.int8)
    interactions = replace(interactions, labels=labels)
    (found,) = look("everybodys-future", evidence(split=predefined_split(interactions), interactions=interactions))
    assert found.severity == "leak"
    assert found.share > 0


def test_first_events_alone_are_a_distortion_of_a_split_by_time():
    _, interactions = shop()
    labels = np.where(interactions.times >= np.quantile(interactions.times, 0.8), TEST, TRAIN).astype(np.int8)
    labels[interactions.sequences.offsets[:-1]] = TRAIN
    interactions = replace(interactions, labels=labels)
    (found,) = look("everybodys-future", evidence(split=predefined_split(interactions), interactions=interactions))
    assert (found.severity, found.share) == ("distortion", 0.0)
    assert "first events" in found.found


def test_leave_one_out_is_reported_of_everybodys_future_as_a_note():
    (found,) = look("everybodys-future", evidence())
    assert found.severity == "note"


def test_ties_and_orders_against_time_are_reported():
    _, interactions = shop()
    days = np.floor(interactions.times / (90 * 86_400))
    assert "same time" in look("ties-in-time", evidence(times=days))[0].found
    backwards = look("ties-in-time", evidence(times=interactions.times[::-1].copy()))
    assert backwards[-1].severity == "distortion"
    assert look("ties-in-time", evidence()) == []


def test_planted_neighbours_counted_from_all_events():
    catalog, interactions = shop()
    leaky = co_occurrence(interactions.sequences, len(catalog), 20, window=10)
    given = evidence(neighbors=leaky, settings={"neighbors": {"kind": "co-occurrence", "k": 20}})
    assert "those of all events" in look("neighbors", given)[0].found
    assert severities("neighbors", given)[0] == "leak"


def test_planted_published_neighbours_that_know_held_out_successions(tmp_path):
    catalog, interactions = shop()
    file = tmp_path / "neighbors.parquet"
    file.touch()
    settings = {"neighbors": {"kind": "published", "path": str(file)}}
    leaky = co_occurrence(interactions.sequences, len(catalog), 40, window=1)
    (found,) = look("neighbors", evidence(neighbors=leaky, settings=settings))
    assert found.severity == "leak"
    assert found.examples
    clean = co_occurrence(clean_split().train, len(catalog), 40, window=1)
    assert severities("neighbors", evidence(neighbors=clean, settings=settings)) == ["note"]


def test_neighbours_of_other_settings_are_a_distortion():
    catalog, _ = shop()
    other = co_occurrence(clean_split().train, len(catalog), 20, window=1)
    given = evidence(neighbors=other, settings={"neighbors": {"kind": "co-occurrence", "k": 20}})
    assert severities("neighbors", given) == ["distortion"]


def collaborative(rows: Sequences) -> np.ndarray:
    """Vectors of items by who comes after whom; no dimension is left out, so that nothing is smoothed."""
    catalog, _ = shop()
    counter = Memory(TRANSITIONS.model_copy(update={"window": 1, "backward": 1.0})).fit(rows, len(catalog))
    together = counter.counts.toarray()
    values, axes = np.linalg.eigh(together / np.sqrt(np.outer(together.sum(0), together.sum(0)) + 1e-9))
    return (axes * np.sqrt(np.maximum(values, 0))).astype(np.float32)


def test_planted_vectors_that_know_held_out_interactions(tmp_path):
    _, interactions = shop()
    file = tmp_path / "vectors.npy"
    file.touch()
    settings = {"vectors": {"buyers": {"kind": "precomputed", "path": str(file)}}}
    held = Sequences(interactions.sequences.items, interactions.sequences.offsets).last(2)
    leaky = evidence(vectors={"buyers": collaborative(held)}, settings=settings)
    assert severities("vectors", leaky) == ["leak"]
    clean = evidence(vectors={"buyers": collaborative(clean_split().train)}, settings=settings)
    assert severities("vectors", clean) == ["note"]


def test_planted_item_lists_in_texts():
    catalog, interactions = shop()
    near = co_occurrence(interactions.sequences, len(catalog), 40, window=1).items
    ids = np.array([*catalog.item_ids, ""])
    lists = [" ".join(row) for row in ids[near]]
    (found,) = look("texts", evidence(catalog=catalog_with("also_bought", lists)))
    assert found.severity == "leak"
    assert "also_bought" in found.found
    assert look("texts", evidence()) == []


def test_figures_of_sales_in_texts_are_a_distortion():
    sold = np.bincount(clean_split().test.targets, minlength=len(shop()[0]))
    catalog = catalog_with("rank", [str(1000 - int(count)) for count in sold])
    (found,) = look("texts", evidence(catalog=catalog))
    assert (found.severity, "'rank'" in found.found) == ("distortion", True)


def test_planted_popularity_of_all_events():
    catalog, interactions = shop()
    everything = ScoreRecommender(catalog, Popularity().fit(interactions.sequences, len(catalog)))
    fair = ScoreRecommender(catalog, Popularity().fit(clean_split().train, len(catalog)))
    (found,) = look("baselines", evidence(scorers={"fair": fair, "popularity": everything}))
    assert found.severity == "leak"
    assert "'popularity'" in found.found
    assert "all events" in found.found


def test_planted_counts_of_all_events():
    catalog, interactions = shop()
    leaky = ScoreRecommender(catalog, Memory(TRANSITIONS).fit(interactions.sequences, len(catalog)))
    assert severities("baselines", evidence(scorers={"transitions": leaky})) == ["leak"]


class Knowing(Memory):
    """A scorer that says of itself what is true, and has seen held-out events all the same."""

    def scores(self, histories):
        return np.asarray((self.seen[histories.items[histories.offsets[1:] - 1]]).toarray(), dtype=np.float32)


def test_planted_scorer_that_ranks_held_out_successions_first():
    catalog, interactions = shop()
    scorer = Knowing(TRANSITIONS).fit(clean_split().train, len(catalog))
    scorer.seen = Memory(TRANSITIONS).fit(interactions.sequences.last(2), len(catalog)).counts
    (found,) = look("baselines", evidence(scorers={"sly": ScoreRecommender(catalog, scorer)}))
    assert found.severity == "leak"
    assert "'sly'" in found.found


# ------------------------------------------------------------------------------------------------------- distortions


def test_targets_in_their_own_history_matter_where_seen_items_are_excluded():
    split = clean_split()
    targets = split.test.targets.copy()
    targets[:60] = split.test.histories.items[split.test.histories.offsets[:-1][:60]]
    given = evidence(split=with_test(split, targets=targets))
    (found,) = look("repeated-targets", given)
    assert (found.severity, found.share) == ("distortion", pytest.approx(60 / len(targets)))
    included = evidence(split=given.split, settings={"evaluation": {"seen": ["included"]}})
    assert severities("repeated-targets", included) == ["note"]


def test_fewer_candidates_and_invalid_places_are_distortions():
    ranks = np.ones(10, dtype=np.int64)
    cut = Report({"ndcg@10": 1.0}, ranks, {"candidates": 101, "list_length": 10}, invalid=3)
    given = evidence(reports={"model": {"excluded": cut}}, settings={"evaluation": {"sample_users": 50}})
    found = look("candidates", given)
    assert [each.severity for each in found] == ["distortion", "distortion", "note"]
    assert "101 candidates" in found[0].found


def test_cut_histories_are_counted_exactly_where_the_tables_are_there():
    _, interactions = shop()
    split = leave_last_out(interactions, max_history=4)
    expected = float((interactions.sequences.lengths > 5).mean())
    (found,) = look("cut-histories", evidence(split=split))
    assert found.share == pytest.approx(expected)
    (roughly,) = look("cut-histories", evidence(split=split, interactions=None))
    assert roughly.found.startswith("at most")


def test_a_core_counted_on_all_events_is_reported():
    _, interactions = shop()
    core, catalog = interactions.k_core(6, shop()[0])
    given = evidence(catalog=catalog, interactions=core, split=leave_last_out(core))
    (found,) = look("filter", given)
    assert "6-core" in found.found


def test_new_items_are_counted():
    split = clean_split()
    item = int(np.bincount(split.test.targets).argmax())
    train = split.train.where(split.train.items != item)
    (found,) = look("never-trained", evidence(split=replace(split, train=train)))
    assert found.share == pytest.approx(float((split.test.targets == item).mean()))


def test_twins_are_found_by_title_and_by_vector():
    catalog, _ = shop()
    split, titles = clean_split(), list(catalog.field("title"))
    target, told = int(split.test.targets[0]), int(split.test.histories.row(0)[-1])
    titles[target] = titles[told].upper() + " !"
    found = look("twins", evidence(catalog=catalog_with("title", titles)))
    assert any("user" in name for name in found[0].examples)
    vectors = np.eye(len(catalog), dtype=np.float32)
    vectors[target] = vectors[told]
    assert "0 of the same title" in look("twins", evidence(vectors={"text": vectors}))[0].found


def test_shared_identifiers_bound_what_counting_by_them_adds():
    ids = np.arange(len(shop()[0]))[:, None].repeat(2, axis=1).astype(np.int32)
    ids[1] = ids[0]
    hits = np.isin(clean_split().test.targets, [0, 1])
    (found,) = look("shared-identifiers", evidence(semantic_ids=ids))
    assert found.share == pytest.approx(hits.mean())
    assert look("shared-identifiers", evidence(semantic_ids=np.unique(ids, axis=0).repeat(1, axis=0))) == []


def with_ties():
    return evidence(split=replace(clean_split(), train=clean_split().train.take(range(9))))


def test_ties_are_bounded():
    (found,) = look("ties-in-scores", with_ties())
    low, high = (float(each) for each in re.findall(r"\d\.\d{4}", found.found)[:2])
    assert low < high


def test_what_a_test_set_can_show():
    (found,) = look("sample-size", evidence())
    assert "minimum detectable difference" in found.found
    several = Cases(
        np.zeros(6, dtype=np.int64), clean_split().test.targets[:6], clean_split().test.histories.take(range(6))
    )
    (found,) = look("sample-size", evidence(split=replace(clean_split(), test=several)))
    assert "6 test cases belong to 1 users" in found.found


def test_stored_differences_that_are_noise_are_named():
    ranks = np.random.default_rng(0).integers(0, 12, len(clean_split().test))
    other = ranks.copy()
    other[0] = 0
    cases = {"user": clean_split().test.users}
    reports = {
        "a": {"excluded": Report({"ndcg@10": 0.5}, ranks, cases=cases)},
        "b": {"excluded": Report({"ndcg@10": 0.4}, other, cases=cases)},
    }
    (found,) = look("sample-size", evidence(reports=reports))
    assert "smaller than what this test set can show" in found.found


def test_one_seed_is_reported():
    settings = {"baselines": {"s": {"kind": "sasrec"}}}
    assert severities("seeds", evidence(seeds=[3], settings=settings)) == ["note"]
    (found,) = look("seeds", evidence(seeds=[3, 4], settings=settings))
    assert "finished with 2 seeds (3, 4)" in found.found
    assert severities("seeds", evidence(seeds=[3, 4, 5], settings=settings)) == []


def test_generation_defaults_of_a_checkpoint(tmp_path):
    (tmp_path / "generation_config.json").write_text(
        '{"do_sample": true, "temperature": 0.7, "repetition_penalty": 1.05, "num_beams": 1, "pad_token_id": 0}'
    )
    (found,) = look("generation-defaults", evidence(checkpoints={"backbone": tmp_path}))
    assert "do_sample = True, repetition_penalty = 1.05, temperature = 0.7" in found.found
    (tmp_path / "generation_config.json").write_text("{}")
    assert look("generation-defaults", evidence(checkpoints={"backbone": tmp_path})) == []


# ------------------------------------------------------------------------------------------------------- the walk


def test_what_cannot_be_looked_at_is_said():
    found = looked("neighbors", evidence(missing={"neighbors": "it is not there"}))
    assert found.not_looked_at["neighbors"] == "it is not there"
    empty = replace(clean_split(), test=clean_split().test.take(np.empty(0, dtype=np.int64)))
    assert looked("twins", evidence(split=empty)).not_looked_at == {"twins": "there are no test cases"}


def test_a_check_that_breaks_off_keeps_what_it_found():
    def breaks(given):
        yield from look("ties-in-scores", with_ties())
        raise NotLookedError("the rest is not there")

    def fails(given):
        raise DataError("a file is damaged")

    with quiet():
        found = examine(evidence(), [Check("one", "does it?", breaks), Check("two", "does it?", fails)])
    assert [each.check for each in found.findings] == ["one"]
    assert found.not_looked_at == {"one": "the rest is not there", "two": "a file is damaged"}


def test_a_handful_of_users_who_make_up_half_of_the_repeats_are_reported():
    split = clean_split()
    targets, users = split.test.targets.copy(), split.test.users.copy()
    firsts = split.test.histories.items[split.test.histories.offsets[:-1]]
    targets[:60] = firsts[:60]
    users[:40] = users[0]
    repeats, few = look("repeated-targets", evidence(split=with_test(split, targets=targets, users=users)))
    assert "60 of" in repeats.found
    assert (few.severity, few.share) == ("distortion", pytest.approx(40 / len(targets)))
    assert few.found.startswith("1 user makes up 40 of the 60 repeats")
    scattered = evidence(split=with_test(split, targets=targets))
    assert len(look("repeated-targets", scattered)) == 1
    hidden = evidence(
        split=with_test(split, targets=targets, users=users), settings={"evaluation": {"seen": ["excluded"]}}
    )
    assert len(look("repeated-targets", hidden)) == 1
