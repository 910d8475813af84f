"""Types of events through a whole experiment: what is trained on, what lists leave out, and what `recommend` does."""

from __future__ import annotations

import json
import random

import pytest

from lexirec import cli
from lexirec.core.runs import find_run
from lexirec.core.store import Store
from lexirec.data.splits import Split
from lexirec.evaluation.evaluator import Report
from lexirec.pipeline.experiment import load_experiment
from lexirec.pipeline.run import plan_experiment, run_experiment

ITEMS = 30
FILE = """
name = "typed"
[data]
items = "items.csv"
interactions = "events.csv"
{events}
[baselines.popularity]
kind = "popularity"
[evaluation]
ks = [30]
seen = ["included", "excluded"]
"""
TYPES = '[data.events]\nread = ["buy"]\nseen = ["buy", "view"]\nnever = ["hide"]\n'


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("typed")
    chance = random.Random(0)
    (folder / "items.csv").write_text("item_id,title\n" + "".join(f"A{n},Thing {n}\n" for n in range(ITEMS)))
    rows = []
    for user in range(25):
        kinds = ["buy"] * 5 + ["view"] * 4 + ["hide"] * 3
        chance.shuffle(kinds)
        items = chance.sample(range(ITEMS), len(kinds))
        rows += [
            f"u{user},A{item},{1_600_000_000 + 100 * n},{kind}" for n, (item, kind) in enumerate(zip(items, kinds))
        ]
    (folder / "events.csv").write_text("user_id,item_id,time,type\n" + "\n".join(rows) + "\n")
    return folder


def experiment(folder, events):
    path = folder / ("typed.toml" if events else "plain.toml")
    path.write_text(FILE.format(events=events) if events else FILE.format(events="").replace("typed", "plain"))
    return load_experiment(path)


@pytest.fixture(scope="module")
def store(shop):
    store = Store(shop / "store")
    for events in (TYPES, ""):
        run_experiment(experiment(shop, events), store)
    return store


def test_lists_leave_out_what_was_seen_and_never_hold_what_was_hidden(store):
    run = find_run(store, "typed")
    split = Split.load(run.stages["data"].folder / "split")
    assert split.test.never is not None
    for treatment in ("included", "excluded"):
        report = Report.load(run.stages["evaluation.popularity"].folder / treatment)
        for row, listed in enumerate(report.lists.items):
            out = set(split.test.never.row(row).tolist())
            out |= set(split.test.seen.row(row).tolist()) if treatment == "excluded" else set()
            assert set(listed[listed >= 0].tolist()) == set(range(ITEMS)) - out
    assert sum(split.test.never.lengths) > 10
    assert (split.test.seen.lengths > split.test.histories.lengths).sum() > 10  # views, too
    assert report.protocol["excluding_events"] == {"seen": 225, "never": 75}
    assert report.invalid == 0


def test_without_types_nothing_is_left_out_but_histories_and_keys_know_nothing_of_types(shop, store):
    run = find_run(store, "plain")
    split = Split.load(run.stages["data"].folder / "split")
    assert (split.test.seen, split.test.never) == (None, None)
    assert not (run.stages["data"].folder / "split" / "excluded").exists()
    report = Report.load(run.stages["evaluation.popularity"].folder / "excluded")
    for row, listed in enumerate(report.lists.items):
        history = set(split.test.histories.row(row).tolist())
        assert set(listed[listed >= 0].tolist()) == set(range(ITEMS)) - history
    assert "events" not in experiment(shop, "").data.model_dump(mode="json")


def test_whether_evaluations_follow_is_part_of_the_key(shop, store):
    def keys(events):
        return {stage.name: stage.key for stage in plan_experiment(experiment(shop, events), store)}

    assert keys(TYPES)["data"] != keys(TYPES + "evaluate = false\n")["data"]


def test_recommend_reads_types_as_the_experiment_does(shop, store, capsys):
    def listed(*options):
        with pytest.raises(SystemExit) as ended:
            cli.main(["recommend", "typed", *options, "-k", "30", "--json", "--store", str(store.root)])
        assert not ended.value.code
        return {each["item_id"] for each in json.loads(capsys.readouterr().out)}

    every = {f"A{n}" for n in range(ITEMS)}
    events = ["--history", "A1", "--event", "buy:A2", "--event", "view:A3", "--event", "hide:A4", "--event", "cart:A5"]
    assert listed(*events) == every - {"A1", "A2", "A3", "A4"}
    assert listed(*events, "--include-seen") == every - {"A4"}
    assert listed("--history", "A1") == every - {"A1"}


def test_an_event_without_a_type_is_one_line(shop, store, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["recommend", "typed", "--event", "A3", "--store", str(store.root)])
    assert ended.value.code
    assert "event 'A3': write it as TYPE:ID" in capsys.readouterr().err
