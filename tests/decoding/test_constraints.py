import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lexirec.data.sequences import Sequences
from lexirec.decoding.beam import beam_search
from lexirec.decoding.constraints import allowed_bias, boost_bias, mass_bias, no_repeat_bias, seen_mask
from lexirec.decoding.exact import exact_scores, top_items
from lexirec.decoding.trie import Trie
from tests.worlds.tables import TableDecoder, random_identifiers

seeds = st.integers(0, 2**32 - 1)
BATCH = 3


def a_trie(seed: int) -> Trie:
    return Trie.build(random_identifiers(np.random.default_rng(seed), items=50, vocabulary=4, longest=5), end=9)


def a_decoder(trie: Trie, seed: int) -> TableDecoder:
    return TableDecoder.random(trie, BATCH, seed)


def summed(trie: Trie, bias_BN: Tensor) -> Tensor:
    """Return (B, I) what each item gets in all."""
    return bias_BN[:, trie.ancestors().clamp(min=0)].masked_fill(trie.ancestors() < 0, 0).sum(dim=-1)


def items_below(trie: Trie, values_BI: Tensor) -> list[Tensor]:
    return [values_BI[:, trie.order[int(trie.first[v]) : int(trie.last[v])]] for v in range(trie.n_nodes)]


@settings(deadline=None, max_examples=25)
@given(seeds, st.floats(0, 1), st.integers(1, 20), st.sampled_from([None, 1.0]))
def test_a_denied_item_is_never_returned(seed: int, share: float, width: int, length_penalty: float | None):
    trie = a_trie(seed)
    allowed = torch.rand((BATCH, trie.n_items), generator=torch.Generator().manual_seed(seed)) < share
    bias = allowed_bias(trie, allowed)
    decoder = a_decoder(trie, seed)
    beams = beam_search(trie, decoder, width=width, k=width, length_penalty=length_penalty, bias_BN=bias)
    for row in range(BATCH):
        found = beams.items[row][beams.items[row] >= 0]
        assert allowed[row][found].all()
    # nothing legal is lost to the filter: a beam of full width finds each allowed item
    wide = beam_search(trie, a_decoder(trie, seed), width=trie.n_nodes, k=trie.n_items, bias_BN=bias)
    assert torch.equal((wide.items >= 0).sum(dim=1), allowed.sum(dim=1))


@settings(deadline=None, max_examples=25)
@given(seeds)
def test_allowed_bias_closes_exactly_the_nodes_without_allowed_items(seed: int):
    trie = a_trie(seed)
    allowed = torch.rand((BATCH, trie.n_items), generator=torch.Generator().manual_seed(seed)) < 0.2
    expected = torch.stack([below.any(dim=1) for below in items_below(trie, allowed)], dim=1)
    assert torch.equal(allowed_bias(trie, allowed) == 0, expected)
    assert torch.equal(allowed_bias(trie, allowed) == -torch.inf, ~expected)


@settings(deadline=None, max_examples=25)
@given(seeds)
def test_mass_bias_is_the_log_share_of_the_parent_and_telescopes(seed: int):
    trie = a_trie(seed)
    generator = torch.Generator().manual_seed(seed)
    # twenty orders of magnitude: running sums in float64 would lose the small ones beside the great ones
    mass = 10 ** (-20 * torch.rand((BATCH, trie.n_items), generator=generator, dtype=torch.float64))
    mass[:, 0] = 0
    bias = mass_bias(trie, mass)
    below = torch.stack([values.sum(dim=1) for values in items_below(trie, mass)], dim=1)
    above = below[:, trie.parent.clamp(min=0)]
    above[:, : trie.level_offsets[2]] = 1
    expected = torch.where(below > 0, (below / above).log(), -torch.inf)
    torch.testing.assert_close(bias[:, 1:].double(), expected[:, 1:], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(summed(trie, bias).double(), mass.log(), rtol=1e-5, atol=1e-4)
    assert (bias[:, trie.level_offsets[2] :] <= 0).all()


@settings(deadline=None, max_examples=25)
@given(seeds)
def test_boosts_telescope_and_are_admissible(seed: int):
    trie = a_trie(seed)
    boost = 5 * torch.randn((BATCH, trie.n_items), generator=torch.Generator().manual_seed(seed))
    boost[:, ::7] = -torch.inf
    bias = boost_bias(trie, boost)
    torch.testing.assert_close(summed(trie, bias), boost, rtol=1e-5, atol=1e-5)
    promised = bias.clone()
    for node in range(1, trie.n_nodes):
        promised[:, node] += promised[:, int(trie.parent[node])]
    greatest = torch.stack([values.amax(dim=1) for values in items_below(trie, boost)], dim=1)
    torch.testing.assert_close(promised[:, 1:], greatest[:, 1:], rtol=1e-5, atol=1e-5)
    assert (bias[:, trie.level_offsets[2] :] <= 0).all()


@settings(deadline=None, max_examples=20)
@given(seeds)
def test_beams_and_exact_scoring_see_the_same_experts(seed: int):
    trie = a_trie(seed)
    generator = torch.Generator().manual_seed(seed)
    mass = torch.rand((BATCH, trie.n_items), generator=generator)
    mass = mass / mass.sum(dim=1, keepdim=True)
    allowed = torch.rand((1, trie.n_items), generator=generator) < 0.8
    boost = torch.randn((1, trie.n_items), generator=generator)
    bias = allowed_bias(trie, allowed) + 2 * mass_bias(trie, mass) + boost_bias(trie, boost)
    plain = exact_scores(trie, a_decoder(trie, seed))
    by_hand = (plain + 2 * mass.log() + boost).masked_fill(~allowed, -torch.inf)
    beams = beam_search(trie, a_decoder(trie, seed), width=trie.n_nodes, k=10, bias_BN=bias)
    expected = top_items(by_hand, 10)
    torch.testing.assert_close(beams.scores, expected.scores, rtol=1e-4, atol=1e-4)
    assert torch.equal(beams.items, expected.items)
    assert beams.exact.all()
    exact = top_items(exact_scores(trie, a_decoder(trie, seed), bias_BN=bias), 10)
    assert torch.equal(exact.items, expected.items)


def test_an_empty_filter_forbids_everything_and_a_full_one_nothing():
    trie = a_trie(0)
    assert (allowed_bias(trie, torch.zeros((1, trie.n_items), dtype=torch.bool)) == -torch.inf).all()
    assert (allowed_bias(trie, torch.ones((1, trie.n_items), dtype=torch.bool)) == 0).all()


def test_seen_items_are_marked_row_by_row():
    seen = seen_mask(Sequences.from_lists([[2, 0, 2], [], [3]]), n_items=4)
    assert seen.tolist() == [[True, False, True, False], [False] * 4, [False, False, False, True]]


def test_no_repeat_takes_its_penalty_off_seen_items_only():
    trie = a_trie(3)
    seen = torch.zeros((2, trie.n_items), dtype=torch.bool)
    seen[0, 5] = seen[1, :-1] = True
    total = summed(trie, no_repeat_bias(trie, seen, 2.5))
    torch.testing.assert_close(total, torch.where(seen, -2.5, 0.0))
    forbidden = summed(trie, no_repeat_bias(trie, seen, float("inf")))
    assert torch.equal(forbidden == -torch.inf, seen)
