import shutil

import pytest

from lexirec.core.config import validate_settings
from lexirec.core.errors import ArtifactError, LexirecError, SettingsError
from lexirec.core.store import Store
from lexirec.pipeline.backbone_check import check_backbone
from lexirec.pipeline.experiment import Experiment
from lexirec.pipeline.run import plan_experiment, run_experiment
from tests.worlds.backbones import POSITIONS, configure, save, without_tokenizer
from tests.worlds.gguf_files import write
from tests.worlds.small_run import SETTINGS

PLAIN = {"frame": "plain"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("backbones")
    return {kind: save(folder / kind, kind) for kind in ("qwen2", "gpt2", "t5")}


def experiment(name, kind="causal", prompts=None, **more):
    codes = {"kind": "residual-kmeans", "branching": 8, "levels": 2} if kind == "causal" else SETTINGS["codes"]
    model = {"kind": kind if kind == "causal" else "late-fusion"} | ({"prompts": prompts} if prompts else {})
    tables = {"baselines": {}, "codes": codes, "backbone": {"kind": kind, "name": str(name)}, "model": model, **more}
    return validate_settings({**SETTINGS, **tables}, Experiment)


def refused(tried, store, kind, message):
    """Check that an experiment is refused in one line when it is planned and run, and that nothing is computed."""
    for use in (plan_experiment, run_experiment):
        with pytest.raises(kind, match=message) as caught:
            use(tried, Store(store))
        assert "\n" not in str(caught.value)
    assert not list(store.glob("*/*/*"))


@pytest.mark.parametrize(("name", "kind"), [("qwen2", "causal"), ("t5", "encoder-decoder")])
def test_folders_without_a_part_are_refused_before_anything_is_computed(name, kind, folders, tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(folders[name], folder)
    check_backbone(experiment(folder, kind))
    (folder / "model.safetensors").write_bytes(b"cut off")
    refused(experiment(folder, kind), tmp_path / "store", ArtifactError, r"model\.safetensors is damaged or cut off")
    (folder / "model.safetensors").unlink()
    refused(experiment(folder, kind), tmp_path / "store", SettingsError, "the folder holds no weights")
    without_tokenizer(folder)
    refused(experiment(folder, kind), tmp_path / "store", SettingsError, "the folder holds no tokenizer")
    configure(folder, model_type="bert")
    refused(experiment(folder, kind), tmp_path / "store", SettingsError, "is of type 'bert'; give ")
    (folder / "config.json").unlink()
    refused(experiment(folder, kind), tmp_path / "store", SettingsError, r"a folder without config\.json")


def test_gguf_files_that_are_cut_off_are_refused_before_anything_is_computed(tmp_path):
    file = tmp_path / "mine.gguf"
    write(file)
    check_backbone(experiment(file, prompts=PLAIN))
    file.write_bytes(file.read_bytes()[:-500])
    refused(experiment(file, prompts=PLAIN), tmp_path / "store", ArtifactError, r"mine\.gguf is damaged or cut off")


@pytest.mark.parametrize(("name", "kind", "layers"), [("qwen2", "causal", 2), ("t5", "encoder-decoder", 1)])
def test_too_many_layers_are_refused_before_anything_is_computed(name, kind, layers, folders, tmp_path):
    deep = {"backbone": {"kind": kind, "name": folders[name], "keep_layers": layers + 1}}
    refused(experiment(folders[name], kind, **deep), tmp_path, SettingsError, f"'.*' has {layers} layers; give at most")


def test_keys_follow_depth_and_the_content_of_a_gguf_file(tmp_path):
    def keys(name, **backbone):
        deep = {"backbone": {"kind": "causal", "name": str(name), **backbone}}
        stages = plan_experiment(experiment(name, prompts=PLAIN, **deep), Store(tmp_path / "store"))
        return {stage.group: stage.key for stage in stages}

    file = tmp_path / "mine.gguf"
    write(file)
    before = keys(file)
    assert keys(file, keep_layers=None) == before
    cut = keys(file, keep_layers=1)
    assert cut["model"] != before["model"]
    assert cut["tokenizer"] == before["tokenizer"]
    write(file, quantised=True)
    other = keys(file)
    assert other["model"] != before["model"]
    assert other["tokenizer"] != before["tokenizer"]
    assert other["codes"] == before["codes"]


def test_models_of_the_other_family_are_refused_before_anything_is_computed(folders, tmp_path):
    refused(experiment(folders["t5"]), tmp_path, SettingsError, "is of type 't5'; give a causal language model")
    refused(experiment(folders["gpt2"], "encoder-decoder"), tmp_path, SettingsError, "is of type 'gpt2'; give an enc")


def test_prompts_that_no_position_is_left_for_are_refused_before_anything_is_computed(folders, tmp_path):
    refused(experiment(folders["gpt2"]), tmp_path, SettingsError, f"the backbone has {POSITIONS} positions, too few")
    check_backbone(experiment(folders["gpt2"], prompts=PLAIN))
    check_backbone(experiment(folders["qwen2"]))


def test_the_backbones_of_experts_are_checked_too(folders, tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(folders["qwen2"], folder)
    without_tokenizer(folder)
    (tmp_path / "expert.toml").write_text(
        f"""
[data]
kind = "toy-shop"
[vectors.text]
[codes]
kind = "residual-kmeans"
[backbone]
kind = "causal"
name = "{folder}"
[model]
kind = "causal"
"""
    )
    experts = {"other": {"experiment": str(tmp_path / "expert.toml")}}
    tried = validate_settings({**SETTINGS, "experts": experts}, Experiment)
    refused(tried, tmp_path / "store", SettingsError, "the folder holds no tokenizer")


def test_scratch_models_hub_names_and_experiments_without_a_backbone_pass():
    for name in ("scratch:tiny", "owner/model"):
        check_backbone(experiment(name))
    check_backbone(validate_settings(SETTINGS, Experiment))


def test_a_tokenizer_that_reads_none_of_the_texts_is_refused_at_its_stage(folders, tmp_path):
    from tests.worlds.backbones import words_tokenizer

    folder = tmp_path / "mine"
    shutil.copytree(folders["qwen2"], folder)
    without_tokenizer(folder)
    words_tokenizer(["茶"]).save_pretrained(folder)
    with pytest.raises(LexirecError, match="turns none of the catalogue's texts into pieces that it knows"):
        run_experiment(experiment(folder, prompts=PLAIN), Store(tmp_path / "store"), until="tokenizer")
