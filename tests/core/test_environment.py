import platform
import re
import subprocess

from lexirec.core import environment


def test_versions_are_those_of_this_environment():
    found = environment.versions()
    assert found["python"] == platform.python_version()
    assert {"lexirec", "numpy", "torch", "transformers"} <= set(found)


def test_machine_has_cores():
    assert int(environment.machine()["cores"]) >= 1


def test_commit_is_a_hash_of_a_checkout_or_nothing(monkeypatch):
    found = environment.commit()
    assert found is None or re.fullmatch(r"[0-9a-f]{40}\+?", found)

    def absent(*_: object, **__: object) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr(subprocess, "run", absent)
    assert environment.commit.__wrapped__() is None
