"""Benchmark of TS-Rec decoding: beams over one shared prompt cache against stock `generate` with a prefix function.

`generate` encodes the prompt once per beam and calls a Python function for the allowed tokens; ours encodes it once.
Both normalise over the whole vocabulary, so that their lists can be compared; ours is also timed over legal children
only, its default.

Legend: `B` users, `L` tokens, `I` items.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import Qwen2Config, Qwen2ForCausalLM

from lexirec.core.progress import Progress
from lexirec.decoding.beam import beam_search
from lexirec.decoding.trie import Trie
from lexirec.models.tsrec.network import TSRecNetwork
from lexirec.models.tsrec.settings import TSRecNetworkSettings
from lexirec.models.tsrec.step_decoder import TSRecStepDecoder
from lexirec.nn.cpu_kernels import PackedLinears
from lexirec.nn.vocabulary_head import for_searching
from lexirec.workflows.benchmarks.measure import Answer, Competitor, apart, timings

LEVELS = 3
TOLERANCE = 1e-4
"""Largest difference of scores between equal lists."""

Nested = dict[int, Any]
Ranked = tuple[list[int], list[float]]


@dataclass(frozen=True)
class CausalSizes:
    """Sizes of the benchmark; by default Qwen2.5-0.5B and a trie like that of MiniOneRec's Industrial.

    Attributes:
        layers: layers of the model.
        width: width of the hidden states.
        heads: attention heads.
        key_heads: key-value heads.
        inner: width of the feed-forward layers.
        vocabulary: rows of the embedding; the last ones are the tokens of identifiers.
        codes: tokens of the second and of the third level.
        nodes: nodes of the trie per level; the last are the items.
        prompt: tokens of a prompt.
        beams: beam width, and number of items returned.
    """

    layers: int = 24
    width: int = 896
    heads: int = 14
    key_heads: int = 2
    inner: int = 4864
    vocabulary: int = 151_936
    codes: int = 256
    nodes: tuple[int, int, int] = (48, 2_295, 3_670)
    prompt: int = 200
    beams: int = 50


def bench_causal_decode(
    users: int = 2, repeats: int = 3, sizes: CausalSizes | None = None, seed: int = 0
) -> dict[str, Any]:
    """Rank the whole catalogue for some users, one at a time, by our beam search and by `generate`.

    Args:
        users: number of users, each with a prompt of random tokens.
        repeats: timings of ours per user; the reference is timed once.
        sizes: sizes of model and catalogue.
        seed: seed of weights, identifiers and prompts.

    Returns:
        `speedup` (medians), `processor_speedup` (of processor time, which depends little on other load),
        `speedup_over_legal_children` (ours with default settings), `memory_ratio` (peak growth of resident memory, ours
        / reference, after the model was loaded), `identical` (same items in the same order, scores within 1e-4),
        seconds with their spread, and as lower bound (`floor_seconds`) one forward pass of the prompt by the stock
        model.
    """
    sizes = sizes or CausalSizes()
    words = sizes.vocabulary - sizes.nodes[0] - 2 * sizes.codes
    prompts = np.random.default_rng([seed, 2]).integers(0, words, size=(users, sizes.prompt)).tolist()
    answers: dict[str, list[list[Answer]]] = {name: [] for name in ("reference", "ours", "legal_children", "floor")}
    with (
        apart(_Reference, sizes, seed) as reference,
        apart(_Beams, sizes, seed) as beams,
        Progress("Decoding", total=users * (1 + repeats)) as progress,
    ):
        for competitor in (reference, beams):
            competitor.ask("rank", prompts[0][:8], min(sizes.beams, 2))
        for prompt in prompts:
            answers["reference"].append([reference.ask("rank", prompt, sizes.beams)])
            progress.advance()
            rounds = [_round(beams, prompt, sizes.beams, progress) for _ in range(repeats)]
            for name, found in zip(("ours", "legal_children", "floor"), zip(*rounds)):
                answers[name].append(list(found))
    return _figures(sizes, answers)


def _round(beams: Competitor, prompt: list[int], width: int, progress: Progress) -> tuple[Answer, Answer, Answer]:
    """Time ours over vocabulary and legal children, and one forward pass of the prompt."""
    answers = (
        beams.ask("rank", prompt, width),
        beams.ask("rank_over_legal_children", prompt, width),
        beams.ask("read", prompt),
    )
    progress.advance()
    return answers


def _figures(sizes: CausalSizes, answers: dict[str, list[list[Answer]]]) -> dict[str, Any]:
    seconds = {name: [answer.seconds for row in rows for answer in row] for name, rows in answers.items()}
    work = {name: [answer.processor_seconds for row in rows for answer in row] for name, rows in answers.items()}
    pairs = [
        (row[0].value, answer.value) for row, mine in zip(answers["reference"], answers["ours"]) for answer in mine
    ]
    growth, reference_growth = (answers[name][-1][-1].growth for name in ("ours", "reference"))
    return {
        "speedup": median(seconds["reference"]) / median(seconds["ours"]),
        "processor_speedup": median(work["reference"]) / median(work["ours"]),
        "speedup_over_legal_children": median(seconds["reference"]) / median(seconds["legal_children"]),
        "memory_ratio": growth / reference_growth,
        "identical": all(_same(one, other) for one, other in pairs),
        "score_difference": max(float(np.abs(np.subtract(one[1], other[1])).max()) for one, other in pairs),
        **timings("", seconds["ours"]),
        **timings("legal_children_", seconds["legal_children"]),
        **timings("reference_", seconds["reference"]),
        **timings("floor_", seconds["floor"]),
        "processor_seconds": {name: median(found) for name, found in work.items()},
        "growth_mebibytes": growth,
        "reference_growth_mebibytes": reference_growth,
        "users": len(answers["reference"]),
        "nodes": list(sizes.nodes),
        "prompt_tokens": sizes.prompt,
        "width": sizes.beams,
        "threads": torch.get_num_threads(),
    }


def _same(one: Ranked, other: Ranked) -> bool:
    return one[0] == other[0] and np.allclose(one[1], other[1], rtol=0, atol=TOLERANCE)


def semantic_ids(sizes: CausalSizes, seed: int) -> NDArray[np.int32]:
    """Return identifiers (I, 3) whose trie has exactly `sizes.nodes` nodes per level, with cells of unequal size."""
    first, pairs, items = sizes.nodes
    rng = np.random.default_rng([seed, 0])
    affinity = np.log(rng.dirichlet(np.full(first, 1.2)))[:, None] + rng.gumbel(size=(first, sizes.codes))
    affinity[np.arange(first), affinity.argmax(1)] = np.inf  # no cell is empty
    chosen = np.argsort(-affinity, axis=None, kind="stable")[:pairs]
    more = rng.choice(pairs, size=items - pairs, p=rng.dirichlet(np.full(pairs, 0.5)))
    pair_I = np.sort(np.concatenate([np.arange(pairs), more]))
    place_I = np.arange(items) - np.searchsorted(pair_I, pair_I)
    begin = rng.integers(0, sizes.codes, size=pairs)
    codes_I3 = np.stack(
        [
            chosen[pair_I] // sizes.codes,
            first + chosen[pair_I] % sizes.codes,
            first + sizes.codes + (begin[pair_I] + place_I) % sizes.codes,
        ],
        axis=1,
    )
    return (sizes.vocabulary - first - 2 * sizes.codes + codes_I3).astype(np.int32)


def _language(sizes: CausalSizes, seed: int) -> Any:
    """Return a stock Qwen2 with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = Qwen2Config(
            vocab_size=sizes.vocabulary,
            hidden_size=sizes.width,
            intermediate_size=sizes.inner,
            num_hidden_layers=sizes.layers,
            num_attention_heads=sizes.heads,
            num_key_value_heads=sizes.key_heads,
            tie_word_embeddings=True,
        )
        return Qwen2ForCausalLM(config).eval()


class _Reference:
    """Stock `generate` with a prefix function over nested dictionaries (MiniOneRec, spec section 8)."""

    def __init__(self, sizes: CausalSizes, seed: int) -> None:
        self._model = _language(sizes, seed)
        tokens = semantic_ids(sizes, seed).tolist()
        self._item = {tuple(row): item for item, row in enumerate(tokens)}
        self._trie: Nested = {}
        for row in tokens:
            node = self._trie
            for token in row:
                node = node.setdefault(token, {})

    def rank(self, prompt: list[int], width: int) -> Ranked:
        """Return the best items for a prompt and their scores."""
        ids_1L = torch.tensor([prompt])
        generated = self._model.generate(
            ids_1L,
            attention_mask=torch.ones_like(ids_1L),
            prefix_allowed_tokens_fn=self._allowed(len(prompt)),
            num_beams=width,
            num_return_sequences=width,
            max_new_tokens=LEVELS,
            length_penalty=0.0,
            do_sample=False,
            pad_token_id=0,
            output_scores=True,
            return_dict_in_generate=True,
        )
        items = [self._item[tuple(row)] for row in generated.sequences[:, len(prompt) :].tolist()]
        return items, generated.sequences_scores.tolist()

    def _allowed(self, length: int) -> Callable[[int, Tensor], list[int]]:
        def allowed(_: int, text_L: Tensor) -> list[int]:
            node = self._trie
            for token in text_L[length:].tolist():
                node = node.get(token, {})
            return list(node) or [0]

        return allowed


class _Beams:
    """Our beam search: the prompt is encoded once, and all beams share its cache."""

    def __init__(self, sizes: CausalSizes, seed: int) -> None:
        backbone, trie = _language(sizes, seed), Trie.build(semantic_ids(sizes, seed))
        self._whole, self._legal = (
            TSRecNetwork(backbone, TSRecNetworkSettings(likelihood=likelihood), trie).eval()
            for likelihood in ("vocabulary", "catalog")
        )
        self._weights = PackedLinears(backbone.get_decoder())  # as in `causal_ranking`
        with torch.inference_mode():
            self._rows = {model: for_searching(model.rows()) for model in (self._whole, self._legal)}

    def rank(self, prompt: list[int], width: int) -> Ranked:
        """Return items and scores as `generate` does, normalised over the vocabulary."""
        return self._search(self._whole, prompt, width, length_penalty=0.0)

    def rank_over_legal_children(self, prompt: list[int], width: int) -> Ranked:
        """Return items and scores normalised over legal children."""
        return self._search(self._legal, prompt, width, length_penalty=None)

    @torch.inference_mode()
    def read(self, prompt: list[int]) -> None:
        """Run one forward pass of the prompt, without language head."""
        self._whole.backbone.get_decoder()(input_ids=torch.tensor([prompt]), use_cache=True)

    @torch.inference_mode()
    def _search(self, model: TSRecNetwork, prompt: list[int], width: int, length_penalty: float | None) -> Ranked:
        ids_1L = torch.tensor([prompt])
        prompt_and_mask, seen = (ids_1L, torch.ones_like(ids_1L)), torch.full((1, 1), -1)
        with self._weights.in_use():
            steps = TSRecStepDecoder(model, prompt_and_mask, seen, rows=self._rows[model])
            result = beam_search(model.trie, steps, width=width, k=width, length_penalty=length_penalty)
        return result.items[0].tolist(), result.scores[0].tolist()
