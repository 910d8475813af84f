import numpy as np
import pytest

from lexirec.line import Run
from lexirec.reporting import evaluations_of, report_content, shared_protocol, stored_reports, systems
from lexirec.results import evaluations, kinds
from tests.small_run import small_run


@pytest.fixture(scope="module")
def done() -> Run:
    return small_run()[1]


def content(done: Run, **changes):
    inputs = {name: step.folder for name, step in done.steps.items()}
    settings = {"name": "small", "kinds": kinds(done), "evaluation": done.settings["evaluation"], **changes}
    return report_content(settings, inputs)


def test_rows_hold_both_protocols_floors_and_margins(done):
    rows = {row.name: row for row in systems(evaluations(done), kinds(done))}
    assert [name for name, row in rows.items() if row.floor] == ["transitions", "memory"]
    ranks = stored_reports(evaluations(done)["memory"])["excluded"].ranks
    found = (ranks >= 1) & (ranks <= 10)
    assert rows["memory"].margins["recall@10"] == pytest.approx(1.96 * found.std() / np.sqrt(len(ranks)))
    assert rows["memory"].excluded["recall@10"] == pytest.approx(found.mean())
    assert rows["memory"].included is not None


def test_the_shared_protocol_leaves_out_what_differs(done):
    shared = shared_protocol(evaluations(done))
    cards = [report.protocol for folder in evaluations(done).values() for report in stored_reports(folder).values()]
    differing = {name for card in cards for name in card if any(other.get(name) != card[name] for other in cards)}
    assert differing
    assert not differing & set(shared)
    assert shared["split"] == "leave-last-out"


def test_evaluations_are_found_among_inputs(tmp_path):
    assert evaluations_of({"data": tmp_path, "evaluation.a": tmp_path / "a"}) == {"a": tmp_path / "a"}


def test_breakdowns_and_census_are_counted(done):
    found = content(done)
    assert [breakdown.title for breakdown in found.breakdowns] == ["popularity of the target", "length of the history"]
    assert all(sum(breakdown.cases) == 120 for breakdown in found.breakdowns)
    assert found.census[0].level == 1
    assert "120 users, 100 items" in found.lead


def test_short_lists_have_no_breakdown_at_ten(done):
    assert content(done, evaluation={**done.settings["evaluation"], "ks": [5]}).breakdowns == []


def test_next_steps_name_the_experiment(done):
    assert any("lexirec recommend small" in step for step in content(done).next_steps)
    assert any("lexirec show small identifiers" in step for step in content(done).next_steps)
