import json

import numpy as np
import pytest
from numpy.testing import assert_allclose

from lexirec import cli
from lexirec.core.errors import ArtifactError, SettingsError
from lexirec.core.store import Store
from lexirec.evaluation.bootstrap import Bootstrap
from lexirec.reporting.content import number
from lexirec.workflows.comparison import table as tabulating
from lexirec.workflows.comparison.table import METRICS, ResultsTable, results_table
from tests.worlds.seeded_runs import seeded_store

QUICK = Bootstrap(replicates=500)
SEEDED = ["popularity=small:popularity", "memory=small:memory", "many=seeded:memory@0,1,2"]


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Store:
    return seeded_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def table(store) -> ResultsTable:
    return results_table(store, SEEDED, seen=["excluded"], bootstrap=QUICK)


def rows(markdown: str) -> list[list[str]]:
    lines = [line for line in markdown.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_cell_is_the_mean_over_seeds_with_its_interval(table):
    head, _, *body = rows(table.markdown())
    assert head == ["system", "R@5", "N@5", "R@10", "N@10", "seeds", "best seed"]
    assert [row[0] for row in body] == ["popularity", "memory", "many"]
    for row in body:
        for metric, cell in zip(METRICS, row[1:5], strict=True):
            found = table.comparisons["excluded"][metric].systems[row[0]]
            assert cell.split()[0] == number(found.value)
            assert cell.endswith(f"[{number(found.interval[0])}, {number(found.interval[1])}]")


def test_seeds_are_counted_and_the_best_is_reported(table):
    by_name = {row[0]: row for row in rows(table.markdown())[2:]}
    seeds = table.comparisons["excluded"]["ndcg@10"].systems["many"].seeds
    assert by_name["many"][5:] == [f"3 ± {number(float(np.std(seeds, ddof=1)))}", number(max(seeds))]
    assert by_name["memory"][5] == "1"


def test_marks_are_those_of_the_comparison(table):
    found = table.comparisons["excluded"]["ndcg@10"]
    by_name = {row[0]: row[4] for row in rows(table.markdown())[2:]}
    for name in found.differences:
        marks = {"▲": "above", "▼": "below", "△": "above in these users", "▽": "below in these users"}
        assert [verdict for mark, verdict in marks.items() if mark in by_name[name]] == [
            verdict for verdict in marks.values() if verdict == found.verdict(name)
        ]
    assert any(found.verdict(name) != "open" for name in found.differences)
    assert not set("▲▼△▽") & set(by_name[found.baseline])


def test_a_single_seed_of_a_network_is_marked_apart(store):
    found = results_table(store, ["small"], baseline="memory", metrics=["ndcg@10"], bootstrap=QUICK)
    by_name = {row[0]: row[1] for row in rows(found.markdown())[2:7]}
    assert "▼" in by_name["popularity"], "depends on no seed"
    assert "▽" in by_name["sasrec"]
    assert "△ ▽, in these users: a learned side has fewer than three seeds" in found.markdown()
    counts = results_table(store, SEEDED[:2], metrics=["ndcg@10"], bootstrap=QUICK)
    assert "△" not in counts.markdown()


def test_it_says_which_runs_it_stands_for(table):
    assert "- many: `seeded:memory@0,1,2`" in table.markdown()


def test_one_experiment_alone_is_reported_beside_its_best_baseline_under_both_treatments(store):
    found = results_table(store, ["small"], metrics=["recall@10"], bootstrap=QUICK)
    assert list(found.comparisons) == ["excluded", "included"]
    (excluded,), (included,) = (by_metric.values() for by_metric in found.comparisons.values())
    best = max(excluded.systems, key=lambda name: excluded.systems[name].value)
    assert excluded.baseline == included.baseline == best
    assert (excluded.seen, included.seen) == ("excluded", "included")
    assert len(found.tables()) == 2


def test_invalid_tables_are_refused(store):
    with pytest.raises(ArtifactError, match="seeded: memory was evaluated with seen items excluded, not included"):
        results_table(store, SEEDED, bootstrap=QUICK)
    with pytest.raises(SettingsError, match="give a metric"):
        results_table(store, SEEDED, metrics=[])
    with pytest.raises(SettingsError, match="the lists hold"):
        results_table(store, SEEDED, metrics=["ndcg@1000"], seen=["excluded"])


def test_the_command_prints_and_writes(store, tmp_path, capsys):
    given = ["-q", "table", *SEEDED, "--seen", "excluded", "--metric", "ndcg@10", "--store", str(store.root)]
    for more in (["--out", str(tmp_path / "results.md"), "--figure", str(tmp_path / "all.png")], ["--json"]):
        with pytest.raises(SystemExit) as exit:
            cli.main([*given, *more])
        assert exit.value.code == 0
    out = capsys.readouterr().out
    assert "seen items excluded" in out
    found = json.loads(out[out.index("{") :])["excluded"]["ndcg@10"]
    value = next(row["value"] for row in found["systems"] if row["system"] == "many")
    assert_allclose(
        value,
        np.mean(
            results_table(store, SEEDED, seen=["excluded"]).comparisons["excluded"]["ndcg@10"].systems["many"].seeds
        ),
    )
    assert (tmp_path / "results.md").read_text(encoding="utf-8").startswith("**Seen items excluded**")
    drawn = (tmp_path / "all.svg").read_text(encoding="utf-8")
    assert all(name in drawn for name in ("popularity", "memory", "many", "Seen items excluded", "ndcg@10"))
    assert (tmp_path / "all.png").stat().st_size > 5000


def test_it_is_drawn_as_it_is_reported(store, monkeypatch):
    asked = {}
    real = tabulating.standings_figure
    monkeypatch.setattr(
        tabulating, "standings_figure", lambda panels, **more: asked.update(panels) or real(panels, **more)
    )
    found = results_table(store, ["small"], bootstrap=QUICK)
    found.draw(store.root.parent / "drawn")
    assert list(asked) == ["Seen items excluded", "Seen items kept"]
    for seen, panel in zip(found.comparisons, asked.values(), strict=True):
        last = found.comparisons[seen]["ndcg@10"]
        assert [each.name for each in panel] == list(last.systems)
        assert [each.value for each in panel] == [each.value for each in last.systems.values()]
        assert {each.name: each.side for each in panel if each.name != last.baseline} == {
            name: last.verdict(name) for name in last.differences
        }
