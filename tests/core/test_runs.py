import json
from pathlib import Path

import pytest

from lexirec.core import runs as records
from lexirec.core.config import Settings
from lexirec.core.errors import ArtifactError
from lexirec.core.runs import (
    Stage,
    find_run,
    newest_run,
    record,
    record_unfinished,
    run_names,
    run_seeds,
    runs,
    unfinished_names,
    unfinished_run,
)
from lexirec.core.store import Store


class Sample(Settings):
    seed: int = 9


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


def stage(store: Store, name: str, key: str = "0") -> Stage:
    kind = name.partition(".")[0]
    return Stage(name, kind, key * 64, store.path(kind, key * 64), "done")


def newest_file(store: Store, name: str = "shop") -> Path:
    return max((store.root / "runs" / name).glob("*.json"))


def whole(store: Store, **changes: object) -> bytes:
    """Return a record with an evaluation, with other values."""
    good = {
        "name": "shop",
        "finished": "2026-01-01T00:00:00+00:00",
        "settings": {"seed": 1, "evaluation": {"seen": ["excluded"]}, "baselines": {"ease": {"kind": "ease"}}},
        "steps": {"data": ["data", "0" * 64], "evaluation.ease": ["evaluation", "1" * 64]},
    }
    return json.dumps({**good, **changes}).encode()


EVALUATED = {"evaluation": {"seen": ["excluded"]}, "baselines": {}}
DAMAGED = {
    "empty": b"",
    "cut": b'{"name": "shop", "finished": "2026',
    "no UTF-8": b"\xff\xfe\x00",
    "no table": b"[]",
    "a number": b"3",
    "null": b"null",
    "nested": b"[" * 100_000,
    "no steps": b'{"name": "shop", "finished": "2026", "settings": {}}',
    "no settings": b'{"name": "shop", "finished": "2026", "steps": {"data": ["data", "0"]}}',
    "no time": b'{"name": "shop", "settings": {}, "steps": {"data": ["data", "0"]}}',
}
WRONG = {
    "a time that is a number": {"finished": 3},
    "settings that are a list": {"settings": []},
    "a seed that is a text": {"settings": {**EVALUATED, "seed": "one"}},
    "no evaluation": {"settings": {"seed": 1, "baselines": {}}},
    "an evaluation that is null": {"settings": {**EVALUATED, "evaluation": None}},
    "an evaluation without seen": {"settings": {**EVALUATED, "evaluation": {}}},
    "an evaluation of nothing": {"settings": {**EVALUATED, "evaluation": {"seen": []}}},
    "baselines that are a list": {"settings": {**EVALUATED, "baselines": ["ease"]}},
    "a baseline without a kind": {"settings": {**EVALUATED, "baselines": {"ease": {}}}},
    "steps that are a list": {"steps": ["data"]},
    "no step": {"steps": {}},
    "a step that is a text": {"steps": {"data": "data"}},
    "a step of three": {"steps": {"data": ["data", "0", "1"]}},
    "a key that is null": {"steps": {"data": ["data", None]}},
    "a key that leads elsewhere": {"steps": {"data": ["data", "../../elsewhere"]}},
    "a kind that leads elsewhere": {"steps": {"data": ["..", "0" * 64]}},
}


@pytest.mark.parametrize("damage", [*DAMAGED, *WRONG])
def test_a_damaged_record_is_skipped_with_a_line(store, caplog, damage):
    kept = record(store, "shop", Sample(), [stage(store, "data")])
    record(store, "shop", Sample(), [stage(store, "data", "1")])
    newest = newest_file(store)
    newest.write_bytes(DAMAGED[damage] if damage in DAMAGED else whole(store, **WRONG[damage]))
    record(store, "other", Sample(), [stage(store, "data")])
    newest_file(store, "other").write_bytes(b"{")
    assert newest_run(store, "shop") == kept
    assert find_run(store, "shop") == kept
    assert find_run(store, "shop", seed=9) == kept
    assert run_seeds(store, "shop") == [9]
    assert run_names(store) == ["shop"]
    assert caplog.text.count(f"{newest} is no record of a run and is skipped") == 1, (
        "one line, however often it is read"
    )


def test_a_whole_record_is_read(store):
    (store.root / "runs" / "shop").mkdir(parents=True)
    (store.root / "runs" / "shop" / "2026.json").write_bytes(whole(store))
    assert list(find_run(store, "shop").stages) == ["data", "evaluation.ease"]


def test_folders_and_files_in_the_place_of_records_are_skipped(store, caplog):
    kept = record(store, "shop", Sample(), [stage(store, "data")])
    (newest_file(store).parent / "2999.json").mkdir()
    (newest_file(store).parent / "._2999.json").write_bytes(b"\x00")
    (store.root / "runs" / "notes.txt").write_text("mine")
    assert list(runs(store, "shop")) == [kept]
    assert run_names(store) == ["shop"]
    assert "2999.json is no record of a run" in caplog.text
    assert "._2999" not in caplog.text


def test_a_record_that_may_not_be_read_is_skipped(store, caplog, monkeypatch):
    kept = record(store, "shop", Sample(), [stage(store, "data")])
    record(store, "shop", Sample(), [stage(store, "data", "1")])
    newest, read = newest_file(store), Path.read_bytes

    def refused(path: Path) -> bytes:
        if path == newest:
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refused)
    assert newest_run(store, "shop") == kept
    assert "Permission denied" in caplog.text


def test_an_experiment_whose_records_are_all_damaged_has_not_finished(store):
    record(store, "shop", Sample(), [stage(store, "data")])
    newest_file(store).write_bytes(b"{")
    with pytest.raises(ArtifactError, match="no finished experiment 'shop'; it has none yet"):
        find_run(store, "shop")


def test_what_an_unfinished_run_has_done_is_known_until_it_finishes(store):
    data, codes = stage(store, "data"), stage(store, "codes")
    record_unfinished(store, "shop", Sample(), [data])
    record_unfinished(store, "shop", Sample(), [data, codes])
    begun = unfinished_run(store, "shop")
    assert begun is not None
    assert begun.stage("codes").folder == codes.folder
    assert unfinished_names(store) == ["shop"]
    assert run_names(store) == []
    with pytest.raises(
        ArtifactError, match=r"shop has not finished: it is done up to 'codes'; lexirec run .* finishes"
    ):
        find_run(store, "shop")
    record(store, "shop", Sample(), [data, codes, stage(store, "report")])
    assert unfinished_run(store, "shop") is None
    assert unfinished_names(store) == []
    (store.root / "unfinished" / "shop.json").write_bytes(b"{")
    assert unfinished_run(store, "shop") is None
    assert unfinished_names(store) == []
    assert records.find_run(store, "shop").stages.keys() == {"data", "codes", "report"}
