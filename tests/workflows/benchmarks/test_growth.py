import json

import pytest
from typer.testing import CliRunner

from lexirec.cli import app
from lexirec.core.errors import SettingsError
from lexirec.workflows.benchmarks import growth
from lexirec.workflows.benchmarks.growth import Shops, bench_growth, growth_rows


def measured(monkeypatch, figures):
    """Let stages show what `figures(stage, items)` gives, in place of child processes; return which were asked."""
    asked = []

    def show(place, stage, limit):
        asked.append((place.size.items, stage))
        return figures(stage, place.size.items)

    monkeypatch.setattr(growth, "_measured", show)
    return asked


def test_exponents_are_slopes_of_logarithms(monkeypatch, tmp_path):
    powers = {"shop": 1.0, "read tables": 2.0, "split": 0.0}

    def figures(stage, items):
        seconds = 1e-3 * (items / 100) ** powers[stage]
        return {"seconds": seconds, "processor_seconds": 300 * seconds, "growth_mib": 30 * items**0.5, "peak_mib": 1.0}

    measured(monkeypatch, figures)
    found = bench_growth(Shops((10_000, 100, 1_000)), tmp_path, stages=["split"])
    assert found["items"] == [100, 1_000, 10_000]
    slopes = {stage: each["exponents"]["processor_seconds"] for stage, each in found["stages"].items()}
    assert slopes == pytest.approx(powers, abs=1e-3)
    assert found["stages"]["shop"]["exponents"]["growth_mib"] == pytest.approx(0.5)
    assert found["stages"]["shop"]["exponents"]["disk_mib"] is None
    head, first, second, *_ = growth_rows(found)
    assert head == ["stage", "100 items", "1,000 items", "10,000 items", "time ^", "memory ^", "disk ^"]
    assert (first[0], first[4], second[4]) == ("shop", "1.00", "2.00")


def test_figures_of_no_work_are_left_out_of_the_fit(monkeypatch, tmp_path):
    measured(monkeypatch, lambda stage, items: {"processor_seconds": 0.001 * items, "seconds": 1, "peak_mib": 1})
    found = bench_growth(Shops((100, 1_000, 10_000)), tmp_path, stages=["shop"])
    assert found["stages"]["shop"]["exponents"]["processor_seconds"] == pytest.approx(1.0)


def test_a_stage_that_was_stopped_is_not_tried_on_larger_shops(monkeypatch, tmp_path):
    late, done = {"stopped": "after the limit of 1 s"}, {"seconds": 1, "peak_mib": 1}
    asked = measured(monkeypatch, lambda stage, items: late if stage == "split" else done)
    found = bench_growth(Shops((100, 200)), tmp_path, stages=["split"])
    assert ("split" in [stage for items, stage in asked if items == 200]) is False
    assert growth_rows(found)[-1][1:3] == ["stopped after the limit of 1 s"] * 2


def test_figures_are_kept_for_the_next_time(monkeypatch, tmp_path):
    place = growth.Place(tmp_path, Shops((100,)).size(100))
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "shop.json").write_text(json.dumps({"seconds": 7.0}))
    assert growth._measured(place, "shop", 1.0) == {"seconds": 7.0}


def test_mistakes_are_said(tmp_path):
    with pytest.raises(SettingsError, match=r"--stage spilt: allowed are shop, read tables, split, .*'split'"):
        bench_growth(Shops((100,)), tmp_path, stages=["spilt"])
    with pytest.raises(SettingsError, match="too small; it needs 100 items"):
        bench_growth(Shops((10,)), tmp_path)
    done = CliRunner().invoke(app, ["bench", "growth", "--items", "many"])
    assert isinstance(done.exception, SettingsError)
    assert "--items many: give whole numbers" in str(done.exception)


@pytest.mark.long
def test_every_stage_runs_in_a_child_of_its_own(tmp_path):
    done = CliRunner().invoke(
        app, ["bench", "growth", "--items", "300", "--users-per-item", "0.5", "--folder", str(tmp_path), "--json"]
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    figures = {stage: each["by_items"]["300"] for stage, each in found["stages"].items()}
    assert not {stage: each["stopped"] for stage, each in figures.items() if "stopped" in each}
    assert all(each["seconds"] >= 0 and each["peak_mib"] > 100 for each in figures.values())
    assert figures["vectors"]["disk_mib"] > 0.1
