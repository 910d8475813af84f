import importlib.util

from lexirec.core import environment
from lexirec.workflows import doctor
from lexirec.workflows.doctor import examine


def test_a_fit_machine_has_no_problem(tmp_path):
    found = {finding.name: finding for finding in examine(tmp_path / "store")}
    assert {"python", "torch", "threads", "device", "memory", "disk", "store", "sentence vectors"} <= set(found)
    assert not [finding for finding in found.values() if finding.state == "problem"]
    assert not (tmp_path / "store").exists()


def test_a_missing_library_is_a_problem_with_advice(tmp_path, monkeypatch):
    versions = {**environment.versions()}
    versions.pop("duckdb")
    monkeypatch.setattr(doctor, "versions", lambda: versions)
    found = {finding.name: finding for finding in examine(tmp_path)}
    assert found["duckdb"].state == "problem"
    assert "pip install duckdb" in found["duckdb"].advice


def test_a_missing_extra_is_only_a_note(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        doctor.importlib.util, "find_spec", lambda name: None if name == "sentence_transformers" else find(name)
    )
    found = {finding.name: finding for finding in examine(tmp_path)}
    assert found["sentence vectors"].state == "note"
    assert 'pip install "lexirec[text]"' in found["sentence vectors"].advice


def test_little_room_is_noted(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "_ENOUGH_DISK", 1 << 62)
    monkeypatch.setattr(doctor, "_ENOUGH_MEMORY", 1 << 62)
    found = {finding.name: finding for finding in examine(tmp_path)}
    assert found["disk"].state == found["memory"].state == "note"
    assert "free space" in found["disk"].advice


def test_more_threads_than_cores_are_noted(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "machine", lambda: {"cores": 0})
    found = {finding.name: finding for finding in examine(tmp_path)}
    assert found["threads"].state == "note"
    assert "OMP_NUM_THREADS" in found["threads"].advice


def test_a_store_that_cannot_be_written_is_a_problem(tmp_path, monkeypatch):
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    found = {finding.name: finding for finding in examine(tmp_path)}
    assert found["store"].state == "problem"
    assert "--store" in found["store"].advice
