import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lexirec.core import manifest
from lexirec.core.config import Settings
from lexirec.core.errors import ArtifactError
from lexirec.core.manifest import Recipe, check_inputs, read_manifest, stage_key, verify
from lexirec.core.store import Store, progress_folder

RECIPE = Recipe("codes", 1, {"branching": 8}, {"vectors": "a" * 64}, seed=3)


def fill(out: Path) -> None:
    (out / "inner").mkdir()
    (out / "values.txt").write_text("values")
    (out / "inner" / "more.txt").write_text("more")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


# keys


def test_key_ignores_order_and_depends_on_everything_else():
    class Sample(Settings):
        b: int = 2
        a: int = 1

    base = stage_key("codes", 1, {"a": 1, "b": 2}, {"x": "1", "y": "2"})
    assert base == stage_key("codes", 1, {"b": 2, "a": 1}, {"y": "2", "x": "1"})
    assert base == stage_key("codes", 1, Sample(), {"y": "2", "x": "1"})
    others = [
        stage_key("code", 1, {"a": 1, "b": 2}, {"x": "1", "y": "2"}),
        stage_key("codes", 2, {"a": 1, "b": 2}, {"x": "1", "y": "2"}),
        stage_key("codes", 1, {"a": 1, "b": 3}, {"x": "1", "y": "2"}),
        stage_key("codes", 1, {"a": 1, "b": 2}, {"x": "2", "y": "1"}),
        stage_key("codes", 1, {"a": 1, "b": 2}, {"x": "1", "y": "2"}, seed=1),
    ]
    assert len({base, *others}) == 6


# writing


def test_write_gives_a_whole_folder_with_provenance(store):
    folder = store.ensure(RECIPE, fill)
    manifest = read_manifest(folder)
    assert folder == store.path("codes", RECIPE.key)
    assert set(manifest.files) == {"values.txt", "inner/more.txt"}
    assert manifest.settings == {"branching": 8}
    assert manifest.inputs == {"vectors": "a" * 64}
    assert (manifest.stage, manifest.version, manifest.key, manifest.seed) == ("codes", 1, RECIPE.key, 3)
    assert {"python", "lexirec", "numpy"} <= set(manifest.versions)
    assert manifest.machine["cores"] >= 1
    assert sorted(path.name for path in folder.parent.iterdir()) == [RECIPE.key]


def test_ensure_makes_an_artifact_once(store):
    calls = []
    for _ in range(2):
        store.ensure(RECIPE, lambda out: calls.append(out))
    assert len(calls) == 1
    assert store.complete("codes", RECIPE.key)


def test_a_failed_stage_leaves_nothing_but_its_progress(store):
    def fail(out: Path) -> None:
        (progress_folder(out) / "step-1").write_text("half")
        (out / "rubbish").write_text("x")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        store.ensure(RECIPE, fail)
    assert not store.complete("codes", RECIPE.key)
    assert list(store.artifacts()) == []

    def resume(out: Path) -> None:
        assert not (out / "rubbish").exists()
        (out / "result").write_text((progress_folder(out) / "step-1").read_text() + " and half")

    folder = store.ensure(RECIPE, resume)
    assert (folder / "result").read_text() == "half and half"
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "result"]


def test_a_folder_without_manifest_is_replaced(store):
    folder = store.path("codes", RECIPE.key)
    folder.mkdir(parents=True)
    (folder / "stranger").write_text("x")
    store.ensure(RECIPE, fill)
    assert not (folder / "stranger").exists()
    verify(folder)


def test_artifacts_are_listed_oldest_first(store):
    recipes = [Recipe("codes", 1, {"n": n}, {}) for n in range(3)]
    for recipe in recipes:
        store.ensure(recipe, fill)
        time.sleep(0.002)
    store.ensure(Recipe("vectors", 1, {}, {}), fill)
    assert [path.name for path in store.artifacts("codes")] == [recipe.key for recipe in recipes]
    assert len(list(store.artifacts())) == 4


def test_an_unwritable_store_is_a_users_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot be written"):
        Store(tmp_path / "file" / "store").ensure(RECIPE, fill)


# checks


def test_verify_names_the_damaged_file(store):
    folder = store.ensure(RECIPE, fill)
    verify(folder)
    (folder / "inner" / "more.txt").write_text("MORE")
    with pytest.raises(ArtifactError, match=r"inner/more\.txt is damaged"):
        verify(folder)


def test_verify_names_the_missing_and_the_strange_file(store):
    folder = store.ensure(RECIPE, fill)
    (folder / "stranger").write_text("x")
    with pytest.raises(ArtifactError, match="stranger does not belong"):
        verify(folder)
    (folder / "values.txt").unlink()
    with pytest.raises(ArtifactError, match=r"values\.txt is missing"):
        verify(folder)


def test_a_damaged_or_missing_manifest_is_a_users_error(store, tmp_path):
    folder = store.ensure(RECIPE, fill)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"manifest\.json is damaged"):
        read_manifest(folder)
    with pytest.raises(ArtifactError, match="no finished artifact"):
        read_manifest(tmp_path)


def test_other_inputs_are_refused_by_both_names(store):
    folder = store.ensure(RECIPE, fill)
    check_inputs(folder, {"vectors": "a" * 64})
    with pytest.raises(ArtifactError, match=r"codes was made from vectors aaaaaaaaaaaa, not from vectors bbbbbbbbbbbb"):
        check_inputs(folder, {"vectors": "b" * 64})
    with pytest.raises(ArtifactError, match=r"made from no catalog, not from catalog cccccccccccc"):
        check_inputs(folder, {"catalog": "c" * 64})


# files from outside

RAW = Recipe("data", 1, {}, {"items": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"})
"""A recipe of a file that holds `abc`."""


def test_a_raw_file_that_changes_while_it_is_read_is_not_stored_under_its_old_digest(store, tmp_path):
    items = tmp_path / "items.csv"
    items.write_text("abc")

    def make(out: Path) -> None:
        items.write_text("xyz")  # between the digest and the reading
        (progress_folder(out) / "step").write_text(items.read_text())
        (out / "read").write_text(items.read_text())

    with pytest.raises(ArtifactError, match=r"items\.csv changed while it was being read, so nothing was stored; run"):
        store.ensure(RAW, make, {"items": items})
    assert not store.complete("data", RAW.key)
    assert not store.partial("data", RAW.key).exists()
    items.write_text("abc")
    folder = store.ensure(RAW, lambda out: (out / "read").write_text(items.read_text()) and None, {"items": items})
    assert (folder / "read").read_text() == "abc"
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "read"]


def test_a_changed_file_explains_why_it_could_not_be_read(store, tmp_path):
    items = tmp_path / "items.csv"
    items.write_text("abc")

    def make(out: Path) -> None:
        items.write_text("")
        raise ValueError("the table is empty")

    with pytest.raises(ArtifactError, match="changed while it was being read"):
        store.ensure(RAW, make, {"items": items})


def test_a_failure_that_no_change_explains_is_raised_as_it_is(store, tmp_path):
    items = tmp_path / "items.csv"
    items.write_text("abc")

    def make(out: Path) -> None:
        (progress_folder(out) / "step").write_text("half")
        raise ValueError("row 3 is bad")

    with pytest.raises(ValueError, match="row 3 is bad"):
        store.ensure(RAW, make, {"items": items})
    assert (store.partial("data", RAW.key) / "progress" / "step").exists()


def test_progress_on_files_that_were_changed_and_changed_back_is_not_used(store, tmp_path, caplog):
    items, kept = tmp_path / "items.csv", []
    items.write_text("abc")

    def killed(out: Path) -> None:
        items.write_text("xyz")
        (progress_folder(out) / "step").write_text(items.read_text())
        raise KeyboardInterrupt

    def resumed(out: Path) -> None:
        kept.extend(path.name for path in progress_folder(out).iterdir())

    with pytest.raises(KeyboardInterrupt):
        store.ensure(RAW, killed, {"items": items})
    assert (store.partial("data", RAW.key) / "progress" / "step").read_text() == "xyz"
    items.write_text("abc")
    store.ensure(RAW, resumed, {"items": items})
    assert kept == []
    assert "its files were written since the interrupted attempt" in caplog.text


def test_progress_stays_until_the_artifact_is_complete(store, monkeypatch):
    def make(out: Path) -> None:
        (progress_folder(out) / "step").write_text("long work")
        fill(out)

    def full(path: Path, value: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("lexirec.core.store.write_json", full)
        with pytest.raises(ArtifactError, match=r"the disk is full; free space and run the same command again"):
            store.ensure(RECIPE, make)
    assert (store.partial("codes", RECIPE.key) / "progress" / "step").read_text() == "long work"
    assert set(read_manifest(store.ensure(RECIPE, make)).files) == {"values.txt", "inner/more.txt"}


# artifacts that are used again


def test_an_artifact_is_compared_with_its_manifest_before_it_is_used_again(store):
    folder = store.ensure(RECIPE, fill)
    store.ensure(RECIPE, fill)
    for content in ("valuez", "longer than values"):
        (folder / "values.txt").write_text(content)
        with pytest.raises(
            ArtifactError, match=r"values\.txt is damaged.*; remove the folder .* and run the stage again"
        ):
            store.ensure(RECIPE, fill)
    (folder / "values.txt").write_text("values")
    store.ensure(RECIPE, fill)
    (folder / "inner" / "more.txt").unlink()
    with pytest.raises(ArtifactError, match=r"more\.txt is missing"):
        store.ensure(RECIPE, fill)


def test_contents_are_read_once_unless_they_look_changed_or_it_is_asked(store, monkeypatch):
    folder, hashed = store.ensure(RECIPE, fill), []
    monkeypatch.setattr("lexirec.core.digests.RACY_SECONDS", -1.0)
    hash_it = manifest.file_digest
    monkeypatch.setattr(manifest.verify, "__defaults__", (lambda path: hashed.append(path.name) or hash_it(path),))
    store.check(folder)
    assert sorted(hashed) == ["more.txt", "values.txt"]
    store.check(folder)
    assert len(hashed) == 2
    os.utime(folder / "values.txt", (5, 5))
    store.check(folder)
    assert len(hashed) == 4
    Store(store.root, check=True).check(folder)
    assert len(hashed) == 6


def test_a_note_of_a_comparison_that_is_damaged_is_not_believed(store, monkeypatch):
    monkeypatch.setattr("lexirec.core.digests.RACY_SECONDS", -1.0)
    folder = store.ensure(RECIPE, fill)
    store.check(folder)
    note = next((store.root / ".checked").iterdir())
    for content in (b"", b"\xff\x00", note.read_bytes()[:-1]):
        note.write_bytes(content)
        store.check(folder)
        assert len(note.read_bytes()) == 64


def test_a_store_that_cannot_be_written_is_checked_all_the_same(store, monkeypatch):
    folder = store.ensure(RECIPE, fill)
    (store.root / ".checked").write_text("a file in place of the folder")
    monkeypatch.setattr("lexirec.core.digests.RACY_SECONDS", -1.0)
    store.check(folder)
    (folder / "values.txt").write_text("valuez")
    with pytest.raises(ArtifactError, match="is damaged"):
        store.check(folder)


@pytest.mark.parametrize("root", [None, 3, ["store"], b"store"])
def test_a_store_is_a_folder(root):
    with pytest.raises(ArtifactError, match=r"Store\(.*\): the store is a folder; give its path"):
        Store(root)


# several processes, and dying ones


def _slow(root: str, log: str) -> None:
    def make(out: Path) -> None:
        with Path(log).open("a") as file:
            file.write("made\n")
        time.sleep(0.3)
        fill(out)

    Store(root).ensure(RECIPE, make)


def test_processes_at_the_same_stage_wait_for_each_other(store, tmp_path):
    context = multiprocessing.get_context("spawn")
    log = tmp_path / "log"
    processes = [context.Process(target=_slow, args=(str(store.root), str(log))) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert log.read_text() == "made\n"
    verify(store.path("codes", RECIPE.key))
    assert len(list((store.root / "codes").iterdir())) == 1


KILLED = """
import sys, time
from pathlib import Path
from lexirec.core.store import Recipe, Store, progress_folder
def make(out):
    (progress_folder(out) / "step").write_text("saved")
    (out / "part").write_text("half written")
    print("ready", flush=True)
    time.sleep(60)
Store(sys.argv[1]).ensure(Recipe("codes", 1, {"branching": 8}, {"vectors": "a" * 64}, seed=3), make)
"""


def test_kill_leaves_no_artifact_no_lock_and_the_progress(store):
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(store.root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    process.stdout.close()
    assert not store.complete("codes", RECIPE.key)

    seen = {}

    def make(out: Path) -> None:
        seen["names"] = sorted(path.name for path in out.iterdir())
        seen["progress"] = (out / "progress" / "step").read_text()
        fill(out)

    started = time.monotonic()
    verify(store.ensure(RECIPE, make))
    assert seen == {"names": ["progress"], "progress": "saved"}
    assert time.monotonic() - started < 5


def test_manifest_is_plain_json(store):
    folder = store.ensure(RECIPE, fill)
    assert json.loads((folder / "manifest.json").read_text())["stage"] == "codes"


def test_the_manifest_tells_how_much_memory_a_stage_took(store):
    def lavish(out: Path) -> None:
        block = bytearray(96 * 2**20)
        block[:] = b"x" * len(block)
        fill(out)

    small = read_manifest(store.ensure(RECIPE, fill)).peak_memory
    large = read_manifest(store.ensure(Recipe("lexicon", 1, {}, {}), lavish)).peak_memory
    assert small is not None
    assert large is not None
    assert large - small > 80 * 2**20
