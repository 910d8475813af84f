"""Beams over one reading of the prompt: against every item spelled out alone, and against stock `generate`."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from lexirec.decoding.beam import beam_search
from lexirec.decoding.exact import exact_scores
from lexirec.decoding.trie import Trie
from lexirec.models.tsrec.network import TSRecNetwork
from lexirec.models.tsrec.settings import TSRecNetworkSettings
from lexirec.models.tsrec.step_decoder import TSRecStepDecoder
from tests.worlds.tsrec import (
    END,
    FAMILIES,
    FIRST_TOKEN,
    HEADS,
    ITEMS,
    causal,
    histories,
    identifiers,
    language,
    plain_paths,
    prompts,
)


def row(prompt: tuple[Tensor, Tensor], number: int) -> tuple[Tensor, Tensor]:
    """Return one prompt without its padding."""
    ids, mask = prompt
    length = int(mask[number].sum())
    return ids[number : number + 1, :length], mask[number : number + 1, :length]


def spelled(trie: Trie) -> dict[tuple[int, ...], int]:
    return {tuple(token for token in row if token >= 0): item for item, row in enumerate(trie.sequences().tolist())}


def generated(model: Any, trie: Trie, ids: Tensor, width: int, longest: int) -> tuple[list[int], list[float]]:
    """Return what stock `generate` finds under a Python constraint."""
    rows = [row.tolist() for row in trie.sequences()]
    legal: dict[tuple[int, ...], set[int]] = {}
    for tokens in ([token for token in row if token >= 0] for row in rows):
        for place in range(len(tokens)):
            legal.setdefault(tuple(tokens[:place]), set()).add(tokens[place])
    found = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        prefix_allowed_tokens_fn=lambda _, text: sorted(legal.get(tuple(text[ids.shape[1] :].tolist()), {END})),
        num_beams=width,
        num_return_sequences=width,
        max_new_tokens=longest,
        length_penalty=0.0,
        do_sample=False,
        eos_token_id=END,
        pad_token_id=0,
        output_scores=True,
        return_dict_in_generate=True,
    )
    items, found_tokens = spelled(trie), found.sequences[:, ids.shape[1] :].tolist()
    texts = [text[: text.index(END) + 1] if END in text else text for text in found_tokens]  # ends are repeated
    return [items[tuple(text)] for text in texts], found.sequences_scores.tolist()


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_beams_find_what_generate_finds(family, attention):
    """In order and in score: identifiers of unequal length closed by an end, and of equal length without one."""
    backbone = language(family, attention=attention, tied=family != "llama")
    closed = Trie.build(identifiers(), end=END)
    codes = np.random.default_rng(1).permutation(np.stack(np.unravel_index(range(100), (5, 5, 4)), 1))[:ITEMS]
    for trie in (closed, Trie.build(codes + FIRST_TOKEN)):
        model = TSRecNetwork(backbone, TSRecNetworkSettings(likelihood="vocabulary"), trie).eval()
        prompt = row(prompts(), 2)
        steps = TSRecStepDecoder(model, prompt, histories()[2:3])
        found = beam_search(trie, steps, width=7, k=7, length_penalty=0.0)
        items, scores = generated(backbone, trie, prompt[0], 7, trie.longest)
        assert found.items[0].tolist() == items
        assert np.allclose(found.scores[0], scores, atol=1e-4)


@pytest.mark.parametrize("kind", HEADS)
@torch.no_grad()
def test_full_width_is_every_item_spelled_alone(kind):
    """In one batch of prompts of unequal length: no item is missing, none comes twice, scores are the plain ones."""
    model = causal(**HEADS[kind], end=kind == "vocabulary")
    prompt, seen = prompts(), histories()
    found = beam_search(model.trie, TSRecStepDecoder(model, prompt, seen), width=model.trie.n_nodes, k=ITEMS)
    assert bool(found.exact.all())
    every = exact_scores(model.trie, TSRecStepDecoder(model, prompt, seen))
    for number in (0, 3):
        want = plain_paths(model, row(prompt, number)[0][0].tolist(), seen[number].tolist())
        assert torch.allclose(every[number], want, atol=1e-4)
        assert sorted(found.items[number].tolist()) == list(range(ITEMS))
        assert torch.allclose(found.scores[number], want[found.items[number]], atol=1e-4)
    if kind != "vocabulary":
        assert torch.allclose(every.exp().sum(1), torch.ones(4), atol=1e-4)


@pytest.mark.parametrize("kind", HEADS)
@torch.no_grad()
def test_lists_do_not_depend_on_the_batch(kind):
    """Alone, together, in another order and with more padding: the same lists, distinct and legal."""
    model = causal(**HEADS[kind], end=kind == "vocabulary")
    (ids, mask), seen = prompts(), histories()

    def lists(rows: list[int], padding: int = 0) -> tuple[Tensor, Tensor]:
        filled = torch.nn.functional.pad(ids[rows], (0, padding)), torch.nn.functional.pad(mask[rows], (0, padding))
        steps = TSRecStepDecoder(model, filled, seen[rows], rows=model.rows())
        return beam_search(model.trie, steps, width=6, k=6)[:2]

    together, scores = lists([0, 1, 2, 3])
    assert all(len(set(row)) == 6 and min(row) >= 0 for row in together.tolist())
    for rows, padding in (([2], 0), ([3, 1, 0], 0), ([0, 2], 9)):
        found, again = lists(rows, padding)
        assert torch.equal(found, together[rows])
        assert torch.allclose(again, scores[rows], atol=1e-5)


@torch.no_grad()
def test_what_is_certain_needs_no_model(monkeypatch):
    """Three items, told apart by two tokens of four: the second step is the last, and only open beams enter it."""
    trie = Trie.build(np.array([[50, 51, 52, 53], [50, 54, 52, 53], [55, 51, 52, 53]]))
    model = TSRecNetwork(language(), TSRecNetworkSettings(), trie).eval()
    entered = []
    extend = TSRecNetwork.extend

    def counted(self, prefix, parents_BW, tokens_BW, **options):
        entered.append(tokens_BW.tolist())
        return extend(self, prefix, parents_BW, tokens_BW, **options)

    monkeypatch.setattr(TSRecNetwork, "extend", counted)
    found = beam_search(trie, TSRecStepDecoder(model, row(prompts(), 1), histories()[1:2]), width=3, k=3)
    assert entered == [[[50]]]
    assert sorted(found.items[0].tolist()) == [0, 1, 2]
    assert float(found.scores.exp().sum()) == pytest.approx(1, abs=1e-5)


@torch.no_grad()
def test_prompts_are_kept_once_and_never_copied_per_beam():
    model = causal()
    steps = TSRecStepDecoder(model, prompts(), histories())
    beam_search(model.trie, steps, width=8, k=8)
    keys = steps._prefix.cache.layers[0].keys
    length = prompts()[0].shape[1]
    assert keys.shape[:2] == (4, 2)
    assert length < keys.shape[2] <= length + 8 * (model.trie.longest - 1)


@torch.no_grad()
def test_a_checkpoints_generation_settings_change_nothing(tmp_path):
    """Sampling and repetition penalties of a checkpoint must not reach the search (spec section 8.1)."""
    backbone = language()
    before = TSRecStepDecoder(causal(backbone, likelihood="vocabulary", end=True), prompts(), histories())
    backbone.generation_config.update(do_sample=True, repetition_penalty=5.0, temperature=0.1, top_k=2)
    backbone.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert loaded.generation_config.repetition_penalty == 5
    model = causal(loaded, likelihood="vocabulary", end=True)
    after = TSRecStepDecoder(model, prompts(), histories())
    one, two = (beam_search(model.trie, steps, width=6, k=6, length_penalty=0.0) for steps in (before, after))
    assert torch.equal(one.items, two.items)
    assert torch.equal(one.scores, two.scores)
