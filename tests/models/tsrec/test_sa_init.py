from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, Qwen2Config

from lexirec.core.errors import SettingsError
from lexirec.models.tsrec.keywords import TokenWords, keyword_shares
from lexirec.models.tsrec.sa_init import sa_init
from lexirec.models.tsrec.settings import SaInitSettings
from lexirec.nn.t5 import Backbone, add_tokens
from lexirec.nn.tokenizer import train_tokenizer

TEXTS = ["red soap bar", "blue soap dish", "a green towel", "item"] * 10
WORDS = [
    TokenWords("<a_0>", 0, ("red soap", "bar")),
    TokenWords("<a_1>", 0, ("blue", "dish", "soap")),
    TokenWords("<a_2>", 0, ("towel", "soap"), (2.0, 1.0)),
    TokenWords("<b_0>", 1, ("green towel", "red")),
    TokenWords("<b_1>", 1, ("dish",)),
    TokenWords("<c_0>", 2, ()),
]
PIECES = [word.token for word in WORDS]


def build(tied: bool, spare: int) -> Backbone:
    tokenizer = train_tokenizer(TEXTS, vocabulary_size=200)
    config = Qwen2Config(
        vocab_size=len(tokenizer) + spare,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        tie_word_embeddings=tied,
    )
    torch.manual_seed(0)
    backbone = Backbone(AutoModelForCausalLM.from_config(config).eval(), tokenizer)
    add_tokens(backbone, [*PIECES, "<d_0>"])
    with torch.no_grad():  # norms that differ, so that taking another mean shows
        for table in (backbone.model.get_input_embeddings(), backbone.model.get_output_embeddings()):
            table.weight[: len(tokenizer) // 2] *= 3
    return backbone


BUILT = {(tied, spare): build(tied, spare) for tied in (True, False) for spare in (0, 20)}


@pytest.fixture
def backbone() -> Backbone:
    return fresh()


def fresh(tied: bool = True, spare: int = 0) -> Backbone:
    return copy.deepcopy(BUILT[tied, spare])


def table(backbone: Backbone) -> torch.Tensor:
    return backbone.model.get_input_embeddings().weight.detach().clone()


def ids(backbone: Backbone, tokens: list[str]) -> list[int]:
    return backbone.tokenizer.convert_tokens_to_ids(tokens)


def mean(backbone: Backbone, rows: torch.Tensor, text: str) -> torch.Tensor:
    return rows[backbone.tokenizer(text, add_special_tokens=False).input_ids].mean(0)


@pytest.mark.parametrize("spare", [0, 20])
@pytest.mark.parametrize("tied", [True, False])
def test_rows_are_what_they_claim_and_every_other_row_is_untouched(tied, spare):
    backbone = fresh(tied, spare)
    model, written = backbone.model, ids(backbone, PIECES[:5])
    before = [layer.weight.detach().clone() for layer in (model.get_input_embeddings(), model.get_output_embeddings())]
    if spare:
        assert len(before[0]) > len(backbone.tokenizer)
    report = sa_init(backbone, WORDS, SaInitSettings(norm="vocabulary"))
    after = [layer.weight for layer in (model.get_input_embeddings(), model.get_output_embeddings())]
    assert (after[0] is after[1]) == tied
    for old, new in zip(before, after, strict=True):
        known = [row for row in range(len(backbone.tokenizer)) if row not in ids(backbone, PIECES)]
        norm = old[known].norm(dim=1).mean()
        for word, place in zip(WORDS, written, strict=False):
            raw = mean(backbone, old, " ".join(word.keywords))
            assert torch.allclose(new[place], raw * norm / raw.norm(), atol=1e-6)
        others = [row for row in range(len(old)) if row not in written]
        assert torch.equal(new[others], old[others])
    assert (report["tokens"], report["without_words"]) == (5, 1)
    assert ("output" in report) == (not tied)
    assert json.loads(json.dumps(report)) == report


def test_output_rows_of_untied_heads_are_left_when_told_so():
    backbone = fresh(tied=False)
    head = backbone.model.get_output_embeddings().weight.detach().clone()
    report = sa_init(backbone, WORDS, SaInitSettings(outputs=False))
    assert torch.equal(backbone.model.get_output_embeddings().weight, head)
    assert "output" not in report


def test_norms(backbone):
    old, places = table(backbone), ids(backbone, PIECES[:5])
    sa_init(backbone, WORDS, SaInitSettings(norm="none"))
    for word, place in zip(WORDS, places, strict=False):
        assert torch.allclose(table(backbone)[place], mean(backbone, old, " ".join(word.keywords)), atol=1e-6)
    backbone = fresh()
    sa_init(backbone, WORDS, SaInitSettings(norm="resize"))
    lengths = table(backbone)[places].norm(dim=1)
    assert torch.allclose(lengths, old[places].norm(dim=1).mean().expand(5), atol=1e-6)
    sa_init(backbone, WORDS, SaInitSettings(norm="resize"))
    assert torch.allclose(lengths, table(backbone)[places].norm(dim=1), atol=1e-6)


@pytest.mark.parametrize("pooling", ["keywords", "weighted"])
def test_poolings_give_the_rows_of_their_shares(pooling, backbone):
    old = table(backbone)
    sa_init(backbone, WORDS, SaInitSettings(pooling=pooling, norm="none"))
    shares = torch.from_numpy(keyword_shares(backbone.tokenizer, WORDS, pooling).toarray())
    expected = (shares @ old[: shares.shape[1]].double()).float()[:5]
    assert torch.allclose(table(backbone)[ids(backbone, PIECES[:5])], expected, atol=1e-6)
    if pooling == "keywords":
        halves = (mean(backbone, old, "red soap") + mean(backbone, old, "bar")) / 2
        assert torch.allclose(table(backbone)[ids(backbone, ["<a_0>"])[0]], halves, atol=1e-6)


def test_only_the_levels_asked_for_are_written(backbone):
    old = table(backbone)
    report = sa_init(backbone, WORDS, SaInitSettings(levels=(1,)))
    changed = (table(backbone) != old).any(1).nonzero().squeeze(1)
    assert changed.tolist() == ids(backbone, ["<b_0>", "<b_1>"])
    assert report["tokens"] == 2
    with pytest.raises(
        SettingsError, match=r"sa_init\.levels is \(3,\), but these levels have no tokens with keywords"
    ):
        sa_init(backbone, WORDS, SaInitSettings(levels=(3,)))


def test_residual_rows_are_differences_to_their_level(backbone):
    old = table(backbone)
    sa_init(backbone, WORDS, SaInitSettings(residual=True, norm="none"))
    raw = torch.stack([mean(backbone, old, " ".join(word.keywords)) for word in WORDS[:3]])
    assert torch.allclose(table(backbone)[ids(backbone, PIECES[:3])], raw - raw.mean(0), atol=1e-6)
    alone = fresh()
    sa_init(alone, WORDS[:1], SaInitSettings(residual=True, norm="none"))
    assert torch.allclose(table(alone)[ids(alone, ["<a_0>"])[0]], raw[0], atol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_shuffled_rows_are_those_of_other_tokens_of_the_level(seed, backbone):
    places = ids(backbone, PIECES[:5])
    other = copy.deepcopy(backbone)
    sa_init(backbone, WORDS[:5], SaInitSettings(norm="vocabulary"))
    sa_init(other, WORDS[:5], SaInitSettings(norm="vocabulary", shuffled=True, seed=seed))
    near = torch.cdist(table(other)[places].double(), table(backbone)[places].double()) < 1e-6
    assert (near.sum(0) == 1).all()
    assert (near.sum(1) == 1).all()
    assert not near.diagonal().any()
    assert not near[:3, 3:].any()


def test_cosines_tell_how_alike_a_levels_rows_are(backbone):
    report = sa_init(backbone, WORDS)
    rows = torch.nn.functional.normalize(table(backbone)[ids(backbone, PIECES[:3])].double(), dim=1)
    pairs = (rows @ rows.T)[np.triu_indices(3, 1)]
    assert report["input"]["cosine"]["0"] == pytest.approx(float(pairs.mean()), abs=1e-5)


def test_half_precision_tables_keep_their_type():
    backbone = fresh(tied=False)
    backbone.model.to(torch.bfloat16)
    old = table(backbone)
    sa_init(backbone, WORDS, SaInitSettings(norm="none"))
    expected = mean(backbone, old.double(), "red soap bar").to(torch.bfloat16)
    assert torch.equal(table(backbone)[ids(backbone, ["<a_0>"])[0]], expected)


def test_unknown_and_repeated_tokens_and_silent_lexica_are_refused(backbone):
    with pytest.raises(SettingsError, match="token '<a_9>' is not in the tokenizer's vocabulary"):
        sa_init(backbone, [TokenWords("<a_9>", 0, ("red",))])
    with pytest.raises(SettingsError, match="token '<a_0>' occurs twice"):
        sa_init(backbone, [WORDS[0], WORDS[0]])
    with pytest.raises(SettingsError, match="no token has a keyword"):
        sa_init(backbone, WORDS[5:])
