import builtins

import pytest
import torch

from lexirec.core.errors import SettingsError
from lexirec.models.tsrec.settings import LoraSettings
from lexirec.models.tsrec.sft import Training
from tests.worlds.tsrec_shop import KNOWN, shop


def prepared(trainable, **settings):
    if trainable == "lora":
        pytest.importorskip("peft")
    model = shop(**settings)
    return model, Training(model, trainable, KNOWN, lora=LoraSettings(rank=2), seed=0)


def test_all_weights_are_trained_in_full():
    model, training = prepared("full")
    assert all(weight.requires_grad for weight in model.parameters())
    assert training.undecayed == frozenset()
    assert list(training.fixed()) == []


@pytest.mark.parametrize(("trainable", "tied"), [("embeddings", True), ("embeddings", False), ("lora", False)])
def test_gradients_of_the_tokenizer_s_own_rows_are_zero(trainable, tied):
    model, training = prepared(trainable, tied=tied)
    tables = [model.backbone.get_input_embeddings().weight, model.backbone.get_output_embeddings().weight]
    ids = torch.arange(6, KNOWN)[None]
    model.backbone(input_ids=ids, labels=ids).loss.backward()
    for table in tables:
        assert table.grad[KNOWN:].abs().max() > 0 or table is tables[0]
        assert not table.grad[:KNOWN].any()
    names = {name for name, weight in model.named_parameters() if any(weight is table for table in tables)}
    assert training.undecayed == names
    learned = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert learned - names == {name for name in learned if "lora_" in name}
    assert {name for name, _ in training.fixed()} == {name for name, _ in model.named_parameters()} - learned
    training.finish()
    assert all(weight.requires_grad and weight.grad is None for weight in model.parameters())
    model.backbone(input_ids=ids, labels=ids).loss.backward()
    assert tables[1].grad[:KNOWN].any()


def test_low_rank_updates_begin_with_nothing_and_are_merged_away():
    model, training = prepared("lora")
    ids = torch.arange(20)[None]
    with torch.no_grad():
        before = shop().backbone(input_ids=ids).logits
        assert torch.equal(model.backbone(input_ids=ids).logits, before)
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.fill_(0.05)
        moved = model.backbone(input_ids=ids).logits
        training.finish()
        assert not torch.allclose(moved, before, atol=1e-3)
        assert torch.allclose(model.backbone(input_ids=ids).logits, moved, atol=1e-5)
    assert model.state_dict().keys() == shop().state_dict().keys()


def test_layers_that_are_not_there_are_refused():
    pytest.importorskip("peft")
    with pytest.raises(SettingsError, match=r"lora\.layers: c_attn: the backbone has no such linear layers"):
        Training(shop(), "lora", KNOWN, lora=LoraSettings(layers=("c_attn",)), seed=0)


def test_without_peft_the_message_says_what_to_install(monkeypatch):
    whole = builtins.__import__

    def without(name, *rest, **more):
        if name.startswith("peft"):
            raise ImportError(name)
        return whole(name, *rest, **more)

    model = shop()
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SettingsError, match="needs the package 'peft': pip install peft"):
        Training(model, "lora", KNOWN, lora=LoraSettings(), seed=0)
