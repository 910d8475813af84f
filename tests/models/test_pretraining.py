import copy

import pytest
import torch
from safetensors.torch import load_file

from lexirec.core.errors import DataError, SettingsError, TrainingError
from lexirec.models import pretraining
from lexirec.models.pretraining import PERPLEXITY, PretrainSettings, pretrain
from lexirec.nn.causal_lm import CausalBackboneSettings, load_causal
from lexirec.nn.t5 import Backbone
from tests.worlds.backbones import POSITIONS, save
from tests.worlds.ensemble import SCRATCH, TEXTS, apart, tokenizer
from tests.worlds.ensemble import backbone as encoder_decoder

CAUSAL = CausalBackboneSettings(
    name="scratch:tiny", d_model=16, heads=2, layers=1, feed_forward=32, vocabulary_size=SCRATCH.vocabulary_size
)
SHORT = PretrainSettings(epochs=3, max_length=24, batch_size=4, learning_rate=1e-2, held_out=0.1)


def language(family: str, seed: int = 0) -> Backbone:
    own = copy.deepcopy(tokenizer())  # sentinels are added to it
    if family == "causal":
        return load_causal(CAUSAL, tokenizer=own, seed=seed)
    return encoder_decoder(seed, dropout=0.1)._replace(tokenizer=own)


class PowerCutError(Exception):
    """What stands for a kill."""


def kill_after(model: torch.nn.Module, passes: int) -> None:
    left = iter(range(passes))

    def count(module, inputs):
        if module.training and next(left, None) is None:
            raise PowerCutError

    model.register_forward_pre_hook(count)


@pytest.fixture(scope="module", params=["causal", "encoder-decoder"])
def whole(request, tmp_path_factory):
    """A run that nothing interrupts."""
    backbone, folder = language(request.param), tmp_path_factory.mktemp("whole")
    return request.param, backbone, pretrain(backbone, TEXTS, SHORT, folder=folder)


def test_perplexity_of_texts_never_seen_falls(whole):
    _, backbone, curve = whole
    values = [row[PERPLEXITY] for row in curve if PERPLEXITY in row]
    assert len(values) == SHORT.epochs
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.95 * values[0]
    assert 1 < values[-1] < len(backbone.tokenizer)
    assert not backbone.model.training


def test_a_killed_run_carries_on(whole, tmp_path):
    family, kept, curve = whole
    killed, resumed = language(family), language(family, seed=5)
    kill_after(killed.model, 9)
    with pytest.raises(PowerCutError):
        pretrain(killed, TEXTS, SHORT, folder=tmp_path)
    assert pretrain(resumed, TEXTS, SHORT, folder=tmp_path) == curve
    assert apart(resumed.model.state_dict(), kept.model.state_dict()) == 0


def test_sentinels_are_added_where_they_are_needed(whole):
    family, backbone, _ = whole
    added = backbone.tokenizer.get_added_vocab().keys() - tokenizer().get_added_vocab().keys()
    assert added == (set() if family == "causal" else {"<extra_id_0>", "<extra_id_1>"})
    assert backbone.model.get_input_embeddings().num_embeddings == len(backbone.tokenizer)


def test_without_held_out_texts_the_last_weights_are_kept(tmp_path):
    backbone = language("causal")
    curve = pretrain(backbone, TEXTS, SHORT.model_copy(update={"held_out": 0.0, "epochs": 1}), folder=tmp_path)
    assert all("loss" in row for row in curve)


def test_an_objective_of_the_other_family_is_refused(tmp_path):
    settings = PretrainSettings(objective="span-corruption")
    with pytest.raises(
        SettingsError, match=r"objective is 'span-corruption', but .* 'qwen2' is pretrained with 'causal'"
    ):
        pretrain(language("causal"), TEXTS, settings, folder=tmp_path)


def test_no_text_is_refused(tmp_path):
    with pytest.raises(DataError, match="0 texts leave fewer than 8 tokens to train on"):
        pretrain(language("causal"), ["", " "], SHORT, folder=tmp_path)


@pytest.mark.parametrize("family", ["causal", "encoder-decoder"])
@pytest.mark.parametrize("held_out", [0.1, 0.0])
def test_a_training_that_diverges_ends_in_one_line_and_keeps_nothing(family, held_out, tmp_path):
    settings = SHORT.model_copy(update={"learning_rate": 1e30, "held_out": held_out})
    with pytest.raises(TrainingError, match=r"^Pretraining: the .* lower learning_rate \(1e\+30\)"):
        pretrain(language(family), TEXTS, settings, folder=tmp_path)
    for file in tmp_path.rglob("*.safetensors"):
        assert all(value.isfinite().all() for value in load_file(file).values() if value.is_floating_point())


def test_an_infinite_perplexity_is_not_taken_for_a_great_one(tmp_path, monkeypatch):
    forward = pretraining._Language.forward

    def spoilt(model, input_ids, labels):
        loss = forward(model, input_ids, labels)["loss"]
        return {"loss": loss if model.training else loss * torch.inf}

    monkeypatch.setattr(pretraining._Language, "forward", spoilt)
    with pytest.raises(TrainingError, match="validation_perplexity is inf after step"):
        pretrain(language("causal"), TEXTS, SHORT, folder=tmp_path)


def test_blocks_are_no_longer_than_the_model(tmp_path, caplog):
    backbone = load_causal(save(tmp_path / "gpt2", "gpt2"))
    curve = pretrain(backbone, TEXTS * 3, SHORT.model_copy(update={"max_length": 256, "epochs": 1}), folder=tmp_path)
    assert curve
    assert f"blocks have {POSITIONS} instead of pretraining.max_length = 256 tokens" in caplog.text
