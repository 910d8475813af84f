import json

from lexirec.cli import inspect_output, output, run_output
from lexirec.core.runs import Stage
from lexirec.core.store import Store
from lexirec.data.importers.base import Imported
from lexirec.models.recommend import Recommendation
from lexirec.testing import tiny_catalog
from lexirec.workflows.doctor import Finding
from tests.worlds.small_run import experiment


def test_nothing_is_cut_where_stdout_is_no_terminal(capsys):
    run_output.print_stages(
        [Stage("baselines.with-a-rather-long-name", "baselines", "a" * 64, Store("x").root, "stale")]
    )
    out = capsys.readouterr().out
    assert "baselines.with-a-rather-long-name" in out
    assert "stale" in out
    assert "\x1b" not in out


def test_baselines_that_will_be_left_out_stand_below_the_stages(capsys):
    run_output.print_stages([], {"ease": "ease: 100,000 items need about 112 GiB"})
    assert "baselines.ease will be left out: ease: 100,000 items need about 112 GiB" in capsys.readouterr().out


def test_json_is_readable_and_keeps_letters(capsys):
    output.put_json({"title": "Café"})
    assert "Café" in capsys.readouterr().out


def test_recommendations_with_reasons(capsys):
    found = [Recommendation("item-1", 0.5, "blue chair number 1", (("item-2", 0.75),))]
    output.print_recommendations(found, tiny_catalog(3), as_json=False)
    assert "kettle number 2 (75%)" in capsys.readouterr().out
    output.print_recommendations(found, tiny_catalog(3), as_json=True)
    assert json.loads(capsys.readouterr().out)[0]["because"] == [["item-2", 0.75]]


def test_brackets_in_titles_and_paths_are_no_markup(capsys, tmp_path):
    found = [Recommendation("[x1]", 0.5, "mug [blue] :cup: [/b]")]
    output.print_recommendations(found, tiny_catalog(3), as_json=False)
    out = capsys.readouterr().out
    assert "[x1]" in out
    assert "mug [blue] :cup: [/b]" in out
    folder = tmp_path / "my [new] tables" / ("a" * 150)
    output.print_import(Imported(2, 3, 4000, {}, ()), folder)
    assert f"{folder}: 2 items" in capsys.readouterr().out


def test_an_empty_list_says_what_to_do(capsys):
    output.print_recommendations([], tiny_catalog(3), as_json=False)
    assert "loosen the filters" in capsys.readouterr().out


def test_problems_are_counted(capsys):
    found = [Finding("disk", "note", "little"), Finding("store", "problem", "cannot be written", "choose another")]
    assert inspect_output.print_findings(found) == 1
    assert "choose another" in capsys.readouterr().out


def test_imports_say_what_was_left_out(capsys, tmp_path):
    output.print_import(Imported(2, 3, 4000, {"events with unknown items": 7}, ()), tmp_path)
    out = capsys.readouterr().out
    assert "4,000 interactions" in out
    assert "left out: 7 events with unknown items" in out


def test_an_unfinished_run_says_how_to_finish(capsys, tmp_path):
    run_output.print_run(Store(tmp_path), experiment(), None, "codes")
    assert "done up to 'codes'" in capsys.readouterr().out
