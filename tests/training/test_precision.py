from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers import Qwen2Config, Qwen2ForCausalLM

from lexirec.core.trainer_settings import TrainerSettings
from lexirec.training import precision
from lexirec.training.arguments import early_stopping
from lexirec.training.precision import in_bfloat16, plain_attention
from lexirec.training.trainer import ChoosingTrainer, Epochs, TrainingRun, run_training


@pytest.mark.parametrize(("gpu", "able"), [(False, False), (True, False), (True, True)])
def test_auto_is_bfloat16_where_a_gpu_has_it(monkeypatch, gpu, able):
    cuda = SimpleNamespace(is_available=lambda: gpu, is_bf16_supported=lambda: able)
    monkeypatch.setattr(precision, "torch", SimpleNamespace(cuda=cuda))
    assert in_bfloat16("auto") is (gpu and able)
    assert in_bfloat16("bfloat16")
    assert not in_bfloat16("float32")


def attention_of(model: nn.Module) -> list[str]:
    return [part.config._attn_implementation for part in model.modules() if hasattr(part, "set_attn_implementation")]


def test_backbones_attend_plainly_inside_and_as_before_afterwards():
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    backbone = Qwen2ForCausalLM(Qwen2Config(vocab_size=32, num_key_value_heads=2, **sizes)).eval()
    model = nn.ModuleDict({"backbone": backbone})
    ids = torch.arange(8).view(1, 8)
    assert set(attention_of(model)) == {"sdpa"}
    fused = backbone(ids).logits
    with plain_attention(model, needed=True):
        assert set(attention_of(model)) == {"eager"}
        torch.testing.assert_close(backbone(ids).logits, fused)
    assert set(attention_of(model)) == {"sdpa"}
    with pytest.raises(RuntimeError, match="stopped"), plain_attention(model, needed=True):
        raise RuntimeError("stopped")
    assert set(attention_of(model)) == {"sdpa"}
    with plain_attention(model, needed=False):
        assert set(attention_of(model)) == {"sdpa"}


class Watched(nn.Module):
    """A model that notes how it is computed."""

    def __init__(self) -> None:
        super().__init__()
        sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        self.backbone = Qwen2ForCausalLM(Qwen2Config(vocab_size=32, num_key_value_heads=2, **sizes))
        self.seen: set[tuple[torch.dtype, str]] = set()

    def forward(self, ids):
        states = self.backbone.get_decoder()(ids).last_hidden_state
        product = states @ states.mT
        self.seen.add((product.dtype, self.backbone.config._attn_implementation))
        return {"loss": product.float().square().mean()}


@pytest.mark.skipif(torch.cuda.is_available(), reason="attention is exchanged on CPUs alone")
@pytest.mark.parametrize(
    ("asked", "seen"), [("bfloat16", (torch.bfloat16, "eager")), ("float32", (torch.float32, "sdpa"))]
)
def test_a_training_computes_as_it_is_asked_to(asked, seen, tmp_path):
    model, settings = Watched(), TrainerSettings(epochs=1, precision=asked)
    data = Epochs(lambda epoch: [0, 1], lambda part: {"ids": torch.arange(8).view(1, 8)}, 1)
    run_training(ChoosingTrainer(model, data, TrainingRun(settings, tmp_path, None, early_stopping(9))))
    assert model.seen == {seen}
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert set(attention_of(model)) == {"sdpa"}
