"""Beam search over the trie: only children of trie nodes are scored, so every result is an item of the catalogue.

Shapes: `B` batch, `W` width (beams alive at one depth), `C` children, `M` candidates (W · C), `K` results, `N` nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from lexirec.core.errors import SettingsError, TrainingError
from lexirec.decoding.recording import active
from lexirec.decoding.ties import top_scores
from lexirec.decoding.trie import Trie

_DEAD = -torch.inf
_ROUNDING = 1e-4  # a log-probability may exceed 0 by rounding, not by more


class StepDecoder(Protocol):
    """Model side of the search: scores the children of trie nodes, depth by depth; holds the batch and its caches."""

    def start(self) -> Tensor:
        """Return log-probabilities (B, 1, C0) of the root's children, `C0 = trie.max_children[0]`."""
        ...

    def advance(self, parents_BW: Tensor, nodes_BW: Tensor, depth: int) -> Tensor:
        """Return log-probabilities (B, W, C) of the children of `nodes_BW`, in the order of `trie.children`.

        Args:
            parents_BW: the previous step's beam that each beam extends; 0 at depth 1, since `start` has one beam.
            nodes_BW: the node of each beam. W is at most the search's width and changes from depth to depth. A dead
                beam (score −inf) holds some node other than the root, of any depth; its scores are ignored.
            depth: of the nodes, 1 at the first call; `C = trie.max_children[depth]`. Scores beyond a node's number of
                children are ignored.
        """
        ...


class Beams(NamedTuple):
    """The result of a search.

    Attributes:
        items: (B, K) item numbers, best first; −1 where there are fewer than K.
        scores: (B, K) descending; −inf where there is no item.
        exact: (B,) True where no pruned prefix can contain an item as good as the last result, given that
            log-probabilities are at most 0. Where it is False, the list may still be the exact one.
        broken: (B,) True where the decoder gave NaN, so that the list means nothing; None where nothing was decoded.
        bound: (B,) upper bound on the score of every item below a pruned prefix: −inf where nothing was pruned, +inf
            where nothing is known; None where nothing was decoded. The first n results are provably exact where it is
            below the n-th score.

    Equal scores go to the smaller item number; equal prefixes to the one that holds the smaller item number.
    """

    items: Tensor
    scores: Tensor
    exact: Tensor
    broken: Tensor | None = None
    bound: Tensor | None = None

    def checked(self) -> Beams:
        """Return the result itself; waits for the device.

        Raises:
            TrainingError: a list means nothing.
        """
        if self.broken is not None and bool(self.broken.any()):
            raise TrainingError(
                f"the model's scores are NaN for {int(self.broken.sum()):,} of {len(self.broken):,} histories, so it "
                "finds no item for them: its training has diverged; train it again with a lower learning_rate"
            )
        return self


class _Candidates(NamedTuple):
    """The children of all beams at one step, (B, M): `items` −1 inside the trie, `scores` −inf where none is legal.

    `smallest` is the smallest item number below each child, to which equal scores go.
    """

    nodes: Tensor
    items: Tensor
    scores: Tensor
    smallest: Tensor
    children: int


@dataclass
class _Search:
    """State of a search; the arrays of one depth replace those of the previous depth.

    Attributes:
        nodes: (B, W) the node of each beam.
        parents: (B, W) the beam of the previous step that each beam extends.
        scores: (B, W) sums of log-probabilities so far, −inf for dead beams.
        items: (B, K) the best finished items so far.
        item_scores: (B, K) their scores.
        pruned: (B,) upper bound on the final score of any pruned candidate; decides `Beams.exact`.
        open: (B,) whether finished items are still accepted (`generate` closes a row early).
        broken: (B,) whether the decoder gave NaN, which would leave no beam alive.
    """

    nodes: Tensor
    parents: Tensor
    scores: Tensor
    items: Tensor
    item_scores: Tensor
    pruned: Tensor
    open: Tensor
    broken: Tensor

    @classmethod
    def at_root(cls, batch: int, results: int, device: torch.device) -> _Search:
        root = torch.zeros((batch, 1), dtype=torch.int64, device=device)
        item_scores = torch.full((batch, results), _DEAD, device=device)
        items = torch.full((batch, results), -1, dtype=torch.int64, device=device)
        open_rows = torch.ones(batch, dtype=torch.bool, device=device)
        pruned = item_scores.new_full((batch,), _DEAD)
        return cls(root, root, root.float(), items, item_scores, pruned, open_rows, ~open_rows)

    def collect(self, items_BM: Tensor, scores_BM: Tensor) -> None:
        """Merge finished items into the results and keep the best K."""
        scores = torch.cat([self.item_scores, scores_BM], dim=1)
        items = torch.cat([self.items, items_BM], dim=1)
        self.item_scores, best = top_scores(scores, items, self.item_scores.shape[1])
        self.items = items.gather(1, best)

    def extend(self, candidates: _Candidates, scores_BW: Tensor, index_BW: Tensor) -> None:
        """Replace the beams by the chosen candidates."""
        self.scores = scores_BW
        self.parents = index_BW // candidates.children
        self.nodes = candidates.nodes.gather(1, index_BW)

    def shrink(self) -> bool:
        """Drop beams that are dead in every row; return whether any beam is left.

        Beams are sorted by score, so dead ones stand last. Used on CPUs only: reading the count synchronises a device.
        """
        alive = int((self.scores > _DEAD).sum(dim=1).max())
        self.scores, self.parents, self.nodes = (x[:, :alive] for x in (self.scores, self.parents, self.nodes))
        return alive > 0

    def notice_nan(self, best_BW: Tensor) -> None:
        """Remember rows with NaN among their candidates, given each beam's best: a maximum with NaN is NaN."""
        self.broken = self.broken | best_BW.isnan().any(dim=1)

    def bound_pruned(self, scores_B: Tensor) -> None:
        """Raise the upper bound on what pruned candidates can reach."""
        self.pruned = torch.maximum(self.pruned, scores_B)

    def result(self, k: int) -> Beams:
        """Return the best `k` items."""
        scores = self.item_scores[:, :k]
        items = self.items[:, :k].masked_fill(scores == _DEAD, -1)
        return Beams(items, scores, (self.pruned < scores[:, -1]) | (self.pruned == _DEAD), self.broken, self.pruned)

    def unbound(self, where_B: Tensor) -> None:
        """Drop the bound where scores can rise with depth: a pruned prefix bounds nothing there."""
        self.pruned = self.pruned.masked_fill(where_B, torch.inf)


@torch.no_grad()
def beam_search(
    trie: Trie,
    decoder: StepDecoder,
    *,
    width: int,
    k: int,
    length_penalty: float | None = None,
    bias_BN: Tensor | None = None,
) -> Beams:
    """Find the best `k` items of each row, keeping at most `width` prefixes at each depth.

    An item's score is the sum of the log-probabilities on its path plus the sum of `bias_BN` over the path's nodes.
    The loop runs over depths; each depth is one batch of tensor operations without synchronising the device.

    With a `length_penalty`, 0.0 included, results equal those of Hugging Face `generate` (transformers 5, beam search,
    `early_stopping=False`, `num_return_sequences=k`): of the 2 · width best candidates of a step only those among the
    best `width` may finish, a finished score is divided by (number of tokens, end included) ** length_penalty, and a
    row accepts no more items once its best prefix, divided by its present length, is below its worst result. GRAM's
    published rankings use this rule (length_penalty 1.0; the length is 8 for an identifier of 7 tokens and the end).
    Without a penalty (None), scores are plain sums, and every item that is reached counts, however many prefixes score
    higher: results are never worse in log-probability, and provably exact more often.

    Args:
        trie: of all items, on the decoder's device.
        decoder: scores children; `start` fixes the number of rows B.
        width: greatest number of prefixes kept per row; `trie.n_nodes` makes the search exhaustive.
        k: number of items wanted per row; at most `width` with a length penalty.
        length_penalty: exponent of the length; None for plain sums.
        bias_BN: (B or 1, N) a number per node, added when a beam enters it; −inf forbids everything below.

    Raises:
        SettingsError: `width` or `k` is not allowed.
    """
    _check(width, k, length_penalty)
    step, recorder = decoder.start(), active()
    # `generate` ranks `width` results and returns the first k; with plain sums the best k suffice
    search = _Search.at_root(len(step), k if length_penalty is None else width, trie.device)
    if bias_BN is not None and trie.longest > 1:
        # a positive bias below depth 1 can lift a pruned prefix above any bound taken when it was pruned
        search.unbound((bias_BN[:, trie.level_offsets[2] :] > _ROUNDING).any(dim=1))
    for depth in range(trie.longest):
        if depth:
            step = decoder.advance(search.parents, search.nodes, depth)
        candidates = _expand(trie, search, step, bias_BN)
        best_BW = candidates.scores.view(len(step), -1, candidates.children).amax(dim=2)
        search.notice_nan(best_BW)
        if depth:  # nothing is pruned before the first step, so its scores may have any sign
            search.unbound((best_BW > search.scores + _ROUNDING).any(dim=1))
        before = search.nodes, search.scores
        alive = _keep_best(trie, search, candidates, depth, (width, length_penalty))
        if recorder is not None:
            recorder.stepped(trie, before, (step, bias_BN), candidates.scores, search.nodes if alive else None)
        if alive and trie.device.type == "cpu" and trie.leaves(depth + 1) and not search.shrink():
            break
    return search.result(k) if recorder is None else recorder.ended(search.result(k), width)


def _keep_best(trie: Trie, search: _Search, candidates: _Candidates, depth: int, how: tuple[int, float | None]) -> int:
    """Do a step; return how many beams may be alive: no more than inner nodes, as the rest could only be dead."""
    width, length_penalty = how
    alive = min(width, trie.internal[depth + 1]) if depth + 1 < trie.longest else 0
    if length_penalty is None:
        _step(search, candidates, alive, ends=trie.leaves(depth + 1) > 0)
    else:
        divisors = [length**length_penalty for length in (depth + 1, trie.longest)]
        _step_like_generate(search, candidates, alive, width, divisors)
    return alive


def _check(width: int, k: int, length_penalty: float | None) -> None:
    if width < 1 or k < 1:
        raise SettingsError(f"beam search: width = {width}, k = {k}; both must be at least 1")
    if length_penalty is not None and k > width:
        raise SettingsError(
            f"beam search: k = {k} is more than width = {width}; with a length penalty at most width items are "
            "ranked: raise the width or set no length penalty"
        )


def _expand(trie: Trie, search: _Search, step_BWC: Tensor, bias_BN: Tensor | None) -> _Candidates:
    """Score the children of all beams; what is no child of a live beam gets −inf, whatever the decoder returns."""
    children_BWC = trie.children(search.nodes, step_BWC.shape[-1])
    legal_BWC = (children_BWC >= 0) & (search.scores > _DEAD).unsqueeze(-1)
    nodes_BM = children_BWC.clamp(min=1).flatten(1)  # never the root, which has no token to embed
    if bias_BN is not None:
        step_BWC = step_BWC + bias_BN.expand(len(nodes_BM), -1).gather(1, nodes_BM).view_as(step_BWC)
    scores_BWC = (search.scores.unsqueeze(-1) + step_BWC).masked_fill(~legal_BWC, _DEAD)
    smallest_BM = trie.smallest_item[nodes_BM]
    return _Candidates(nodes_BM, trie.node_item[nodes_BM], scores_BWC.flatten(1), smallest_BM, step_BWC.shape[-1])


def _step(search: _Search, candidates: _Candidates, alive: int, *, ends: bool) -> None:
    """Collect every finished item, if any item ends at this depth, and keep the best `alive` prefixes."""
    finished_BM = candidates.items >= 0
    if ends:
        search.collect(candidates.items, candidates.scores.masked_fill(~finished_BM, _DEAD))
    if not alive:
        return
    scores_BM = candidates.scores.masked_fill(finished_BM, _DEAD)
    alive = min(alive, scores_BM.shape[1])
    # one candidate more than is kept: its score bounds all that is pruned, without a second pass over the scores
    best, places = top_scores(scores_BM, candidates.smallest, min(alive + 1, scores_BM.shape[1]))
    search.bound_pruned(best[:, alive:].amax(dim=1) if best.shape[1] > alive else search.pruned)
    search.extend(candidates, best[:, :alive], places[:, :alive])


def _step_like_generate(
    search: _Search, candidates: _Candidates, alive: int, width: int, divisors: list[float]
) -> None:
    """Reproduce one step of `GenerationMixin._beam_search` (transformers 5, `early_stopping=False`).

    `divisors` belong to this step's length and to the greatest length; what a prefix can reach lies between the two.
    """
    shortlist = min(2 * width, candidates.scores.shape[1])
    most = min(shortlist + 1, candidates.scores.shape[1])
    best, places = top_scores(candidates.scores, candidates.smallest, most)
    items = candidates.items.gather(1, places)
    rank = torch.arange(items.shape[1], device=items.device)
    finished = items >= 0
    # `generate` lets an item finish only from among the `width` best candidates, prefixes included
    accepted = finished & (rank < width) & search.open.unsqueeze(-1)
    search.collect(items, (best / divisors[0]).masked_fill(~accepted, _DEAD))
    running = best.masked_fill(finished | (rank >= shortlist), _DEAD)
    chosen, ranks = top_scores(running, rank.unsqueeze(0), min(max(alive, 1), most))
    kept = accepted | torch.zeros_like(accepted).scatter(1, ranks, chosen > _DEAD)
    pruned = best.masked_fill(kept, _DEAD)
    # a row is closed for good once its best prefix, at its present length, is no better than its worst result
    search.open = search.open & (chosen[:, 0] / divisors[0] > search.item_scores[:, -1])
    abandoned = chosen[:, 0].masked_fill(search.open, _DEAD)
    # log-probabilities are negative: a positive penalty lifts long identifiers, a negative one short ones
    bound = torch.maximum(pruned.amax(dim=1), abandoned)
    search.bound_pruned(torch.maximum(bound / divisors[0], bound / divisors[1]))
    if alive:
        search.extend(candidates, chosen, places.gather(1, ranks))
