"""Beam search over the trie: only children of trie nodes are ever scored, so an illegal item cannot be spelled.

Shapes: `B` batch, `W` width (beams alive at one depth), `C` children, `M` candidates (W · C), `K` results, `N` nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from lexirec.core.errors import SettingsError
from lexirec.decoding.trie import Trie

_DEAD = -torch.inf
_ROUNDING = 1e-4  # a log-probability may exceed 0 by rounding, not by more


class StepDecoder(Protocol):
    """What scores the children of trie nodes; it holds the batch and its own state (prompts, caches)."""

    def start(self) -> Tensor:
        """Return log-probabilities (B, 1, C0) of the root's children, `C0 = trie.max_children[0]`."""
        ...

    def advance(self, parents_BW: Tensor, nodes_BW: Tensor, depth: int) -> Tensor:
        """Return log-probabilities (B, W, C) of the children of `nodes_BW`, in the order of `trie.children`.

        Args:
            parents_BW: which beam of the step before each beam goes on from; after `start` there was one beam, 0.
            nodes_BW: the node of each beam. W is at most the search's width and changes from depth to depth. A dead
                beam holds some node other than the root, whatever its depth; what is returned for it is ignored.
            depth: of the nodes, 1 at the first call; `C = trie.max_children[depth]`. Scores beyond a node's number of
                children are ignored too.
        """
        ...


class Beams(NamedTuple):
    """The result of a search.

    Attributes:
        items: (B, K) item numbers, best first; −1 where there are fewer than K.
        scores: (B, K) descending; −inf where there is no item.
        exact: (B,) whether no pruned prefix could have beaten the last result, given that log-probabilities are at
            most 0. Where it is False the list may still be right.
    """

    items: Tensor
    scores: Tensor
    exact: Tensor


class _Candidates(NamedTuple):
    """The children of all beams at one step, (B, M): `items` −1 inside the trie, `scores` −inf where none is legal."""

    nodes: Tensor
    items: Tensor
    scores: Tensor
    children: int


@dataclass
class _Search:
    """Where a search stands; the arrays of one depth replace those of the depth before.

    Attributes:
        nodes: (B, W) where the beams are.
        parents: (B, W) the beam of the step before that each goes on from.
        scores: (B, W) their sums so far, −inf for dead ones.
        items: (B, K) the best finished items so far.
        found: (B, K) their scores.
        lost: (B,) the best final score that anything thrown away might have reached.
        open: (B,) whether finished items are still taken (`generate` closes a row early).
    """

    nodes: Tensor
    parents: Tensor
    scores: Tensor
    items: Tensor
    found: Tensor
    lost: Tensor
    open: Tensor

    @classmethod
    def at_root(cls, batch: int, results: int, device: torch.device) -> _Search:
        root = torch.zeros((batch, 1), dtype=torch.int64, device=device)
        nothing = torch.full((batch, results), _DEAD, device=device)
        closed = torch.zeros(batch, dtype=torch.bool, device=device)
        items = torch.full((batch, results), -1, dtype=torch.int64, device=device)
        return cls(root, root, root.float(), items, nothing, nothing.new_full((batch,), _DEAD), ~closed)

    def collect(self, items_BM: Tensor, scores_BM: Tensor) -> None:
        """Merge finished items into the results, of which the best are kept."""
        scores = torch.cat([self.found, scores_BM], dim=1)
        items = torch.cat([self.items, items_BM], dim=1)
        self.found, best = scores.topk(self.found.shape[1])
        self.items = items.gather(1, best)

    def go_on(self, candidates: _Candidates, scores_BW: Tensor, index_BW: Tensor) -> None:
        """Replace the beams by the chosen candidates."""
        self.scores = scores_BW
        self.parents = index_BW // candidates.children
        self.nodes = candidates.nodes.gather(1, index_BW)

    def shrink(self) -> bool:
        """Give up the places of beams that are dead in every row; return whether any beam is left.

        They stand last, for beams are sorted by score. Asked on CPUs where identifiers end; it would let a device wait.
        """
        left = int((self.scores > _DEAD).sum(dim=1).max())
        self.scores, self.parents, self.nodes = (x[:, :left] for x in (self.scores, self.parents, self.nodes))
        return left > 0

    def lose(self, scores_B: Tensor) -> None:
        """Remember the best score that something thrown away might have reached."""
        self.lost = torch.maximum(self.lost, scores_B)

    def rises(self, where_B: Tensor) -> None:
        """Remember where scores can rise on the way down: there, nothing is known about what was pruned."""
        self.lost = self.lost.masked_fill(where_B, torch.inf)


@torch.no_grad()
def beam_search(
    trie: Trie,
    decoder: StepDecoder,
    *,
    batch: int,
    width: int,
    k: int,
    length_penalty: float | None = None,
    bias_BN: Tensor | None = None,
) -> Beams:
    """Find the best `k` items of each row, keeping at most `width` prefixes at each depth.

    An item's score is the sum of the log-probabilities on its path, plus the sum of `bias_BN` over the nodes entered.
    The loop runs over depths; all else is one batch of tensor operations without waiting for the device.

    With a `length_penalty`, 0.0 included, results equal those of Hugging Face `generate` (transformers 5, beam search,
    `early_stopping=False`, `num_return_sequences=k`): of the 2 · width best candidates of a step only those among the
    best `width` may finish, a finished score is divided by (number of tokens, end included) ** length_penalty, and a
    row takes no more items once its best prefix, divided by its present length, is below its worst result. This is
    also what GRAM's published rankings used (length_penalty 1.0; 8 for an identifier of 7 tokens and the end).
    Without one (None), scores are plain sums, and every item that is reached counts, however many prefixes are ahead
    of it: the results are never worse in log-probability, and provably exact more often.

    Args:
        trie: of all items, on the decoder's device.
        decoder: scores children; its batch is `batch` rows.
        batch: number of rows B.
        width: greatest number of prefixes kept per row; `trie.n_nodes` makes the search exhaustive.
        k: number of items wanted per row; at most `width` where there is a length penalty.
        length_penalty: see above.
        bias_BN: (B or 1, N) a number per node, added on entering it; −inf forbids everything below.

    Raises:
        SettingsError: `width` or `k` is not allowed.
    """
    _check(width, k, length_penalty)
    results = k if length_penalty is None else width
    search = _Search.at_root(batch, results, trie.device)
    if bias_BN is not None and trie.longest > 1:
        search.rises((bias_BN[:, trie.level_offsets[2] :] > _ROUNDING).any(dim=1))
    for depth in range(trie.longest):
        step = decoder.advance(search.parents, search.nodes, depth) if depth else decoder.start()
        candidates = _expand(trie, search, step, bias_BN)
        if depth:  # nothing is pruned before the first step, so that one may be of any sign
            best_BW = candidates.scores.view(batch, -1, candidates.children).amax(dim=2)
            search.rises((best_BW > search.scores + _ROUNDING).any(dim=1))
        alive = min(width, trie.internal[depth + 1]) if depth + 1 < trie.longest else 0
        if length_penalty is None:
            _step(search, candidates, alive, ends=trie.leaves(depth + 1) > 0)
        else:
            lengths = (depth + 1, trie.longest)
            _step_like_generate(search, candidates, alive, width, [length**length_penalty for length in lengths])
        if alive and trie.device.type == "cpu" and trie.leaves(depth + 1) and not search.shrink():
            break
    scores = search.found[:, :k]
    items = search.items[:, :k].masked_fill(scores == _DEAD, -1)
    return Beams(items, scores, search.lost <= scores[:, -1])


def _check(width: int, k: int, length_penalty: float | None) -> None:
    if width < 1 or k < 1:
        raise SettingsError(f"beam search: width = {width}, k = {k}; both must be at least 1")
    if length_penalty is not None and k > width:
        raise SettingsError(
            f"beam search: k = {k} is more than width = {width}; with a length penalty only the width's items are "
            "ranked: raise the width or set no length penalty"
        )


def _expand(trie: Trie, search: _Search, step_BWC: Tensor, bias_BN: Tensor | None) -> _Candidates:
    """Score the children of all beams; whatever is no child of a living beam is −inf, whatever the decoder said."""
    children_BWC = trie.children(search.nodes, step_BWC.shape[-1])
    legal_BWC = (children_BWC >= 0) & (search.scores > _DEAD).unsqueeze(-1)
    nodes_BM = children_BWC.clamp(min=1).flatten(1)  # never the root: it has no token a decoder could look up
    if bias_BN is not None:
        step_BWC = step_BWC + bias_BN.expand(len(nodes_BM), -1).gather(1, nodes_BM).view_as(step_BWC)
    scores_BWC = (search.scores.unsqueeze(-1) + step_BWC).masked_fill(~legal_BWC, _DEAD)
    return _Candidates(nodes_BM, trie.node_item[nodes_BM], scores_BWC.flatten(1), step_BWC.shape[-1])


def _step(search: _Search, candidates: _Candidates, alive: int, *, ends: bool) -> None:
    """Take every finished item, if any item ends at this depth, and go on with the best `alive` prefixes."""
    finished_BM = candidates.items >= 0
    if ends:
        search.collect(candidates.items, candidates.scores.masked_fill(~finished_BM, _DEAD))
    if not alive:
        return
    scores_BM = candidates.scores.masked_fill(finished_BM, _DEAD)
    alive = min(alive, scores_BM.shape[1])
    best = scores_BM.topk(min(alive + 1, scores_BM.shape[1]))
    search.lose(best.values[:, alive:].amax(dim=1) if best.values.shape[1] > alive else search.lost)
    search.go_on(candidates, best.values[:, :alive], best.indices[:, :alive])


def _step_like_generate(
    search: _Search, candidates: _Candidates, alive: int, width: int, divisors: list[float]
) -> None:
    """Do what one step of `GenerationMixin._beam_search` does (transformers 5, `early_stopping=False`).

    `divisors` are those of this step's length and of the greatest length; between them lies what a prefix can reach.
    """
    shortlist = min(2 * width, candidates.scores.shape[1])
    best = candidates.scores.topk(min(shortlist + 1, candidates.scores.shape[1]))
    items = candidates.items.gather(1, best.indices)
    rank = torch.arange(items.shape[1], device=items.device)
    finished = items >= 0
    taken = finished & (rank < width) & search.open.unsqueeze(-1)
    search.collect(items, (best.values / divisors[0]).masked_fill(~taken, _DEAD))
    running = best.values.masked_fill(finished | (rank >= shortlist), _DEAD)
    chosen = running.topk(min(max(alive, 1), running.shape[1]))
    kept = taken | torch.zeros_like(taken).scatter(1, chosen.indices, chosen.values > _DEAD)
    lost = best.values.masked_fill(kept, _DEAD)
    # a row is closed for good once its best prefix, at its present length, is no better than its worst result
    search.open = search.open & (chosen.values[:, 0] / divisors[0] > search.found[:, -1])
    abandoned = chosen.values[:, 0].masked_fill(search.open, _DEAD)
    could = torch.maximum(lost.amax(dim=1), abandoned)
    search.lose(torch.maximum(could / divisors[0], could / divisors[1]))
    if alive:
        search.go_on(candidates, chosen.values, best.indices.gather(1, chosen.indices))
