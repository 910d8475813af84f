from __future__ import annotations

import pytest
from transformers.utils import logging as transformers_logging

from lexirec.core.errors import ArtifactError, SettingsError
from lexirec.nn.pretrained import fetched, no_bars, no_reports, scratch_size


class Loader:
    """Stands for a class of transformers: gives its argument back, or fails as it is told."""

    error: Exception | None = None

    @classmethod
    def from_pretrained(cls, name, **options):
        if cls.error is not None:
            raise cls.error
        return name, options


def test_folders_are_expanded_and_options_handed_on(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fetched(Loader, "~/model", "model", dtype=1) == (str(tmp_path / "model"), {"dtype": 1})
    assert fetched(Loader, "owner/model", "model") == ("owner/model", {})


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (OSError("no connection.\nmore"), SettingsError, r"its model is neither .*\(no connection\); give a folder"),
        (ValueError("bad header\nmore"), ArtifactError, "its model cannot be read: bad header$"),
        (RuntimeError(), ArtifactError, "its model cannot be read: RuntimeError$"),
    ],
)
def test_what_goes_wrong_is_said_in_one_line(error, kind, message, monkeypatch):
    monkeypatch.setattr(Loader, "error", error)
    with pytest.raises(kind, match=message) as caught:
        fetched(Loader, "owner/model", "model")
    assert "\n" not in str(caught.value)


def test_folders_that_are_none_are_told_from_hub_names(tmp_path):
    for name in ("./model", "/nowhere/model", "~/no/model", "a/b/c"):
        with pytest.raises(SettingsError, match="there is no such folder"):
            fetched(Loader, name, "model")
    with pytest.raises(SettingsError, match=r"a folder without config\.json"):
        fetched(Loader, str(tmp_path), "model")


def test_sizes_are_known_by_name():
    assert scratch_size("scratch:tiny", {"tiny": 1, "base": 2}) == 1
    with pytest.raises(SettingsError, match=r"scratch models are scratch:tiny, scratch:base\. Did you mean"):
        scratch_size("scratch:bsae", {"tiny": 1, "base": 2})


def test_bars_come_back():
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.enable_progress_bar()
    try:
        with no_bars():
            assert not transformers_logging.is_progress_bar_enabled()
        assert transformers_logging.is_progress_bar_enabled()
    finally:
        if not shown:
            transformers_logging.disable_progress_bar()


def test_reasons_that_follow_a_colon_are_said_too(monkeypatch):
    monkeypatch.setattr(Loader, "error", ValueError("made from one of:\n(1) a file,\n(2) a class."))
    with pytest.raises(ArtifactError, match=r"cannot be read: made from one of: \(1\) a file, \(2\) a class$"):
        fetched(Loader, "owner/model", "tokenizer")


def test_a_folder_is_not_looked_for_on_the_hub(monkeypatch, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(Loader, "error", OSError("no file named model.safetensors"))
    with pytest.raises(ArtifactError, match=r"its model cannot be read: no file named model\.safetensors$"):
        fetched(Loader, str(tmp_path), "model")


def test_reports_come_back():
    level = transformers_logging.get_verbosity()
    with no_reports():
        assert transformers_logging.get_verbosity() == transformers_logging.ERROR
    assert transformers_logging.get_verbosity() == level
