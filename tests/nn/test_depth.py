from __future__ import annotations

import json

import pytest
import torch
from pydantic import ValidationError
from transformers import Gemma3TextConfig, Qwen2Config, T5Config

from lexirec.core.errors import SettingsError
from lexirec.nn.causal_lm import CausalBackboneSettings, load_causal, restore_causal, save_causal
from lexirec.nn.depth import cut_depth
from lexirec.nn.t5 import BackboneSettings, load_backbone, restore_backbone, save_configuration
from tests.worlds.families import CAUSAL, ENCODER_DECODERS, family_folder

IDS = torch.tensor([[5, 6, 1, 9]])


class Counting(Qwen2Config):
    """A configuration that has to have four layers."""

    @classmethod
    def from_dict(cls, values, **options):
        if values["num_hidden_layers"] != 4:
            raise ValueError("four")
        return super().from_dict(values, **options)


@pytest.mark.parametrize("family", CAUSAL)
def test_causal_models_keep_their_first_layers_and_are_restored_at_that_depth(family, tmp_path, caplog):
    folder = family_folder(tmp_path / "model", family)
    whole, cut = load_causal(folder), load_causal(CausalBackboneSettings(name=folder, keep_layers=1))
    assert "are not used" not in caplog.text
    kept = dict(cut.model.named_parameters())
    assert 0 < len(kept) < len(dict(whole.model.named_parameters()))
    for name, weight in kept.items():
        assert torch.equal(weight, whole.model.get_parameter(name))
    with torch.no_grad():
        states = whole.model(IDS, output_hidden_states=True).hidden_states[1]
        norm = dict(whole.model.get_decoder().named_children())["ln_f" if family == "gpt2" else "norm"]
        assert torch.allclose(cut.model.get_decoder()(IDS).last_hidden_state, norm(states), atol=1e-5)
    save_causal(cut, tmp_path / "saved")
    again = restore_causal(tmp_path / "saved")
    again.model.load_state_dict(cut.model.state_dict())
    assert again.model.config.num_hidden_layers == 1
    assert torch.equal(again.model(IDS).logits, cut.model(IDS).logits)


@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_both_stacks_of_an_encoder_decoder_are_cut(family, tmp_path, caplog):
    folder = family_folder(tmp_path / "model", family)
    whole, cut = load_backbone(folder), load_backbone(BackboneSettings(name=folder, keep_layers=1, dropout=0.3))
    assert "are not used" not in caplog.text
    assert cut.model.config.dropout_rate == 0.3
    assert len(cut.model.encoder.block) == len(cut.model.decoder.block) == 1
    for name, weight in cut.model.named_parameters():
        assert torch.equal(weight, whole.model.get_parameter(name))
    assert (cut.model.lm_head.weight is cut.model.shared.weight) == (family == "t5")
    save_configuration(cut, tmp_path / "saved")
    again = restore_backbone(tmp_path / "saved").model
    assert len(again.encoder.block) == len(again.decoder.block) == 1


def test_lists_with_a_value_for_each_layer_are_cut_too():
    types = ["sliding_attention", "sliding_attention", "full_attention"]
    gemma = cut_depth(Gemma3TextConfig(num_hidden_layers=3, layer_types=list(types)), 2, "gemma")
    assert gemma.layer_types == types[:2]
    qwen = Qwen2Config(num_hidden_layers=4, use_sliding_window=True, sliding_window=8, max_window_layers=2)
    assert cut_depth(qwen, 3, "qwen").layer_types == ["full_attention", "full_attention", "sliding_attention"]
    again = Qwen2Config.from_dict(json.loads(qwen.to_json_string()))
    assert again.num_hidden_layers == len(again.layer_types) == 3


def test_a_stack_with_fewer_layers_keeps_them():
    config = cut_depth(T5Config(num_layers=12, num_decoder_layers=2), 4, "t5")
    assert (config.num_layers, config.num_decoder_layers) == (4, 2)
    assert cut_depth(T5Config(), None, "t5").num_layers == 6


def test_what_cannot_be_cut_is_refused_in_one_line(tmp_path):
    with pytest.raises(SettingsError, match=r"keep_layers is 9, but 'mine' has 4 layers; give at most 4") as caught:
        cut_depth(Qwen2Config(num_hidden_layers=4), 9, "mine")
    assert "\n" not in str(caught.value)
    with pytest.raises(SettingsError, match="keep_layers is 2, but models of type 'qwen2' cannot be cut"):
        cut_depth(Counting(num_hidden_layers=4), 2, "mine")
    with pytest.raises(ValidationError, match="a scratch model starts from random weights; set layers instead"):
        CausalBackboneSettings(name="scratch:small", keep_layers=2)
    with pytest.raises(ValidationError, match="set layers instead"):
        BackboneSettings(keep_layers=2)
    with pytest.raises(ValidationError):
        BackboneSettings(name="mine", keep_layers=0)


def test_all_layers_are_kept_by_default_and_leave_no_trace():
    for settings in (CausalBackboneSettings(name="mine"), BackboneSettings(name="mine")):
        assert settings.keep_layers is None
        assert "keep_layers" not in settings.model_dump(mode="json")
        assert type(settings).model_validate(settings.model_dump()) == settings
    cut = BackboneSettings(name="mine", keep_layers=3)
    assert cut.model_dump(mode="json")["keep_layers"] == 3
    assert type(cut).model_validate(cut.model_dump()) == cut
