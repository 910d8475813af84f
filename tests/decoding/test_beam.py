import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import T5Config, T5ForConditionalGeneration

from lexirec.core.errors import SettingsError, TrainingError
from lexirec.decoding.beam import Beams, beam_search
from lexirec.decoding.exact import exact_scores, top_items
from lexirec.decoding.trie import Trie
from tests.worlds.tables import TableDecoder, random_identifiers

seeds = st.integers(0, 2**32 - 1)
BATCH = 3


def a_trie(seed: int, items: int = 60, end: int | None = None) -> Trie:
    rng = np.random.default_rng(seed)
    return Trie.build(random_identifiers(rng, items=items, vocabulary=4, longest=5), end=end)


def search(trie: Trie, seed: int, **given: object) -> Beams:
    return beam_search(trie, TableDecoder.random(trie, BATCH, seed), **given)  # type: ignore[arg-type]


def assert_same_list(beams: Beams, expected: Beams) -> None:
    torch.testing.assert_close(beams.scores, expected.scores, atol=1e-5, rtol=1e-5)
    assert torch.equal(beams.items, expected.items)


@settings(deadline=None, max_examples=25)
@given(seeds, st.integers(1, 70), st.sampled_from([None, 0.0, 1.0, -0.5]), st.sampled_from([None, 9]))
def test_full_width_equals_exact_scoring(seed: int, k: int, length_penalty: float | None, end: int | None):
    trie = a_trie(seed, end=end)
    oracle = exact_scores(trie, TableDecoder.random(trie, BATCH, seed), length_penalty=length_penalty)
    if length_penalty in (None, 0.0):  # elsewhere, generate's own early stop may close a row
        beams = search(trie, seed, width=trie.n_nodes, k=k, length_penalty=length_penalty)
        assert_same_list(beams, top_items(oracle, k))
        assert beams.exact.all()
    else:
        beams = search(trie, seed, width=trie.n_nodes, k=trie.n_items, length_penalty=length_penalty)
        assert_same_list(beams, top_items(oracle, trie.n_items))


@settings(deadline=None, max_examples=25)
@given(seeds, st.integers(1, 12), st.integers(1, 8), st.sampled_from([None, 0.0, 1.0, 2.0, -1.0]), st.booleans())
def test_a_list_called_exact_is_exact(seed: int, width: int, k: int, length_penalty: float | None, biased: bool):
    trie = a_trie(seed)
    bias = -3 * torch.rand((BATCH, trie.n_nodes), generator=torch.Generator().manual_seed(seed)) if biased else None
    k = min(k, width) if length_penalty is not None else k
    beams = search(trie, seed, width=width, k=k, length_penalty=length_penalty, bias_BN=bias)
    decoder = TableDecoder.random(trie, BATCH, seed)
    best = top_items(exact_scores(trie, decoder, length_penalty=length_penalty, bias_BN=bias), k)
    torch.testing.assert_close(beams.scores[beams.exact], best.scores[beams.exact], atol=1e-5, rtol=1e-5)
    assert torch.equal(beams.items[beams.exact], best.items[beams.exact])


def test_narrow_beams_are_often_provably_exact_and_say_so():
    trie = a_trie(0)
    shares = [search(trie, 0, width=width, k=3).exact.float().mean() for width in (1, 6, 12, 40)]
    assert shares[0] == 0
    assert shares[2] > 0
    assert shares[-1] == 1


@settings(deadline=None, max_examples=25)
@given(seeds, st.integers(1, 10))
def test_scores_are_those_of_the_items_and_items_are_distinct(seed: int, width: int):
    trie = a_trie(seed)
    beams = search(trie, seed, width=width, k=8)
    oracle = exact_scores(trie, TableDecoder.random(trie, BATCH, seed))
    real = beams.items >= 0
    torch.testing.assert_close(beams.scores[real], oracle.gather(1, beams.items.clamp(min=0))[real])
    assert (beams.scores[~real] == -torch.inf).all()
    assert all(len(set(row)) == len(row) for row in (r[r >= 0].tolist() for r in beams.items))
    assert (beams.scores[:, 1:] <= beams.scores[:, :-1]).all()


def test_forbidden_nodes_are_never_entered_and_the_rest_is_padded():
    trie = a_trie(1)
    bias = torch.zeros((1, trie.n_nodes))
    kept = trie.item_node[torch.tensor([4, 7])]
    bias[:, trie.item_node] = -torch.inf
    bias[:, kept] = 0
    for length_penalty in (None, 1.0):
        beams = search(trie, 1, width=trie.n_nodes, k=5, length_penalty=length_penalty, bias_BN=bias)
        assert (beams.items[:, :2].sort().values == torch.tensor([4, 7])).all()
        assert (beams.items[:, 2:] == -1).all()
        assert beams.exact.all()
        nothing = search(
            trie, 1, width=4, k=5 - 1, length_penalty=length_penalty, bias_BN=torch.full_like(bias, -torch.inf)
        )
        assert (nothing.items == -1).all()


def test_a_bias_that_rises_is_not_called_exact():
    trie = a_trie(2)
    bias = torch.zeros((1, trie.n_nodes))
    bias[:, trie.item_node] = 5.0
    assert not search(trie, 2, width=trie.n_nodes, k=3, bias_BN=bias).exact.any()
    level_one = torch.zeros((1, trie.n_nodes))
    level_one[:, 1 : trie.level_offsets[2]] = 5.0  # nothing was pruned before: harmless
    assert search(trie, 2, width=trie.n_nodes, k=3, bias_BN=level_one).exact.all()


def rising(trie: Trie, seed: int) -> TableDecoder:
    """Return a decoder whose numbers below depth 1 are above 0, as those of no probabilities are."""
    decoder = TableDecoder.random(trie, BATCH, seed)
    decoder.entering_BN = decoder.entering_BN.where(trie.depth < 2, 2 - decoder.entering_BN)
    return decoder


def test_scores_that_rise_along_a_path_are_not_called_exact():
    trie, wrong = a_trie(2), 0
    for seed in range(10):
        best = top_items(exact_scores(trie, rising(trie, seed)), 3)
        for width in (2, 6, trie.n_nodes):
            beams = beam_search(trie, rising(trie, seed), width=width, k=3)
            assert not beams.exact.any()
            assert (beams.scores[:, 1:] <= beams.scores[:, :-1]).all()
            wrong += int((beams.items != best.items).any())
    assert wrong, "narrow beams do miss items here, so a bound taken when a prefix was pruned would be a lie"


@settings(deadline=None, max_examples=25)
@given(seeds, st.integers(1, 10))
def test_no_beam_scores_more_than_the_beam_it_extends(seed: int, width: int):
    trie = a_trie(seed)
    decoder = Watched(trie, TableDecoder.random(trie, BATCH, seed).entering_BN)
    beams = beam_search(trie, decoder, width=width, k=8)
    assert (beams.scores <= 1e-4).all(), "sums of log-probabilities"
    for above, (parents, nodes) in zip(decoder.steps, decoder.steps[1:], strict=False):
        before = decoder.sums(above[1]).gather(1, parents)
        alive = (trie.depth[nodes] == trie.depth[above[1].gather(1, parents)] + 1) & (trie.node_item[nodes] < 0)
        assert (decoder.sums(nodes) <= before + 1e-4)[alive].all()


class Watched(TableDecoder):
    """Keeps the beams of every step, and knows the score of a node."""

    def __init__(self, trie: Trie, entering_BN: Tensor) -> None:
        super().__init__(trie, entering_BN)
        self.steps: list[tuple[Tensor, Tensor]] = []

    def advance(self, parents_BW: Tensor, nodes_BW: Tensor, depth: int) -> Tensor:
        self.steps.append((parents_BW, nodes_BW))
        return super().advance(parents_BW, nodes_BW, depth)

    def sums(self, nodes_BW: Tensor) -> Tensor:
        found = torch.zeros(nodes_BW.shape)
        while bool((nodes_BW > 0).any()):
            found += self.entering_BN.gather(1, nodes_BW) * (nodes_BW > 0)
            nodes_BW = self.trie.parent[nodes_BW].clamp(min=0)
        return found


def test_identifiers_of_one_token():
    trie = Trie.build([[3], [1], [2]])
    beams = beam_search(trie, TableDecoder(trie, torch.tensor([[0.0, -1.0, -3.0, -2.0]])), width=1, k=2)
    assert beams.items.tolist() == [[1, 0]]
    assert beams.scores.tolist() == [[-1.0, -2.0]]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"width": 0, "k": 1}, "width = 0"),
        ({"width": 2, "k": 0}, "k = 0"),
        ({"width": 2, "k": 3, "length_penalty": 1.0}, "more than width = 2"),
    ],
)
def test_refuses_impossible_widths(given: dict[str, float], says: str):
    with pytest.raises(SettingsError, match=says):
        search(a_trie(0), 0, **given)


class CountOps(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


class FlatDecoder:
    """Says 0 of everything, in one operation."""

    def __init__(self, trie: Trie, batch: int) -> None:
        self.trie, self.batch = trie, batch

    def start(self) -> Tensor:
        return torch.zeros((self.batch, 1, self.trie.max_children[0]))

    def advance(self, parents_BW: Tensor, nodes_BW: Tensor, depth: int) -> Tensor:
        return torch.zeros((*nodes_BW.shape, self.trie.max_children[depth]))


@pytest.mark.parametrize("length_penalty", [None, 1.0])
def test_operations_never_wait_for_the_device_nor_grow_with_batch_and_width(length_penalty: float | None):
    trie = a_trie(5)
    bias = torch.zeros((1, trie.n_nodes))
    counts = []
    for batch, width in ((1, 3), (7, 12)):
        with CountOps() as ops:
            beam_search(
                trie,
                FlatDecoder(trie, batch),
                width=width,
                k=3,
                length_penalty=length_penalty,
                bias_BN=bias,
            )
        waiting = [name for name in ops.names if any(word in name for word in ("local_scalar", "nonzero", "unique"))]
        ends = sum(trie.leaves(depth) > 0 for depth in range(1, trie.longest))
        assert len(waiting) <= ends  # on CPUs, where it costs nothing, beams that died of an item's end are given up
        counts.append(len(ops.names))
    assert counts[1] <= counts[0]


START, END = 0, 1


class StockT5Decoder:
    """Runs the stock model on every prefix from its beginning: slow, without a cache, and plainly right."""

    def __init__(self, model: T5ForConditionalGeneration, prompts_BL: Tensor, trie: Trie) -> None:
        self.model, self.trie, self.batch = model, trie, len(prompts_BL)
        self.states_BLD = model.encoder(prompts_BL).last_hidden_state
        self.paths_NL = torch.zeros((trie.n_nodes, trie.longest), dtype=torch.int64)
        for node in range(trie.n_nodes):
            path = trie.path(node)
            self.paths_NL[node, : len(path)] = torch.tensor(path, dtype=torch.int64)

    def start(self) -> Tensor:
        return self._step(torch.zeros((self.batch, 1), dtype=torch.int64), 0)

    def advance(self, parents_BW: Tensor, nodes_BW: Tensor, depth: int) -> Tensor:
        return self._step(nodes_BW, depth)

    def _step(self, nodes_BW: Tensor, depth: int) -> Tensor:
        width = nodes_BW.shape[1]
        prefixes = self.paths_NL[nodes_BW.flatten(), :depth]
        logits = self.model(
            encoder_outputs=(self.states_BLD.repeat_interleave(width, dim=0),),
            decoder_input_ids=torch.nn.functional.pad(prefixes, (1, 0), value=START),
        ).logits[:, -1]
        children = self.trie.children(nodes_BW, self.trie.max_children[depth])
        tokens = self.trie.token[children.clamp(min=1)].flatten(0, 1)
        return logits.float().log_softmax(dim=-1).gather(1, tokens).view(children.shape)


@pytest.fixture(scope="module")
def tiny_t5() -> T5ForConditionalGeneration:
    torch.manual_seed(9)  # with narrow beams, generate's early stop costs a result here
    config = T5Config(
        vocab_size=300,
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=START,
        pad_token_id=START,
    )
    config.initializer_factor = 1.5
    return T5ForConditionalGeneration(config).eval()


@pytest.mark.parametrize(("width", "length_penalty"), [(50, 0.0), (50, 1.0), (50, 2.0), (2, 2.0), (3, 2.0), (5, 1.0)])
def test_equals_generate_of_transformers(tiny_t5: T5ForConditionalGeneration, width: int, length_penalty: float):
    rng = np.random.default_rng(9)
    tokens = random_identifiers(rng, items=400, vocabulary=9, longest=5)
    tokens = np.where(tokens >= 0, tokens + 2 + 9 * np.arange(tokens.shape[1]), -1)
    trie = Trie.build(tokens, end=END)
    prompts = torch.from_numpy(rng.integers(2, 300, size=(3, 12)))
    allowed = {tuple(trie.path(v)): trie.token[trie.parent == v].tolist() for v in range(trie.n_nodes)}
    item_of = {tuple(trie.path(int(node))): item for item, node in enumerate(trie.item_node)}
    expected = tiny_t5.generate(
        prompts,
        attention_mask=torch.ones_like(prompts),
        num_beams=width,
        num_return_sequences=width,
        max_length=trie.longest + 1,
        length_penalty=length_penalty,
        early_stopping=False,
        do_sample=False,
        prefix_allowed_tokens_fn=lambda _, prefix: allowed.get(tuple(prefix[1:].tolist())) or [START],
        return_dict_in_generate=True,
        output_scores=True,
    )
    spelled = [row[1 : row.index(END) + 1] for row in expected.sequences.tolist()]  # then `generate` pads with END
    with torch.no_grad():
        decoder = StockT5Decoder(tiny_t5, prompts, trie)
    beams = beam_search(trie, decoder, width=width, k=width, length_penalty=length_penalty)
    assert beams.items.flatten().tolist() == [item_of[tuple(tokens)] for tokens in spelled]
    torch.testing.assert_close(beams.scores.flatten(), expected.sequences_scores, atol=1e-4, rtol=0)


@pytest.mark.parametrize("length_penalty", [None, 1.0])
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("sign", [1.0, -1.0])  # 0 · ∞ is a negative NaN on many processors
def test_a_model_that_gives_no_numbers_is_noticed_at_any_depth(depth: int, length_penalty: float | None, sign: float):
    trie = a_trie(1)
    decoder = TableDecoder.random(trie, BATCH, 1)
    fine = beam_search(trie, decoder, width=6, k=3, length_penalty=length_penalty).checked()
    assert fine.broken is not None
    assert not fine.broken.any()
    decoder = TableDecoder.random(trie, BATCH, 1)
    decoder.entering_BN[1, trie.level_offsets[depth] : trie.level_offsets[depth + 1]] = math.copysign(math.nan, sign)
    beams = beam_search(trie, decoder, width=6, k=3, length_penalty=length_penalty)
    assert beams.broken is not None
    assert beams.broken.tolist() == [False, True, False]
    assert torch.equal(beams.items[::2], fine.items[::2])
    with pytest.raises(TrainingError, match="the model's scores are NaN for 1 of 3 histories"):
        beams.checked()


def test_minus_infinity_is_no_fault_of_a_model():
    trie = a_trie(1)
    decoder = TableDecoder.random(trie, BATCH, 1)
    decoder.entering_BN[1, trie.level_offsets[1] : trie.level_offsets[2]] = -torch.inf
    beams = beam_search(trie, decoder, width=6, k=3).checked()
    assert beams.items[1].tolist() == [-1, -1, -1]
