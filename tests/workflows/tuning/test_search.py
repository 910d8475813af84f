import json
import tomllib
from pathlib import Path

import pytest

from lexirec import cli
from lexirec.core.errors import LexirecError, SettingsError
from lexirec.core.progress import quiet
from lexirec.core.runs import evaluations
from lexirec.core.store import Store
from lexirec.data.splits import unseen_cases
from lexirec.evaluation.evaluator import Report
from lexirec.pipeline.experiment import load_experiment
from lexirec.pipeline.resolve import alone
from lexirec.pipeline.run import run_experiment
from lexirec.pipeline.stages.data import load_split
from lexirec.training.hyperparameter_search import Journal
from lexirec.workflows.tuning import search
from lexirec.workflows.tuning.report import rows
from lexirec.workflows.tuning.search import tune
from lexirec.workflows.tuning.trials import load_trials

pytestmark = pytest.mark.long

EXPERIMENT = """
name = "tiny"
[data]
kind = "toy-shop"
products = 90
shoppers = 60
[vectors.text]
dimensions = 8
[baselines.popularity]
kind = "popularity"
[baselines.memory]
kind = "memory"
[baselines.item-knn]
kind = "item-knn"
[evaluation]
ks = [10]
"""
SPACE = """
trials = 3
[space.memory]
"baselines.memory.history_decay" = { low = 0.1, high = 1.0 }
"baselines.memory.window" = { low = 1, high = 10 }
"baselines.memory.evidence" = { choices = ["text", "none"] }
[space.item-knn]
"baselines.item-knn.neighbors" = { low = 2, high = 50, log = true }
"""


class Cut(BaseException):
    """The process dies here."""


@pytest.fixture
def files(tmp_path) -> tuple[Path, Path]:
    experiment, space = tmp_path / "tiny.toml", tmp_path / "space.toml"
    experiment.write_text(EXPERIMENT)
    space.write_text(SPACE)
    return experiment, space


def tuned(files, store, **budget):
    with quiet():
        return tune(*files, Store(store), **budget)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuning")
    paths = folder / "tiny.toml", folder / "space.toml"
    paths[0].write_text(EXPERIMENT)
    paths[1].write_text(SPACE)
    return paths, folder / "store", tuned(paths, folder / "store")


def test_everybody_has_the_same_budget(finished):
    _, _, found = finished
    assert {name: len(trials) for name, trials in found.trials.items()} == {"memory": 3, "item-knn": 3}
    assert {row["trials"] for row in rows(found)} == {3}


def test_the_first_trial_is_the_experiment_as_it_is(finished):
    paths, _, found = finished
    own = load_experiment(paths[0]).baselines["memory"]
    first = found.trials["memory"][0].params
    assert first == {
        "baselines.memory.history_decay": own.history_decay,
        "baselines.memory.window": own.window,
        "baselines.memory.evidence": own.evidence,
    }
    assert all(row["best"] >= row["first"] for row in rows(found))


def test_trials_are_judged_on_validation_alone(finished):
    _, store, _ = finished
    folds = {Report.load(path.parent).protocol["fold"] for path in store.glob("evaluation/*/*/metrics.json")}
    assert folds == {"validation"}
    assert not (store / "report").exists()
    assert not (store / "runs").exists()


def test_what_trials_share_is_made_once_and_paid_by_the_first(finished):
    _, store, found = finished
    assert len(list((store / "data").iterdir())) == 1
    assert not (store / "vectors").exists(), "nobody needs them"
    trials = found.trials["memory"]
    data = {trial.steps["data"] for trial in trials}
    assert len(data) == 1
    assert trials[0].seconds > 0


def test_the_best_settings_are_an_experiment_that_runs(finished):
    _, store, found = finished
    best = found.folder / "best.toml"
    loaded = load_experiment(best)
    assert loaded.name == "tiny-tuned"
    assert loaded.baselines["item-knn"].neighbors == found.best("item-knn").params["baselines.item-knn.neighbors"]
    with quiet():
        done = run_experiment(loaded, Store(store))
    assert set(evaluations(done)) == {"popularity", "memory", "item-knn"}
    report = Report.load(evaluations(done)["memory"] / "excluded")
    assert report.protocol["fold"] == "test"


def test_the_report_shows_budget_and_curve(finished):
    _, _, found = finished
    page = (found.folder / "report.md").read_text()
    assert "3 trials per recommender" in page
    assert "test cases are not used" in page
    assert "| memory | 3 | 0 |" in page
    assert (found.folder / "budget.png").stat().st_size > 5000


def test_a_search_that_was_cut_off_goes_on_as_if_it_had_not_been(finished, files, tmp_path, monkeypatch):
    _, _, whole = finished
    real, calls = search.run_trial, []

    def dies(*arguments):
        calls.append(arguments[1])
        if len(calls) == 3:
            raise Cut
        return real(*arguments)

    monkeypatch.setattr(search, "run_trial", dies)
    with pytest.raises(Cut):
        tuned(files, tmp_path / "store")
    folder = next((tmp_path / "store" / "tuning").iterdir())
    assert len(load_trials(folder / "memory")) + len(load_trials(folder / "item-knn")) == 2
    with (folder / "memory" / "journal.jsonl").open("a") as journal:
        journal.write('{"op_code": 4, "wor')  # a line that was not written to its end
    monkeypatch.setattr(search, "run_trial", real)
    found = tuned(files, tmp_path / "store")
    for system, trials in whole.trials.items():
        assert [dict(trial.params) for trial in found.trials[system]] == [dict(trial.params) for trial in trials]
        assert [trial.value for trial in found.trials[system]] == [trial.value for trial in trials]


def test_a_trial_that_the_journal_was_not_told_of_is_not_run_again(files, tmp_path, monkeypatch):
    real = Journal.tell

    def dies(self, number, value):
        raise Cut

    monkeypatch.setattr(Journal, "tell", dies)
    with pytest.raises(Cut):
        tuned(files, tmp_path / "store", trials=1)
    monkeypatch.setattr(Journal, "tell", real)
    found = tuned(files, tmp_path / "store", trials=1)
    assert {name: len(trials) for name, trials in found.trials.items()} == {"memory": 1, "item-knn": 1}


@pytest.mark.parametrize("name", ["00000.json", "journal.jsonl", "0*.json"])
def test_damaged_files_of_a_search_are_made_again(finished, files, tmp_path, caplog, name):
    _, _, whole = finished
    tuned(files, tmp_path / "store", trials=2)
    folder = next((tmp_path / "store" / "tuning").iterdir())
    for path in (folder / "memory").glob(name):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = tuned(files, tmp_path / "store")
    for system, trials in whole.trials.items():
        assert [dict(trial.params) for trial in found.trials[system]] == [dict(trial.params) for trial in trials]
        assert [trial.value for trial in found.trials[system]] == [trial.value for trial in trials]
    assert "is damaged" in caplog.text


def test_a_greater_budget_goes_on(files, tmp_path):
    small = tuned(files, tmp_path / "store", trials=1)
    more = tuned(files, tmp_path / "store", trials=2)
    assert small.folder == more.folder
    assert {name: len(trials) for name, trials in more.trials.items()} == {"memory": 2, "item-knn": 2}
    assert more.trials["memory"][0].value == small.trials["memory"][0].value


def test_minutes_are_a_budget_too(files, tmp_path):
    found = tuned(files, tmp_path / "store", minutes=0.0005)
    for system, trials in found.trials.items():
        assert sum(trial.seconds for trial in trials) >= 0.03 or len(trials) >= 20, system
        assert sum(trial.seconds for trial in trials[:-1]) < 0.03, "the budget ends with the trial that exceeds it"


def test_trials_can_be_judged_on_cases_like_those_of_the_test_alone(files, tmp_path):
    experiment, space = files
    experiment.write_text(EXPERIMENT + "[data.split]\nhold_back = 0.4\n")
    space.write_text('trials = 1\nchoose_on = "unseen"\n' + SPACE.split("\n", 2)[2])
    found = tuned(files, tmp_path / "store")
    cards = [Report.load(path.parent).protocol for path in tmp_path.glob("store/evaluation/*/*/metrics.json")]
    split = load_split(tmp_path / "store" / "data" / found.trials["memory"][0].steps["data"])
    unseen = int(unseen_cases(split).sum())
    assert 0 < unseen < len(split.validation)
    assert {(card["cases"], card["newest_event"]) for card in cards} == {(unseen, "unseen")}
    assert "validation cases whose newest history event is not in training" in (found.folder / "report.md").read_text()


def test_failures_count_and_are_reported(files, tmp_path):
    space = files[1]
    space.write_text('trials = 2\n[space.memory]\n"baselines.memory.gap_decay" = { low = 0.5, high = 40.0 }\n')
    found = tuned(files, tmp_path / "store", trials=4)
    trials = found.trials["memory"]
    failed = [trial for trial in trials if trial.value is None]
    assert len(trials) == 4
    assert failed
    assert all("gap_decay" in trial.error for trial in failed)
    assert rows(found)[0]["failed"] == len(failed)


def test_an_experiment_that_fails_as_it_is_is_not_searched(files, tmp_path, monkeypatch):
    def fails(*arguments):
        raise LexirecError("the shop is closed")

    real = search.run_trial
    monkeypatch.setattr(search, "run_trial", fails)
    with pytest.raises(LexirecError, match="the shop is closed"):
        tuned(files, tmp_path / "store", trials=1)
    monkeypatch.setattr(search, "run_trial", real)
    assert [len(trials) for trials in tuned(files, tmp_path / "store", trials=1).trials.values()] == [1, 1]


@pytest.mark.parametrize("budget", [{"trials": 2, "minutes": 1}, {"trials": 0}, {"minutes": -1.0}])
def test_budgets_that_make_no_sense_are_refused(files, tmp_path, budget):
    with pytest.raises(SettingsError, match="tune: "):
        tuned(files, tmp_path / "store", **budget)


def test_settings_that_do_not_exist_are_refused_before_anything_is_made(files, tmp_path):
    files[1].write_text('[space.memory]\n"baselines.memory.windw" = { low = 1, high = 10 }\n')
    with pytest.raises(SettingsError, match=r"Did you mean 'baselines.memory.window'\?"):
        tuned(files, tmp_path / "store")


def test_overrides_are_part_of_the_search_and_of_what_is_best(files, tmp_path):
    with quiet():
        found = tune(*files, Store(tmp_path / "store"), sets=["data.products=100", "name=other"], trials=1)
    values = tomllib.loads((found.folder / "best.toml").read_text())
    assert values["data"]["products"] == 100
    assert load_experiment(found.folder / "best.toml").data.products == 100


def test_only_what_a_recommender_needs_is_kept(files):
    experiment = load_experiment(files[0], ['ensemble.of=["memory", "item-knn"]', "seed=4"])
    one, both = alone(experiment, "memory"), alone(experiment, "fused")
    assert list(one.baselines) == ["memory"]
    assert one.vectors == {}
    assert one.ensemble == {}
    assert set(both.baselines) == {"memory", "item-knn"}
    assert list(both.ensemble) == ["fused"]
    generative = load_experiment(Path(__file__).resolve().parents[3] / "experiments" / "toy-gram.toml")
    assert alone(generative, "model").model is not None
    assert alone(generative, "model").baselines == {}
    assert alone(generative, "sasrec").backbone is None


def test_the_command_tells_what_it_found(finished, capsys):
    paths, store, found = finished
    command = ["-q", "tune", str(paths[0]), str(paths[1]), "--store", str(store)]
    for arguments in (command, [*command, "--json"]):
        with pytest.raises(SystemExit) as exit:
            cli.main(arguments)
        assert not exit.value.code
    table, written = capsys.readouterr().out.split("{", 1)
    assert "baselines.memory.window=" in table
    assert "lexirec run " in table
    by_name = {row["recommender"]: row for row in json.loads("{" + written)["recommenders"]}
    assert by_name["memory"]["best"] == found.best("memory").value


def test_trials_are_plain_files(finished):
    _, _, found = finished
    written = json.loads((found.folder / "memory" / "00000.json").read_text())
    assert written["value"] == found.trials["memory"][0].value
    assert not list(found.folder.rglob("*.pkl"))
