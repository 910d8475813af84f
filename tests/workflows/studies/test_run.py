import io
import logging

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from lexirec.core import progress
from lexirec.core.progress import quiet
from lexirec.core.runs import find_run, run_seeds
from lexirec.core.store import Store
from lexirec.reporting.markdown import page_markdown
from lexirec.workflows.studies import run as running
from lexirec.workflows.studies.collect import gather
from lexirec.workflows.studies.design import load_study
from lexirec.workflows.studies.findings import find
from lexirec.workflows.studies.page import study_page
from lexirec.workflows.studies.plan import SimilarStages, plan_study
from lexirec.workflows.studies.report import findings_table, plan_table, report_study
from lexirec.workflows.studies.run import run_study, write_traces
from tests.worlds.small_study import STUDY, small_study, write_study


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The small study, run once: its folder, store and outcome."""
    folder = tmp_path_factory.mktemp("study")
    study, store = small_study(folder), Store(folder / "store")
    before = plan_study(study, store)
    with quiet():
        return folder, store, before, run_study(study, store)


def test_a_plan_counts_what_is_there_shared_and_to_do(done):
    _, store, before, outcome = done
    kinds = [stage.stage.kind for stage in before.stages.values()]
    assert kinds.count("data") == 1, "eight runs share one data stage"
    assert kinds.count("evaluation") == kinds.count("baselines") == 5, (
        "counts do not depend on seeds, so runs share them"
    )
    assert before.existing == []
    assert before.seconds == 0
    assert "cost unknown" in before.summary()
    after = plan_study(outcome.study, store)
    assert after.to_do == []
    assert "nothing left to do" in after.summary()
    text = io.StringIO()
    Console(file=text, width=120).print(plan_table(before))
    assert "unknown" in text.getvalue()


def test_costs_are_expected_from_like_stages(done):
    folder, store, _, _ = done
    larger = load_study(folder / "windows.toml", ["baselines.memory.history_decay=0.5"])
    plan = plan_study(larger, store)
    assert {stage.stage.kind for stage in plan.to_do} == {"baselines", "evaluation"}
    assert not plan.unknown
    assert plan.seconds > 0
    assert "by similar stages in the store" in plan.cost()


def test_times_are_scaled_by_epochs(done, tmp_path):
    folder, _, _, _ = done
    text = (folder / "small.toml").read_text() + '[baselines.sasrec]\nkind = "sasrec"\ndimensions = 8\nlayers = 1\n'
    path = write_study(tmp_path, STUDY.replace('"memory"', '"sasrec"').replace("[axes.window]", "[axes.w]"), text)
    quick = ["axes={}", "seeds=[0]", "baselines=[]", "baselines.sasrec.training.epochs=1"]
    store = Store(tmp_path / "store")
    with quiet():
        run_study(load_study(path, quick), store)
    longer = plan_study(load_study(path, [*quick[:-1], "baselines.sasrec.training.epochs=5"]), store)
    took = next(
        stage.seconds
        for stage in plan_study(load_study(path, quick), store).stages.values()
        if stage.stage.kind == "baselines"
    )
    expected = next(stage.seconds for stage in longer.to_do if stage.stage.kind == "baselines")
    assert expected == pytest.approx(5 * took)
    assert SimilarStages(store).seconds(longer.to_do[0].recipe) == pytest.approx(5 * took)


def test_every_run_is_recorded_once(done):
    _, store, _, outcome = done
    assert len(outcome.finished) == 8
    assert outcome.failures == []
    assert run_seeds(store, "windows.window-9") == [0, 1]
    assert "evaluation.memory" in find_run(store, "windows.window-9").stages
    with quiet():
        run_study(outcome.study, store)
    assert len(list((store.root / "runs" / "windows.window-9").glob("*.json"))) == 2


def test_findings_have_intervals_and_holm_over_the_study(done):
    _, _, _, outcome = done
    findings = find(outcome.study.settings, gather(outcome))
    assert [each.label for each in findings if each.seen == "excluded"] == [
        "reference",
        "popularity",
        "window 2",
        "window 9",
        "without text",
    ]
    for each in findings:
        low, high = each.estimates["ndcg@10"].interval
        assert low <= each.estimates["ndcg@10"].value <= high
        assert each.reference == (each.difference is None)
    headline = [each for each in findings if each.seen == "excluded" and not each.reference]
    assert all(each.adjusted is not None and each.adjusted >= each.difference.p_value for each in headline)
    assert all(each.adjusted is None for each in findings if each.seen == "included")
    assert next(each for each in headline if each.label == "popularity").verdict(0.95) == "below"
    text = io.StringIO()
    Console(file=text, width=140).print(findings_table(findings, ["ndcg@10", "recall@10"]))
    assert "without text" in text.getvalue()


@pytest.fixture(scope="module")
def reported(done, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    report_study(done[3], folder)
    return folder


def test_the_table_is_tidy(reported):
    table = pq.read_table(reported / "runs.parquet")
    rows = table.to_pylist()
    one = [row for row in rows if row["row"] == "window 9" and row["seed"] == 1 and row["seen"] == "excluded"]
    assert {row["metric"] for row in one} == {f"{name}@{k}" for name in ("recall", "ndcg", "mrr") for k in (5, 10)}
    assert {(row["axis.window"], row["axis.evidence"], row["run"]) for row in one} == {
        (9.0, "with text", "windows.window-9")
    }
    assert {row["cases"] for row in one} == {150}
    assert dict(one[0]["stages"])["data"]
    assert {row["seed"] for row in rows if row["baseline"]} == {0}
    assert all(row["seconds"] >= 0 and row["peak_memory"] > 0 for row in rows)


def test_reports_are_written(reported):
    markdown, page = ((reported / name).read_text() for name in ("report.md", "report.html"))
    for text in (markdown, page):
        for word in ("Does the window matter?", "without text", "baselines.memory.window=9", "Holm", "max history"):
            assert word in text
    for picture in ("rows", "differences", "by-window", "cost"):
        assert (reported / f"{picture}.png").stat().st_size > 5000
        assert f"{picture}.png" in markdown
        assert f'id="{picture}"' in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert "<script" not in page


def test_a_failing_run_does_not_lose_the_others(tmp_path, monkeypatch):
    """One variant asks for a split that its data do not have; in another the code itself fails."""
    failing = STUDY.replace('["baselines.memory.evidence=none"]', '["data.products=90", "data.split.kind=published"]')
    study, store = load_study(write_study(tmp_path, failing), ["seeds=[0]"]), Store(tmp_path / "store")
    walk = running.walk_run

    def broken(settings, run, line):
        if run.row.label == "window 2":
            raise ZeroDivisionError("in the\nmiddle")
        return walk(settings, run, line)

    monkeypatch.setattr(running, "walk_run", broken)
    with quiet():
        outcome = run_study(study, store)
    assert [failure.run.row.label for failure in outcome.failures] == ["window 2", "without text"]
    assert outcome.failures[0].message == "ZeroDivisionError: in the middle"
    assert outcome.failures[1].stage == "data"
    assert len(outcome.finished) == 2
    text = page_markdown(study_page(outcome, find(study.settings, gather(outcome))))
    assert "2 of 4 runs finished" in text
    assert "**2 runs failed" in text
    assert "window 9" in text
    write_traces(outcome, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out" / "failures").iterdir()] == ["window-2-seed-0.txt"]
    assert "ZeroDivisionError" in (tmp_path / "out" / "failures" / "window-2-seed-0.txt").read_text()


def test_where_the_reference_fails_nothing_is_compared(done):
    _, _, _, outcome = done
    made = [one for one in gather(outcome) if not one.row.reference]
    findings = find(outcome.study.settings, made)
    assert findings
    assert all(each.difference is None and each.adjusted is None for each in findings)
    assert study_page(outcome, findings).blocks
    assert study_page(outcome, []).blocks


def test_interrupted_it_carries_on(tmp_path, monkeypatch):
    study, store = small_study(tmp_path, "seeds=[0]"), Store(tmp_path / "store")
    walk, seen = running.walk_run, []

    def interrupted(settings, run, line):
        seen.append(run.row.label)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return walk(settings, run, line)

    monkeypatch.setattr(running, "walk_run", interrupted)
    with quiet(), pytest.raises(KeyboardInterrupt):
        run_study(study, store)
    left = plan_study(study, store)
    assert 0 < len(left.to_do) < len(left.stages)
    with quiet():
        assert len(run_study(study, store).finished) == 4


def test_one_display_tells_run_stage_and_count(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(progress, "FIRST_LOG_SECONDS", 0.0)
    monkeypatch.setattr(progress, "LOG_EVERY_SECONDS", 0.0)
    caplog.set_level(logging.INFO, "lexirec")
    run_study(small_study(tmp_path, "seeds=[0]"), Store(tmp_path / "store"))
    lines = [record.getMessage() for record in caplog.records]
    told = [line for line in lines if line.startswith("Study windows:")]
    assert any("run 1 of 4: reference, seed 0: data" in line for line in told)
    assert any("evaluation.memory, Evaluating" in line for line in told)
    assert not any(line.startswith("Evaluating") for line in lines)
    assert not any("reused from the store" in line for line in lines)
