"""What cannot be learned from or measured is refused at the stage data, before anything is trained."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lexirec.core.config import validate_settings
from lexirec.core.errors import DataError
from lexirec.core.progress import quiet
from lexirec.core.store import Store
from lexirec.data.sequences import Sequences
from lexirec.pipeline.data_checks import check_data, check_histories
from lexirec.pipeline.experiment import Experiment
from lexirec.pipeline.run import run_experiment
from lexirec.pipeline.stages.data import load_split
from tests.worlds.small_run import small_run

WORDS = ("red", "blue", "green", "black")
ENSEMBLE = {"ensemble": {"fused": {"of": ["memory", "popularity"]}}}
PUBLISHED = {"split": {"kind": "published"}}


def write(folder: Path, users: list[list[int]], n_items: int, labels: list[list[str]] | None = None) -> dict[str, str]:
    """Write tables with one event an hour, and return the settings of the data."""
    items = [f"i{item},{WORDS[item % 4]} thing {item % 3}" for item in range(n_items)]
    (folder / "items.csv").write_text("\n".join(["item_id,title", *items]) + "\n")
    rows = ["user_id,item_id,time,split"]
    for user, events in enumerate(users):
        for place, item in enumerate(events):
            part = labels[user][place] if labels is not None else ""
            rows.append(f"u{user},i{item},{1_600_000_000 + 3600 * place + user},{part}")
    text = "\n".join(row if labels is not None else row.rpartition(",")[0] for row in rows)
    (folder / "events.csv").write_text(text + "\n")
    return {"kind": "tables", "items": str(folder / "items.csv"), "interactions": str(folder / "events.csv")}


def drawn(users: int, n_items: int, length: int) -> list[list[int]]:
    return np.random.default_rng(0).integers(0, n_items, (users, length)).tolist()


def labelled(*pattern: str) -> list[list[str]]:
    return [list(pattern)] * 12


def refused(folder: Path, data: dict, **changes) -> str:
    """Run an experiment that must be refused, and return why; nothing but the data may be in the store."""
    baselines = {"popularity": {"kind": "popularity"}, "memory": {"kind": "memory"}}
    settings = {"name": "x", "data": data, "baselines": baselines, **changes}
    with quiet(), pytest.raises(DataError) as caught:
        run_experiment(validate_settings(settings, Experiment), Store(folder / "store"))
    assert {path.name for path in (folder / "store").iterdir() if path.is_dir()} <= {"data", "unfinished"}
    message = str(caught.value)
    assert message.startswith("data: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("changes", [{}, ENSEMBLE, {"evaluation": {"fold": "validation"}}])
def test_users_with_two_events(tmp_path, changes):
    message = refused(tmp_path, write(tmp_path, drawn(10, 6, 2), 6), **changes)
    assert "none of the 10 users has the three events that leave-last-out needs (the longest history has 2)" in message
    assert 'data.split.kind = "global-temporal"' in message
    assert "choose_on" not in message


def test_that_advice_helps(tmp_path):
    data = write(tmp_path, drawn(10, 6, 2), 6) | {"split": {"kind": "global-temporal"}}
    settings = {"name": "x", "data": data, "baselines": {"memory": {"kind": "memory"}}, "evaluation": {"ks": [2]}}
    with quiet():
        assert run_experiment(validate_settings(settings, Experiment), Store(tmp_path / "store")) is not None


def test_users_with_one_event(tmp_path):
    message = refused(tmp_path, write(tmp_path, drawn(10, 6, 1), 6))
    assert "the longest history has 1); there is no history to predict from: check which column is user_id" in message


def test_one_item(tmp_path):
    assert "the catalogue has 1 item" in refused(tmp_path, write(tmp_path, drawn(10, 1, 5), 1))


def test_one_user(tmp_path):
    message = refused(tmp_path, write(tmp_path, drawn(1, 6, 12), 6))
    assert "all 12 events are of one user; check which column is user_id" in message


def test_a_core_of_one_user(tmp_path):
    users = [[0, 1, 2] * 10, [3], [4], [5]]
    message = refused(tmp_path, write(tmp_path, users, 6) | {"k_core": 5})
    assert "of one user" in message
    assert "data.k_core = 5" in message


@pytest.mark.parametrize(
    ("pattern", "changes", "words"),
    [
        (["train", "train", "validation"], {}, "there is no test case: the column split marks no event as test"),
        (["validation", "test", "test"], {}, "no event is in the training part"),
        (["train", "train", "test"], ENSEMBLE, "'ensemble.fused' has no cases to choose its weights on"),
        (
            ["train", "train", "test"],
            {"evaluation": {"fold": "validation"}},
            "there is no validation case: the column split marks no event as validation",
        ),
    ],
)
def test_published_splits_that_lack_a_part(tmp_path, pattern, changes, words):
    data = write(tmp_path, drawn(12, 6, len(pattern)), 6, labelled(*pattern)) | PUBLISHED
    assert words in refused(tmp_path, data, **changes)


def test_held_out_events_that_are_all_first(tmp_path):
    users, labels = [*drawn(6, 6, 1), *drawn(6, 6, 3)], [["test"]] * 6 + [["train"] * 3] * 6
    message = refused(tmp_path, write(tmp_path, users, 6, labels) | PUBLISHED)
    assert "marks as held out (6) are the first of their users" in message


@pytest.mark.parametrize(
    ("cuts", "words"),
    [
        ((1.9e9, 2e9), "which begins at 2033-05-18 03:33:20 UTC; raise data.split.test, or move data.split.cuts"),
        ((1e9, 1.1e9), "validation begins at 2001-09-09 01:46:40 UTC, before every event; move data.split.cuts"),
    ],
)
def test_cuts_beyond_the_events(tmp_path, cuts, words):
    data = write(tmp_path, drawn(10, 6, 6), 6) | {"split": {"kind": "global-temporal", "cuts": list(cuts)}}
    assert words in refused(tmp_path, data)


def test_test_targets_that_are_all_cold(tmp_path):
    users = [[user % 5, (user + 1) % 5, 5 + user % 3] for user in range(12)]
    data = write(tmp_path, users, 8, labelled("train", "train", "test")) | PUBLISHED
    message = refused(tmp_path, data)
    assert "none of the 12 test targets (3 items) occurs in the training part" in message
    assert "spell item ids alike" in message


def test_rows_of_one_event_cannot_train_a_network_that_is_needed(tmp_path):
    data = write(tmp_path, drawn(10, 6, 4), 6) | {"split": {"kind": "leave-last-out", "hold_back": 1.0}}
    near = {"vectors": {"text": {}}, "codes": {"branching": 2, "levels": 2}, "neighbors": {"kind": "sasrec", "k": 2}}
    message = refused(tmp_path, data, **near)
    assert "none of the 10 training rows has two events, so the SASRec of [neighbors] has no step to learn" in message
    assert message.endswith("lower data.split.hold_back, or another split")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ensemble": {"fused": {"of": ["memory", "popularity"], "choose_on": "unseen"}}}, "'ensemble.fused'"),
        ({"evaluation": {"fold": "validation", "cases": "unseen"}}, 'evaluation.cases is "unseen"'),
    ],
)
def test_unseen_cases_where_there_are_none(tmp_path, changes, words):
    message = refused(tmp_path, write(tmp_path, drawn(10, 6, 5), 6), **changes)
    assert words in message
    assert "every validation history ends with a training event" in message
    assert "data.split.hold_back = 0.2" in message


def test_a_run_that_stops_before_it_measures_needs_no_cases(tmp_path):
    data = write(tmp_path, drawn(10, 6, 2), 6)
    settings = {"name": "x", "data": data, "baselines": {"memory": {"kind": "memory"}}}
    experiment = validate_settings(settings, Experiment)
    with quiet():
        assert run_experiment(experiment, Store(tmp_path / "store"), until="baselines") is None
    with pytest.raises(DataError, match="no test case"):
        run_experiment(experiment, Store(tmp_path / "store"), until="data")


def test_lists_longer_than_the_catalogue_and_missing_validation_cases_are_told(tmp_path, caplog):
    data = write(tmp_path, drawn(12, 6, 3), 6, labelled("train", "train", "test")) | PUBLISHED
    network = {"kind": "sasrec", "dimensions": 4, "layers": 1, "training": {"epochs": 1}}
    settings = {"name": "x", "data": data, "baselines": {"sasrec": network}, "evaluation": {"ks": [3, 6, 9]}}
    with quiet(), caplog.at_level(logging.WARNING):
        done = run_experiment(validate_settings(settings, Experiment), Store(tmp_path / "store"))
    assert done is not None
    assert "evaluation.ks has 6, 9, and the catalogue only 6 items" in caplog.text
    assert "there is no validation case to choose epochs on, so the last epoch is kept" in caplog.text


def test_usual_data_pass_without_a_word(caplog):
    _, done = small_run()
    split = load_split(done.stage("data").folder)
    check_data(validate_settings(done.settings, Experiment), split)
    check_histories(split)
    assert caplog.text == ""
    single = replace(split, train=Sequences.from_lists([[1]] * 9), train_users=np.arange(9))
    nothing = single.test.take(np.empty(0, np.int64))
    with pytest.raises(DataError, match="every user has one event"):
        check_histories(replace(single, test=nothing, validation=nothing))
