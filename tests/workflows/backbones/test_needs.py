from __future__ import annotations

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from lexirec.nn.pretrained import no_bars, no_reports
from lexirec.workflows.backbones.facts import load_facts
from lexirec.workflows.backbones.needs import Batch, needs
from tests.worlds.backbones import byte_tokenizer
from tests.worlds.families import family_folder


@pytest.fixture(scope="module")
def wide(tmp_path_factory) -> str:
    """A model large enough that what the probe adds to it is a small part."""
    folder, tokenizer = tmp_path_factory.mktemp("wide"), byte_tokenizer()
    shape = {"hidden_size": 128, "intermediate_size": 344, "num_hidden_layers": 4, "num_attention_heads": 4}
    torch.manual_seed(0)
    with no_bars(), no_reports():
        Qwen2ForCausalLM(
            Qwen2Config(vocab_size=8000, num_key_value_heads=2, eos_token_id=0, tie_word_embeddings=True, **shape)
        ).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return str(folder)


def test_the_formula_and_the_probe_agree(wide):
    facts, backbone = load_facts(wide)
    before = torch.cat([weight.detach().flatten() for weight in backbone.model.parameters()])
    found = {need.way: need for need in needs(facts, backbone, Batch(8, 64), 2**40)}
    assert list(found) == ["full", "lora", "embeddings"]
    for need in found.values():
        assert need.probe is not None
        assert need.seconds is not None
        assert need.seconds > 0
        assert need.formula == pytest.approx(need.probe, rel=0.25)
    assert found["full"].probe > found["lora"].probe > found["embeddings"].probe
    assert found["full"].trained == facts.parameters == len(before)
    assert found["embeddings"].trained == facts.rows * facts.width
    assert not any("lora" in name for name, _ in backbone.model.named_parameters())


def test_more_rows_need_more(wide):
    facts, backbone = load_facts(wide)
    small, large = (needs(facts, backbone, Batch(rows, 64), 2**40, probe=False)[0] for rows in (2, 16))
    assert small.probe is None
    assert (large.formula - small.formula) / (14 * 64) > 4 * facts.layers * 4 * facts.feed_forward


def test_what_does_not_fit_is_not_tried(wide):
    facts, backbone = load_facts(wide)
    found = needs(facts, backbone, Batch(), 1000)
    assert all(need.probe is None and "GiB are free" in need.skipped for need in found)


@pytest.mark.parametrize("family", ["t5", "gpt2"])
def test_other_families_are_probed_too(family, tmp_path):
    facts, backbone = load_facts(family_folder(tmp_path, family))
    found = needs(facts, backbone, Batch(2, 32), 2**40)
    assert [need.way for need in found] == (["full"] if family == "t5" else ["full", "lora", "embeddings"])
    assert all(need.probe for need in found)
