import json
from pathlib import Path
from typing import ClassVar

import pytest

from lexirec.core.config import Settings
from lexirec.core.errors import ArtifactError
from lexirec.core.runs import find_run, newest_run, record, run_names, seconds
from lexirec.core.store import Store
from lexirec.pipeline.runner import StageRunner, StopRequested


class Sample(Settings):
    size: int = 1
    seed: int = 9


class Published(Settings):
    outside_the_key: ClassVar[tuple[str, ...]] = ("path",)
    path: Path


def write(settings, inputs, out):
    (out / "value").write_text(f"{settings}|{sorted(inputs)}")


@pytest.fixture
def line(tmp_path):
    return StageRunner(Store(tmp_path / "store"), {"first": 1, "second": 1})


def test_a_step_hands_over_folders(line):
    first = line.stage("first", write, Sample(), {})
    second = line.stage("second.a", write, {"x": 1}, {"first": first, "none": None})
    assert (second.folder / "value").read_text() == "{'x': 1}|['first']"
    assert (second.name, second.group, second.kind) == ("second.a", "second", "second")
    assert [step.name for step in line.stages] == ["first", "second.a"]
    assert seconds(second) >= 0


def test_a_key_depends_on_settings_inputs_version_and_content(line, tmp_path):
    (tmp_path / "raw").write_text("one")

    def key(settings=None, inputs=None, raw="raw", version=1) -> str:
        planned = StageRunner(line.store, {"first": version, "second": 1}, act=False)
        given = {"first": planned.stage("second", write, inputs, {})} if inputs else {}
        return planned.stage("first", write, settings or Sample(), given, {"file": tmp_path / raw}).key

    base = key()
    (tmp_path / "copy").write_text("one")
    assert key(raw="copy") == base
    (tmp_path / "copy").write_text("two")
    others = [key(raw="copy"), key(Sample(size=2)), key(inputs={"x": 1}), key(inputs={"x": 2}), key(version=2)]
    assert len({base, *others}) == 6


def test_stages_of_one_run_read_one_content(line, tmp_path):
    raw = tmp_path / "raw"
    raw.write_text("one")
    line.stage("first", write, Sample(), {}, {"file": raw})
    inside = line.inside("experts.other", "second")
    inside.stage("first", write, Sample(size=2), {}, {"file": raw})
    raw.write_text("two")
    with pytest.raises(ArtifactError, match=r"raw changed between two stages of this run; run the same command again"):
        inside.stage("second", write, Sample(), {}, {"file": raw})
    again = StageRunner(line.store, line.versions)
    assert again.stage("first", write, Sample(), {}, {"file": raw}).key != line.stages[0].key


def test_a_file_that_changes_under_a_stage_stops_the_run(line, tmp_path):
    raw = tmp_path / "raw"
    raw.write_text("one")

    def changing(settings, inputs, out):
        raw.write_text("two")
        write(settings, inputs, out)

    with pytest.raises(ArtifactError, match=r"first: \S*raw changed while it was being read"):
        line.stage("first", changing, Sample(), {}, {"file": raw})
    assert list(line.store.artifacts()) == []


def test_each_stage_is_told_when_it_is_there(line):
    told: list[list[str]] = []
    line.after = lambda stages: told.append([stage.name for stage in stages])
    line.stage("first", write, Sample(), {})
    line.inside("experts.other", "second").stage("first", write, Sample(size=2), {})
    assert told == [["first"], ["first", "experts.other.first"]]
    planned = StageRunner(line.store, line.versions, act=False, after=line.after)
    planned.stage("second", write, Sample(), {})
    assert len(told) == 2


def test_a_damaged_artifact_stops_the_run(line):
    first = line.stage("first", write, Sample(), {})
    (first.folder / "value").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"value is damaged"):
        StageRunner(line.store, line.versions).stage("first", write, Sample(), {})


def test_settings_may_keep_a_place_out_of_the_key(line, tmp_path):
    steps = [line.stage("first", write, Published(path=tmp_path / name), {}) for name in ("a", "b")]
    assert steps[0].key == steps[1].key


def test_planning_makes_nothing(line):
    planned = StageRunner(line.store, line.versions, act=False)
    assert planned.stage("first", write, Sample(), {}).state == "new"
    assert not line.store.root.exists()
    line.stage("first", write, Sample(), {})
    assert StageRunner(line.store, line.versions, act=False).stage("first", write, Sample(), {}).state == "done"
    known = StageRunner(line.store, line.versions, act=False, before={"first": "another key"})
    assert known.stage("first", write, Sample(size=4), {}).state == "stale"


def test_the_line_stops_behind_the_last_step_of_a_stage(line):
    line.until = "first"
    line.stage("first.a", write, {"x": 1}, {})
    line.stage("first.b", write, {"x": 2}, {})
    with pytest.raises(StopRequested):
        line.stage("second", write, Sample(), {})
    assert [step.name for step in line.stages] == ["first.a", "first.b"]


def test_steps_of_another_experiment_are_called_after_it_and_shared(line):
    first = line.stage("first", write, Sample(), {})
    inside = line.inside("experts.other", "second.a")
    assert inside.stage("first", write, Sample(), {}) is first
    own = inside.stage("first", write, Sample(size=2), {})
    assert (own.name, own.kind, own.group) == ("experts.other.first", "first", "experts")
    last = inside.stage("second.a", write, {"x": 1}, {"first": own})
    assert (last.name, last.kind) == ("experts.other", "second")
    again = line.inside("experts.twin", "second.a").stage("second.a", write, {"x": 1}, {"first": own})
    assert (again.name, again.folder) == ("experts.twin", last.folder), "what bears a name is recorded under it"
    assert [step.name for step in line.stages] == ["first", "experts.other.first", "experts.other", "experts.twin"]


def test_the_line_stops_inside_another_experiment_too(line):
    line.until = "first"
    line.stage("first", write, Sample(), {})
    with pytest.raises(StopRequested):
        line.inside("experts.other", "second").stage("first", write, Sample(size=2), {})


def test_records_find_the_newest_run(line):
    first = line.stage("first", write, Sample(), {})
    record(line.store, "shop", Sample(), [first])
    second = line.stage("second.a", write, Sample(), {}, kind="first")
    record(line.store, "shop", Sample(size=2), [first, second])
    found = newest_run(line.store, "shop")
    assert found is not None
    assert found.settings == {"size": 2, "seed": 9}
    assert found.stage("second.a").folder == second.folder
    assert found.variants("second") == {"a": found.stages["second.a"]}
    assert run_names(line.store) == ["shop"]
    assert newest_run(line.store, "other") is None


def test_unknown_names_are_explained(line):
    with pytest.raises(ArtifactError, match="no finished experiment 'shop'; it has none yet"):
        find_run(line.store, "shop")
    record(line.store, "shop", Sample(), [line.stage("first", write, Sample(), {})])
    with pytest.raises(ArtifactError, match=r"it has shop\. Did you mean 'shop'\?"):
        find_run(line.store, "shp")
    with pytest.raises(ArtifactError, match=r"shop has no stage 'frst'; it has first\. Did you mean 'first'\?"):
        find_run(line.store, "shop").stage("frst")


def test_records_are_plain_json(line):
    record(line.store, "shop", Sample(), [line.stage("first", write, Sample(), {})])
    path = next((line.store.root / "runs" / "shop").iterdir())
    assert json.loads(path.read_text())["steps"]["first"][0] == "first"
