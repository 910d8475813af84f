"""Compatibility of backbones: every family, with and without spare rows, few and many new pieces, every training.

The models are tiny and random; what they are asked is what breaks with real ones: tables that are tied or not, rows
that are there or not, embeddings that are scaled, positions that are learned, ends that are beginnings.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    GemmaTokenizer,
    GPT2Tokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaTokenizer,
    Qwen2Tokenizer,
    T5Tokenizer,
)

from lexirec.data.catalog import Catalog
from lexirec.data.sequences import Sequences
from lexirec.models.gram.recommender import GramInputs, GramRecommender
from lexirec.models.gram.settings import GramSettings
from lexirec.models.gram.user_prompts import UserPrompts
from lexirec.models.tsrec.keywords import TokenWords
from lexirec.models.tsrec.recommender import TSRecInputs, TSRecRecommender
from lexirec.models.tsrec.settings import TSRecSettings
from lexirec.nn.causal_lm import load_causal, restore_causal, save_causal
from lexirec.nn.t5 import Backbone, add_tokens, load_backbone
from lexirec.nn.tokenizer import train_tokenizer
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.identifiers.identifiers import Identifiers
from lexirec.semantic_ids.identifiers.schemes import codes_as_tokens
from lexirec.testing import circle_walks, tiny_catalog
from tests.worlds.families import CAUSAL, ENCODER_DECODERS, family_folder, tied

SPARES, PIECES = (0, 28, 271), (10, 300, 1000)
HISTORIES = Sequences.from_lists([[0, 3, 7], [5], [9, 2, 4, 8, 1], []])
HALF = {10: 5, 300: 150, 1000: 500}


def catalog(pieces: int) -> Catalog:
    return tiny_catalog(max(HALF[pieces], 20))


@cache
def identifiers(pieces: int) -> Identifiers:
    """Return identifiers of two tokens each, which are all in use."""
    items, half = np.arange(max(HALF[pieces], 20)), HALF[pieces]
    found = codes_as_tokens(Codes(np.stack([items % half, (items // half + items) % half], axis=1), kind="residual"))
    assert len(found.new_pieces(_empty())) == pieces
    return found


def _empty() -> object:
    class Nothing:
        def get_vocab(self) -> dict[str, int]:
            return {}

    return Nothing()


def words(pieces: int) -> list[TokenWords]:
    half = HALF[pieces]
    return [
        TokenWords(f"<{letter}_{code}>", level, ("red pan", f"lamp {code % 7}"))
        for level, letter in enumerate("ab")
        for code in range(half)
    ]


def tables(backbone: Backbone) -> list[torch.Tensor]:
    return [backbone.model.get_input_embeddings().weight, backbone.model.get_output_embeddings().weight]


def check_tables(backbone: Backbone, family: str, rows: int) -> None:
    """Both tables have a row for every piece, and are one storage exactly where the family ties them."""
    read, written = tables(backbone)
    assert len(read) == len(written) == rows >= len(backbone.tokenizer)
    assert (read.data_ptr() == written.data_ptr()) == (read is written) == tied(family)


def causal(family: str, folder: Path, spare: int, pieces: int, **settings) -> TSRecRecommender:
    backbone = load_causal(family_folder(folder, family, spare), texts=["red pan"])
    before, known = [table.clone() for table in tables(backbone)], len(backbone.tokenizer)
    items = len(catalog(pieces))
    tasks = {"history_title": 0, "sid_title": 10 / items, "ts_align": 10 / pieces}  # some twenty texts each
    plain = {"sa_init": {}, "prompts": {"max_history": 3, "frame": "plain"}, "tasks": tasks}
    chosen = TSRecSettings.model_validate({**plain, **settings})
    made = TSRecRecommender.build(catalog(pieces), backbone, TSRecInputs(identifiers(pieces), words(pieces)), chosen)
    check_tables(backbone, family, max(known + spare, known + pieces))
    for table, old in zip(tables(backbone), before, strict=True):
        assert torch.equal(table[:known], old[:known])
        new = table[known : known + pieces].detach()
        assert (new - old[:known].mean(0)).norm(dim=1).min() > 0.1, "a new row has the mean of all rows"
        assert new.norm(dim=1).max() < 3 * old[:known].norm(dim=1).mean()
    return made


def train(recommender: TSRecRecommender, trainable: str) -> None:
    """Train for twenty steps on items and texts."""
    walks = circle_walks(min(len(recommender.catalog), 20), shoppers=12)
    settings = recommender.settings.training.model_copy(
        update={"trainable": trainable, "epochs": 1, "batch_size": 5, "learning_rate": 1e-2, "evals_per_epoch": 1}
    )
    recommender.fit(walks, training=settings)
    assert 15 <= max(row["step"] for row in recommender.curve) <= 25


@torch.no_grad()
def plain_scores(recommender: TSRecRecommender, row: int) -> np.ndarray:
    """Return what the stock model says about every item behind a history: one text each, no cache, no tree."""
    model, trie = recommender.backbone.model.eval(), recommender.model.trie
    prompts = recommender.builder.next_item(HISTORIES)
    prompt = prompts.values[prompts.offsets[row] : prompts.offsets[row + 1]].tolist()
    paths = [trie.path(int(node)) for node in trie.item_node]
    texts = [torch.tensor([prompt + path for path in some]) for some in groups(paths)]
    logits = torch.cat([model(input_ids=some).logits[:, len(prompt) - 1 :] for some in texts])
    return shares(paths, logits.double())


def groups(paths: list[list[int]]) -> list[list[list[int]]]:
    return [paths[first : first + 64] for first in range(0, len(paths), 64)]


def shares(paths: list[list[int]], logits: torch.Tensor) -> np.ndarray:
    """Return the log-probability of every path, where each token competes with the legal ones only."""
    total = np.zeros(len(paths))
    legal: dict[tuple[int, ...], set[int]] = {}
    for path in paths:
        for depth, token in enumerate(path):
            legal.setdefault(tuple(path[:depth]), set()).add(token)
    for item, path in enumerate(paths):
        for depth, token in enumerate(path):
            among = sorted(legal[tuple(path[:depth])])
            total[item] += float(logits[item, depth, among].log_softmax(-1)[among.index(token)])
    return total


def check_lists(recommender: TSRecRecommender, row: int = 2) -> np.ndarray:
    """Lists hold distinct items with the stock model's own probabilities, best first."""
    items = len(recommender.catalog)
    found = recommender.searcher.rank(HISTORIES, min(items, 40))
    assert all(len(set(row)) == len(row) and min(row) >= 0 for row in found.items.tolist())
    want = plain_scores(recommender, row)
    assert np.allclose(found.scores[row], want[found.items[row]], atol=2e-4)
    assert (np.diff(found.scores[row]) <= 1e-6).all()
    if items <= 40:
        assert np.isclose(np.exp(found.scores[row]).sum(), 1, atol=1e-3)
    return found.scores


def check_sentence(before, after, pieces: int) -> None:
    """Every piece is one token inside a sentence, before and after saving."""
    named = [f"<{letter}_{code}>" for letter in "ab" for code in (0, HALF[pieces] - 1)]
    sentence = f"The user took {named[0]}{named[1]}, then ({named[2]}) and {named[3]}."
    ids = before(sentence, add_special_tokens=False)["input_ids"]
    assert after(sentence, add_special_tokens=False)["input_ids"] == ids
    assert [number for number in ids if number in set(before.convert_tokens_to_ids(named))] == [
        before.convert_tokens_to_ids(piece) for piece in named
    ]
    vocabulary = [f"<{letter}_{code}>" for letter in "ab" for code in range(HALF[pieces])]
    assert after(vocabulary, add_special_tokens=False)["input_ids"] == [
        [number] for number in before.convert_tokens_to_ids(vocabulary)
    ]
    assert after.decode(ids) == before.decode(ids)


def trial(family: str, folder: Path, spare: int, pieces: int, trainable: str) -> None:
    recommender = causal(family, folder / "model", spare, pieces)
    untrained = check_lists(recommender)
    old, known = [table.clone() for table in tables(recommender.backbone)], int(recommender.model.trie.token[1:].min())
    train(recommender, trainable)
    rows = len(old[0])
    check_tables(recommender.backbone, family, rows)
    if trainable != "full":
        for table, before in zip(tables(recommender.backbone), old, strict=True):
            assert torch.equal(table[:known], before[:known])
    assert not any("lora" in name for name in recommender.model.state_dict())
    recommender._searcher = None
    scores = check_lists(recommender)
    assert not np.allclose(scores, untrained, atol=1e-3), "training changed nothing"
    recommender.save(folder / "saved")
    again = TSRecRecommender.load(folder / "saved")
    check_tables(again.backbone, family, rows)
    found, same = (each.searcher.rank(HISTORIES, 20) for each in (recommender, again))
    assert np.array_equal(found.items, same.items)
    assert np.allclose(found.scores, same.scores, atol=1e-5)
    check_sentence(recommender.backbone.tokenizer, again.backbone.tokenizer, pieces)


@pytest.mark.parametrize(
    ("family", "spare", "pieces", "trainable"),
    [
        ("qwen2", 271, 10, "lora"),
        ("qwen3", 28, 10, "embeddings"),
        ("gemma3", 0, 10, "full"),
        ("gpt2", 28, 10, "lora"),
        ("llama", 0, 10, "embeddings"),
    ],
)
def test_causal_families(family, spare, pieces, trainable, tmp_path):
    trial(family, tmp_path, spare, pieces, trainable)


@pytest.mark.long
@pytest.mark.parametrize("trainable", ["full", "lora", "embeddings"])
@pytest.mark.parametrize("spare", SPARES)
@pytest.mark.parametrize("family", CAUSAL)
def test_causal_families_grid(family, spare, trainable, tmp_path):
    for pieces in PIECES:
        trial(family, tmp_path / str(pieces), spare, pieces, trainable)


# ------------------------------------------------------------------------------------------------- encoder-decoders


def fused(family: str, folder: Path, spare: int, pieces: int) -> GramRecommender:
    """Return a recommender that reads user prompts alone, so that the stock model can be asked the same."""
    backbone = load_backbone(family_folder(folder, family, spare), texts=["red pan"])
    known = len(backbone.tokenizer)
    network = {"likelihood": "catalog", "item_prompts": False, "positions": False, "max_history": 3}
    training = {"epochs": 2, "batch_targets": 7, "learning_rate": 1e-2, "checkpoints_per_epoch": 1}
    prompts = {"parts": ["item", "metadata"]}
    settings = GramSettings.model_validate({"network": network, "training": training, "prompts": prompts})
    made = GramRecommender.build(catalog(pieces), backbone, GramInputs(identifiers(pieces)), settings)
    check_tables(backbone, family, max(known + spare, known + pieces))
    return made


@torch.no_grad()
def stock_scores(recommender: GramRecommender, row: int) -> np.ndarray:
    """Return what the stock encoder-decoder says about every item behind a user prompt, one text each."""
    model, trie = recommender.backbone.model.eval(), recommender.model.trie
    newest = torch.from_numpy(HISTORIES.padded(3, newest_first=True)[row : row + 1]).long()
    users = UserPrompts(recommender.identifiers.tokens, recommender.backbone.tokenizer, recommender.settings.prompts)
    prompt = users(newest)[0]
    paths = [trie.path(int(node)) for node in trie.item_node]
    start = model.config.decoder_start_token_id
    logits = torch.cat(
        [
            model(
                input_ids=prompt.expand(len(some), -1),
                decoder_input_ids=torch.tensor([[start, *path[:-1]] for path in some]),
            ).logits
            for some in groups(paths)
        ]
    )
    return shares(paths, logits.double())


@pytest.mark.parametrize(("family", "spare"), [("t5", 28), ("t5-v1.1", 0), ("mt5", 271)])
def test_encoder_decoders(family, spare, tmp_path):
    trial_of_encoder_decoder(family, tmp_path, spare, 10)


@pytest.mark.long
@pytest.mark.parametrize("spare", SPARES)
@pytest.mark.parametrize("family", ENCODER_DECODERS)
def test_encoder_decoders_grid(family, spare, tmp_path):
    for pieces in PIECES:
        trial_of_encoder_decoder(family, tmp_path / str(pieces), spare, pieces)


def trial_of_encoder_decoder(family: str, folder: Path, spare: int, pieces: int) -> None:
    recommender = fused(family, folder / "model", spare, pieces)
    rows = len(tables(recommender.backbone)[0])
    untrained = check_fused_lists(recommender)
    recommender.fit(circle_walks(min(len(recommender.catalog), 20), shoppers=12))
    check_tables(recommender.backbone, family, rows)
    assert not np.allclose(check_fused_lists(recommender), untrained, atol=1e-3), "training changed nothing"
    recommender.save(folder / "saved")
    again = GramRecommender.load(folder / "saved")
    check_tables(again.backbone, family, rows)
    found, same = (each.searcher.rank(HISTORIES, 20) for each in (recommender, again))
    assert np.array_equal(found.items, same.items)
    assert np.allclose(found.scores, same.scores, atol=1e-5)
    check_fused_lists(again)
    check_sentence(recommender.backbone.tokenizer, again.backbone.tokenizer, pieces)


def check_fused_lists(recommender: GramRecommender, row: int = 2) -> np.ndarray:
    found = recommender.searcher.rank(HISTORIES, min(len(recommender.catalog), 40))
    assert all(len(set(row)) == len(row) and min(row) >= 0 for row in found.items.tolist())
    want = stock_scores(recommender, row)
    assert np.allclose(found.scores[row], want[found.items[row]], atol=2e-4)
    return found.scores


# ------------------------------------------------------------------------------------------------- pieces in sentences

LETTERS = [*"abcdefghijklmnopqrstuvwxyz0123456789<>_,.()", "T"]


def _tokenizer(kind: str):
    """Return a tokenizer of a family's own class: byte-level ones, and such as write a blank as ▁."""
    blank = "▁" if kind in ("t5", "llama", "gemma") else "Ġ"
    special = {"llama": ["<unk>", "<s>", "</s>"], "gemma": ["<pad>", "<eos>", "<bos>", "<unk>"]}
    pieces = [*special.get(kind, ["<pad>", "</s>", "<unk>", "<|endoftext|>"]), blank, *LETTERS]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    ends = {"eos_token": "<|endoftext|>", "unk_token": "<unk>", "pad_token": "<pad>"}
    return {
        "t5": lambda: T5Tokenizer(vocab=[(piece, -float(rank)) for rank, piece in enumerate(pieces)], extra_ids=2),
        "llama": lambda: LlamaTokenizer(vocab=vocabulary, merges=[]),
        "gemma": lambda: GemmaTokenizer(vocab=vocabulary, merges=[]),
        "gpt2": lambda: GPT2Tokenizer(vocab=vocabulary, merges=[], **ends),
        "qwen2": lambda: Qwen2Tokenizer(vocab=vocabulary, merges=[], **ends),
        "scratch": lambda: train_tokenizer(["the user took a red pan, then more"], vocabulary_size=200),
    }[kind]()


@pytest.mark.parametrize("kind", ["t5", "llama", "gemma", "gpt2", "qwen2", "scratch"])
def test_pieces_survive_a_round_trip_through_the_tokenizers_of_families(kind, tmp_path):
    tokenizer = _tokenizer(kind)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1
        )
    )
    backbone = Backbone(model, tokenizer)
    pieces = [f"<{letter}_{code}>" for letter in "ab" for code in range(HALF[300])]
    ids = add_tokens(backbone, pieces)
    assert ids == list(range(min(ids), min(ids) + len(pieces)))
    save_causal(backbone, tmp_path)
    again = restore_causal(tmp_path).tokenizer
    assert again.convert_tokens_to_ids(pieces) == ids
    check_sentence(tokenizer, again, 300)
    for text in ("the <a_1><b_2> pan", "<a_1> , <b_2>", "(<b_149>)", "then<a_10>."):
        found = again(text, add_special_tokens=False)["input_ids"]
        assert found == tokenizer(text, add_special_tokens=False)["input_ids"]
        assert [number for number in found if number >= min(ids)] == [
            ids[pieces.index(piece)] for piece in re.findall(r"<[ab]_\d+>", text)
        ]
