"""Commands on damaged stores, on full disks and after unexpected errors: one line, and never a wrong answer."""

import errno
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from lexirec import cli
from tests.worlds.small_run import small_run

EXPERIMENT = """
name = "mine"
[data]
kind = "toy-shop"
products = 90
shoppers = 60
[vectors.text]
dimensions = 8
[codes]
branching = 4
levels = 2
[baselines.popularity]
kind = "popularity"
[evaluation]
ks = [5]
"""


@pytest.fixture
def lexirec(capsys):
    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exit:
            cli.main([str(argument) for argument in arguments])
        found = capsys.readouterr()
        return int(exit.value.code or 0), found.out, found.err

    yield call
    logging.getLogger("lexirec").handlers.clear()


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(EXPERIMENT)
    return path


@pytest.fixture
def store(tmp_path) -> Path:
    """A copy of the small store, to damage."""
    return Path(shutil.copytree(small_run()[0].root, tmp_path / "small", symlinks=True))


def joined(text: str) -> str:
    return "".join(text.split("\n"))


# stores


def test_a_store_that_does_not_exist_is_not_verified(lexirec, tmp_path):
    for command in (["verify"], ["show"], ["verify", "small"]):
        status, out, err = lexirec(*command, "--store", tmp_path / "nowhere")
        assert (status, out) == (1, "")
        assert err == f"lexirec: the store {tmp_path / 'nowhere'} does not exist; give --store, or LEXIREC_STORE\n"


def test_verify_compares_manifests_and_lists_artifacts_without_one(lexirec, store):
    manifest = next(store.glob("codes/*/manifest.json"))
    manifest.write_text(manifest.read_text().replace('"branching": 4', '"branching": 5'))
    lost = next(store.glob("vectors/*/manifest.json"))
    lost.unlink()
    status, out, _ = lexirec("verify", "--store", store)
    assert status == 1
    assert f"{manifest} is damaged: its stage, settings or inputs" in joined(out)
    assert f"{lost.parent} holds no finished artifact" in joined(out)
    assert re.search(r"\d+ artifacts verified, 2 damaged", out)


@pytest.mark.parametrize("options", [[], ["--check"]])
def test_recommend_evaluate_and_run_notice_damage(lexirec, store, options):
    command = ["recommend", "small", "--history", "toy-00003", "--with", "memory", "--store", store, *options]
    assert lexirec(*command)[0] == 0
    folder = small_run()[1].stage("baselines.memory").folder
    arrays = store / folder.relative_to(small_run()[0].root) / "scorer" / "arrays.safetensors"
    content = bytearray(arrays.read_bytes())
    content[-5] ^= 1
    arrays.write_bytes(bytes(content))
    for wrong in (command, ["evaluate", "small", "--with", "memory", "--store", store, *options]):
        status, out, err = lexirec(*wrong)
        assert (status, out) == (1, "")
        assert re.fullmatch(rf"lexirec: {arrays} is damaged: its content has changed .*; remove the folder .*\n", err)


def test_run_checks_what_it_uses_again(lexirec, file, tmp_path):
    store = tmp_path / "store"
    assert lexirec("-q", "run", file, "--store", store, "--until", "vectors")[0] == 0
    vectors = next(store.glob("vectors/*/vectors.npy"))
    vectors.write_bytes(vectors.read_bytes()[:-4])
    for options in ([], ["--check"]):
        status, out, err = lexirec("-q", "run", file, "--store", store, "--until", "codes", *options)
        assert (status, out) == (1, "")
        assert err.startswith(f"lexirec: {vectors} is damaged")


def test_a_damaged_record_disables_no_command(lexirec, store):
    record = max((store / "runs" / "small").glob("*.json"))
    shutil.copy(record, record.with_name("2000.json"))
    record.write_bytes(record.read_bytes()[:100])
    for command in (
        ["show"],
        ["show", "small"],
        ["show", "small", "codes"],
        ["compare", "small:memory", "small:transitions"],
        ["recommend", "small", "--history", "toy-00003", "--with", "memory"],
    ):
        status, out, err = lexirec(*command, "--store", store)
        assert status == 0, err
        assert "Traceback" not in err + out
        assert out


def test_an_experiment_without_its_artifacts_is_still_shown(lexirec, store):
    shutil.rmtree(next(store.glob("vectors/*")))
    status, out, _ = lexirec("show", "small", "--store", store)
    assert status == 0
    assert re.search(r"vectors\.text +not there", out)
    status, out, _ = lexirec("verify", "small", "--store", store)
    assert status == 1
    assert "holds no finished artifact" in joined(out)


def test_stages_can_be_shown_before_the_run_has_finished(lexirec, file, tmp_path):
    store = tmp_path / "store"
    assert lexirec("-q", "run", file, "--store", store, "--until", "codes")[0] == 0
    for stage in ("data", "vectors.text", "codes"):
        status, out, _ = lexirec("show", "mine", stage, "--store", store)
        assert status == 0
        assert "settings" in out
    status, _, err = lexirec("show", "mine", "report", "--store", store)
    assert status == 1
    assert "mine has no stage 'report'; it has data, vectors.text, codes." in err
    out = lexirec("show", "mine", "--store", store)[1]
    assert "codes" in out
    assert "done up to 'codes'" in out
    assert "unfinished, up to codes" in lexirec("show", "--store", store)[1]
    assert lexirec("verify", "mine", "--store", store)[:2] == (0, "3 artifacts verified, 0 damaged\n")
    status, _, err = lexirec("recommend", "mine", "--history", "toy-00003", "--store", store)
    assert (status, err) == (
        1,
        "lexirec: mine has not finished: it is done up to 'codes'; lexirec run EXPERIMENT.toml finishes it\n",
    )
    assert lexirec("-q", "run", file, "--store", store)[0] == 0
    assert "unfinished" not in lexirec("show", "mine", "--store", store)[1]
    assert lexirec("show", "mine", "report", "--store", store)[0] == 0


def test_the_stages_of_a_newer_unfinished_run_are_shown_beside_the_finished_one(lexirec, file, tmp_path):
    store = tmp_path / "store"
    assert lexirec("-q", "run", file, "--store", store)[0] == 0
    assert lexirec("-q", "run", file, "--store", store, "--set", "codes.branching=3", "--until", "codes")[0] == 0
    assert '"branching": 3' in lexirec("show", "mine", "codes", "--store", store)[1]
    out = lexirec("show", "mine", "--store", store)[1]
    assert "popularity" in out
    assert "mine has an unfinished run, done up to 'codes'" in out
    assert lexirec("show", "mine", "report", "--store", store)[0] == 0


# places of results


@pytest.mark.parametrize("option", ["--out", "--figure"])
def test_a_place_that_cannot_be_is_refused_before_anything_is_computed(lexirec, tmp_path, option, monkeypatch):
    (tmp_path / "file").write_text("")
    (tmp_path / "sealed").mkdir()
    for place, reason in {
        tmp_path / "file" / "table.md": "is a file, not a folder",
        tmp_path / "file" / "deep" / "table.md": "is a file, not a folder",
        tmp_path: "it is a folder",
        Path("/proc/nowhere/table.md"): ".*",
        tmp_path / ("n" * 300) / "table.md": "File name too long",
    }.items():
        status, out, err = lexirec("table", "small", option, place, "--store", tmp_path)
        assert (status, out) == (1, "")
        assert re.fullmatch(rf"lexirec: {option} {place}: .*{reason}; choose another path\n", err), err
    access = os.access
    monkeypatch.setattr(
        "os.access", lambda path, mode, **other: mode != os.W_OK | os.X_OK and access(path, mode, **other)
    )
    status, _, err = lexirec("table", "small", option, tmp_path / "sealed" / "table.md", "--store", tmp_path)
    assert re.search(r"sealed cannot be written; choose another path$", err)


# unexpected errors


@pytest.fixture
def broken(monkeypatch, tmp_path):
    """Let `doctor` fail with a given error; its traceback is written below the test's folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("LEXIREC_DEBUG", raising=False)

    def fail_with(error: BaseException) -> None:
        def examine(store: Path) -> None:
            raise error

        monkeypatch.setattr("lexirec.workflows.doctor.examine", examine)

    return fail_with


def test_an_unexpected_error_is_one_line_and_a_file(lexirec, broken, tmp_path):
    broken(TypeError("unsupported operand\n of two lines"))
    status, out, err = lexirec("doctor")
    assert (status, out) == (70, "")
    found = re.fullmatch(
        r"lexirec: unexpected error TypeError: unsupported operand of two lines; the traceback is in (\S+); "
        r"please report it\n",
        err,
    )
    assert found is not None
    written = Path(found[1])
    assert written.parent == tmp_path / "state" / "lexirec"
    text = written.read_text()
    assert text.startswith("lexirec doctor\n")
    assert "Traceback (most recent call last)" in text
    assert "in examine" in text
    assert written.stat().st_mode & 0o077 == 0


def test_the_traceback_is_shown_where_it_is_asked_for(broken, monkeypatch):
    monkeypatch.setenv("LEXIREC_DEBUG", "1")
    broken(ZeroDivisionError("nothing"))
    with pytest.raises(ZeroDivisionError):
        cli.main(["doctor"])


def test_a_traceback_that_cannot_be_written_is_not_lost(lexirec, broken, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path / "file"))
    broken(TypeError("wrong"))
    status, _, err = lexirec("doctor")
    assert status == 70
    assert err.count("\n") == 1
    assert "the traceback is in nowhere, as no file can be written: lexirec doctor" in err
    assert "in examine" in err


def test_a_long_error_is_cut(lexirec, broken):
    broken(ValueError("x" * 100_000))
    assert len(lexirec("doctor")[2]) < 1000


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), "/data/x: No space left on device; free space"),
        (OSError(errno.EIO, "Input/output error", "/data/x"), "/data/x: Input/output error; choose another path"),
        (FileNotFoundError(2, "No such file or directory", "/x"), "/x: No such file or directory; choose another"),
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full; free space and run the same command"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "the disk is full; free space"),
        (MemoryError(), "not enough memory; use smaller batches"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory"), "not enough"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "not enough memory"),
    ],
)
def test_errors_of_disks_and_memory_say_what_to_do(lexirec, broken, error, line):
    broken(error)
    status, _, err = lexirec("doctor")
    assert status == 1
    assert err.count("\n") == 1
    assert line in err


def test_an_interruption_is_one_line(lexirec, broken, file, monkeypatch, tmp_path):
    broken(KeyboardInterrupt())
    assert lexirec("doctor") == (130, "", "lexirec: interrupted\n")

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lexirec.pipeline.run.run_experiment", stopped)
    line = "lexirec: interrupted; run the same command again to resume\n"
    assert lexirec("run", file, "--store", tmp_path) == (130, "", line)


@pytest.mark.long
def test_a_reader_that_goes_away_is_no_error():
    command = f"{sys.executable} -m lexirec.cli doctor | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode in (0, 1)


def test_warnings_of_libraries_stay_off_the_terminal(lexirec, monkeypatch):
    def warn(store: Path) -> list[object]:
        warnings.warn("overflow encountered in exp", RuntimeWarning, stacklevel=1)
        return []

    monkeypatch.setattr("lexirec.workflows.doctor.examine", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        status, _, err = lexirec("doctor")
    assert (status, err) == (0, "")


def test_json_of_a_damaged_store_is_no_half_of_an_answer(lexirec, store):
    for record in (store / "runs" / "small").glob("*.json"):
        record.write_text(json.dumps([1]))
    status, out, _ = lexirec("recommend", "small", "--history", "toy-00003", "--json", "--store", store)
    assert (status, out) == (1, "")
