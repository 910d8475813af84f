"""Experiment files in the spelling of earlier versions: they are read, mentioned in the log, and have the same keys."""

import logging
from pathlib import Path

import pytest

from lexirec.core.config import load_settings, validate_settings
from lexirec.core.errors import SettingsError
from lexirec.core.store import Store
from lexirec.models.gram.settings import GramSettings
from lexirec.models.saving import read_settings
from lexirec.pipeline.components import PublishedKeywords
from lexirec.pipeline.experiment import Experiment, load_experiment
from lexirec.pipeline.run import plan_experiment
from lexirec.semantic_ids.lexicon.lexicon import TfIdfLexicon
from lexirec.semantic_ids.lexicon.llm_settings import ContrastiveLexicon, LLMLexicon
from lexirec.workflows.tuning.search import search_folder
from lexirec.workflows.tuning.settings import current_names, load_space

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
OLD = {
    "[ensemble": "[fusion",
    "num_beams =": "width =",
    "evals_per_epoch =": "validations_per_epoch =",
    "ema_decay =": "average =",
    'kind = "contrastive"': 'kind = "teacher"\nteacher = "none"',
}
"""New spelling -> old one, as they stand in files."""


def old_spelled(name: str, folder: Path) -> Path:
    text = (EXPERIMENTS / name).read_text(encoding="utf-8").replace('extends = "', f'extends = "{EXPERIMENTS}/')
    family = {"[model.network]": "[model.fusion]"} if name == "toy-gram.toml" else {}
    for new, old in (OLD | family).items():
        text = text.replace(new, old)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def keys(path: Path, folder: Path, *overrides: str) -> dict[str, str]:
    return {stage.name: stage.key for stage in plan_experiment(load_experiment(path, overrides), Store(folder))}


@pytest.mark.parametrize("name", ["toy-gram.toml", "toy-tsrec.toml"])
def test_old_and_new_spelling_have_the_same_keys(name, tmp_path, caplog):
    fused = ('fusion.of=["model", "memory"]', "fusion.weights=[1.0]", "model.training.warmup=0.2")
    with caplog.at_level(logging.WARNING):
        written = keys(old_spelled(name, tmp_path), tmp_path / "store", *fused)
    assert "'model.search.width' is the old name of 'model.search.num_beams'" in caplog.text
    caplog.clear()
    fused = ('ensemble.of=["model", "memory"]', "ensemble.weights=[1.0]", "model.training.warmup_ratio=0.2")
    assert keys(EXPERIMENTS / name, tmp_path / "store", *fused) == written
    assert "fused" in written
    assert not caplog.records


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("lexicon.kind=teacher", "lexicon.kind=contrastive"),
        ('lexicon={kind="teacher", keywords=5}', 'lexicon={kind="contrastive", keywords=5}'),
        (
            'lexicon={kind="teacher", teacher="openai", model="m"}',
            'lexicon={kind="llm", client="openai", model="m"}',
        ),
        (
            'lexicon={kind="teacher", teacher="transformers", model="m", shown="sample"}',
            'lexicon={kind="llm", client="transformers", model="m", shown="sample"}',
        ),
    ],
)
def test_a_lexicon_of_either_spelling_has_the_same_key(old, new, tmp_path):
    path = EXPERIMENTS / "toy-tsrec.toml"
    assert keys(path, tmp_path, "lexicon={}", old) == keys(path, tmp_path, "lexicon={}", new)


def lexicon(folder: Path, text: str, *overrides: str, base: str = ""):
    (folder / "base.toml").write_text(f'[data]\nkind = "toy-shop"\n{base}', encoding="utf-8")
    (folder / "shop.toml").write_text(f'extends = "base.toml"\n{text}', encoding="utf-8")
    return load_experiment(folder / "shop.toml", overrides).lexicon


TEACHER = '[lexicon]\nkind = "teacher"\nteacher = "openai"\nmodel = "m"\nkeywords = 7\n'
LLM = '[lexicon]\nkind = "llm"\nmodel = "m"\nkeywords = 7\n'


@pytest.mark.parametrize("base", [TEACHER, LLM])
def test_changing_the_teacher_keeps_what_else_was_set(base, tmp_path):
    llm = LLMLexicon(model="m", keywords=7)
    assert lexicon(tmp_path, "", base=base) == llm
    assert lexicon(tmp_path, "[lexicon]\nlevels = 2", base=base) == llm.model_copy(update={"levels": 2})
    assert lexicon(tmp_path, '[lexicon]\nkind = "teacher"\nlevels = 2', base=base).client == "openai"
    assert lexicon(tmp_path, "", "lexicon.teacher=transformers", base=base).client == "transformers"
    assert lexicon(tmp_path, "", "lexicon.teacher=none", base=base) == ContrastiveLexicon(keywords=7)
    assert lexicon(tmp_path, '[lexicon]\nteacher = "none"', base=base) == ContrastiveLexicon(keywords=7)
    back = ("lexicon.teacher=none", "lexicon.teacher=openai", "lexicon.model=n")
    assert lexicon(tmp_path, "", *back, base=base) == LLMLexicon(model="n", keywords=7)


def test_a_table_whose_kind_changes_starts_afresh_as_before(tmp_path):
    assert lexicon(tmp_path, '[lexicon]\nkind = "contrastive"', base=TEACHER) == ContrastiveLexicon()
    assert lexicon(tmp_path, "", 'lexicon.kind="tf-idf"', base=TEACHER) == TfIdfLexicon()
    assert (
        lexicon(tmp_path, '[lexicon]\nkind = "teacher"', base="[lexicon]\nkind = 'tf-idf'\ntf_share = true")
        == ContrastiveLexicon()
    )
    assert isinstance(lexicon(tmp_path, '[lexicon]\nkind = "published"\npath = "k.json"', base=LLM), PublishedKeywords)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[lexicon]\nkind = "llm"\nteacher = "openai"\nclient = "openai"',
            "shop.toml: 'lexicon.teacher' is the old name of 'lexicon.client', and both are given",
        ),
        ('[lexicon]\nkind = "contrastive"\nmodel = "m"', "shop.toml: there is no setting 'lexicon.model'"),
        ('[lexicon]\nkind = "teacher"\nteacher = "gpt"', "'lexicon.client' is \"gpt\"; it should be 'openai' or"),
        (
            "[fusion]\nof = ['a', 'b']\n[ensemble.x]\nof = ['a', 'b']",
            "'fusion' is the old name of 'ensemble', and both",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(text, message, tmp_path):
    with pytest.raises(SettingsError, match=message):
        lexicon(tmp_path, text)


def test_an_extended_file_of_the_other_spelling_adds_to_the_same_ensemble(tmp_path):
    parts = '[baselines.memory]\nkind = "memory"\n[baselines.ease]\nkind = "ease"\n'
    (tmp_path / "base.toml").write_text(
        f'[data]\nkind = "toy-shop"\n{parts}[fusion.a]\nof = ["memory", "ease"]\n[fusion.a.partner]\ntrials = 3\n'
    )
    (tmp_path / "shop.toml").write_text('extends = "base.toml"\n[ensemble.b]\nof = ["ease", "memory"]\n')
    found = load_experiment(tmp_path / "shop.toml", ["fusion.a.partner.cases=9", "ensemble.a.of=['ease', 'memory']"])
    assert list(found.ensemble) == ["a", "b"]
    assert (found.ensemble["a"].partner.trials, found.ensemble["a"].partner.cases) == (3, 9)


def test_what_was_recorded_is_an_experiment_again(tmp_path):
    overrides = ['ensemble.of=["model", "memory"]', "model.search.num_beams=44"]
    experiment = load_experiment(EXPERIMENTS / "toy-tsrec.toml", overrides)
    stored = experiment.model_dump(mode="json")
    assert list(stored["fusion"]) == ["fused"]
    assert stored["model"]["search"]["width"] == 44
    assert (stored["lexicon"]["kind"], stored["lexicon"]["teacher"]) == ("teacher", "none")
    assert validate_settings(stored, Experiment) == experiment
    assert Experiment.model_validate(stored) == experiment


def test_settings_of_a_saved_recommender_are_written_and_read_in_the_old_spelling(tmp_path, caplog):
    settings = validate_settings({"search": {"num_beams": 7}, "training": {"warmup_ratio": 0.3}}, GramSettings)
    (tmp_path / "settings.json").write_text(settings.model_dump_json(), encoding="utf-8")
    assert '"width":7' in (tmp_path / "settings.json").read_text(encoding="utf-8")
    assert read_settings(tmp_path / "settings.json", GramSettings) == settings
    (tmp_path / "settings.json").write_text(settings.model_dump_json(by_alias=False), encoding="utf-8")
    assert read_settings(tmp_path / "settings.json", GramSettings) == settings
    assert not caplog.records


def test_a_lexicon_alone_is_read_in_either_spelling(tmp_path):
    (tmp_path / "lexicon.toml").write_text('kind = "teacher"\nteacher = "transformers"\nmodel = "m"', encoding="utf-8")
    assert load_settings(tmp_path / "lexicon.toml", LLMLexicon).client == "transformers"
    assert load_settings(tmp_path / "lexicon.toml", LLMLexicon, ["teacher=openai"]).client == "openai"


@pytest.mark.parametrize("part", ["fusion", "network"])
def test_a_search_is_found_whatever_spelling_its_space_has(part, tmp_path, caplog):
    experiment = load_experiment(EXPERIMENTS / "toy-gram.toml")
    path = tmp_path / "space.toml"
    path.write_text(f'[space.model]\n"model.{part}.temperature" = {{ low = 0.03, high = 0.2 }}\n', encoding="utf-8")
    found = load_space(path, experiment)
    assert list(found.space["model"]) == ["model.fusion.temperature"], "as trials are stored"
    assert current_names({"model.fusion.temperature": 0.1}, experiment) == {"model.network.temperature": 0.1}
    assert ("old name of 'model.network.temperature'" in caplog.text) == (part == "fusion")
    assert search_folder(experiment, found, Store(tmp_path)).name == "toy-gram-f2019c787ce1"


def test_a_space_with_a_setting_under_both_names_is_refused(tmp_path):
    range_ = "{ low = 0.03, high = 0.2 }"
    text = f'[space.model]\n"model.fusion.temperature" = {range_}\n"model.network.temperature" = {range_}\n'
    (tmp_path / "space.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"space.toml: 'model.fusion.temperature' is the old name of .* both"):
        load_space(tmp_path / "space.toml", load_experiment(EXPERIMENTS / "toy-gram.toml"))
