"""Record what a beam search did: which prefixes it scored, kept, pruned and was not allowed to enter.

A search looks once whether somebody records it (`active`), so that it costs nothing where nobody does. Recorded is the
first row of the batch; every record waits for the device.

Shapes: `B` batch, `W` beams, `C` children, `M` candidates (W · C), `N` nodes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from lexirec.decoding.beam import Beams
    from lexirec.decoding.trie import Trie

AnyBeams = TypeVar("AnyBeams", bound="Beams")

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


class BeamStep(NamedTuple):
    """The children that a search scored at one depth, all arrays (n,).

    Attributes:
        depth: Of the children, from 1.
        nodes: Their nodes of the trie.
        parents: The nodes above.
        items: The items that end there; −1 inside the trie.
        log_probs: Of each child, given its parent.
        biases: What filters and boosts added; −inf where no item below is allowed.
        scores: Sums of both from the root on.
        kept: bool, whether the search went on from there.
    """

    depth: int
    nodes: Ints
    parents: Ints
    items: Ints
    log_probs: Floats
    biases: Floats
    scores: Floats
    kept: NDArray[np.bool_]


@dataclass
class RecordedSearch:
    """One search: its steps, and what it says about its list.

    Attributes:
        width: Greatest number of prefixes that it kept.
        steps: By depth.
        items: What it found, best first.
        scores: Of the items.
        exact: Whether no pruned prefix can hold an item as good as the last one found.
        bound: Upper bound on the score of every item below a pruned prefix; −inf where nothing was pruned.
    """

    width: int = 0
    steps: list[BeamStep] = field(default_factory=list)
    items: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    scores: Floats = field(default_factory=lambda: np.empty(0, dtype=np.float32))
    exact: bool = False
    bound: float = np.inf


class BeamRecorder:
    """Takes down the searches that run while it is active.

    Attributes:
        searches: In the order in which they ran.
    """

    def __init__(self) -> None:
        """Have seen no search."""
        self.searches: list[RecordedSearch] = []

    def stepped(
        self,
        trie: Trie,
        before: tuple[Tensor, Tensor],
        added: tuple[Tensor, Tensor | None],
        scores_BM: Tensor,
        kept_BW: Tensor | None,
    ) -> None:
        """Take down a step.

        Args:
            trie: that is searched.
            before: nodes and scores (B, W) of the beams that were extended.
            added: log-probabilities of their children (B, W, C), and the numbers per node (B or 1, N) that are added.
            scores_BM: sums of scores of the children.
            kept_BW: nodes from which the search goes on; None where it ends.
        """
        nodes_1W, (step_BWC, bias_BN) = before[0][:1], added
        children_WC = trie.children(nodes_1W, step_BWC.shape[-1])[0]
        real = ((children_WC >= 0) & (before[1][0] > -torch.inf).unsqueeze(-1)).flatten()
        nodes = children_WC.flatten()[real]
        bias = torch.zeros(len(nodes)) if bias_BN is None else bias_BN[0][nodes]
        kept = nodes.new_zeros(0) if kept_BW is None else kept_BW[0]
        taken = (trie.parent[nodes], trie.node_item[nodes], step_BWC[0].flatten()[real], bias, scores_BM[0][real])
        parents, items, log_probs, biases, scores = (each.cpu().numpy() for each in taken)
        alive = torch.isin(nodes, kept).cpu().numpy() & (scores > -np.inf)
        depth = int(trie.depth[nodes[0]]) if len(nodes) else 0
        if depth == 1:
            self.searches.append(RecordedSearch())
        self.searches[-1].steps.append(
            BeamStep(depth, nodes.cpu().numpy(), parents, items, log_probs, biases, scores, alive)
        )

    def ended(self, beams: AnyBeams, width: int) -> AnyBeams:
        """Take down the result of a search of this width, and return it."""
        search, found = self.searches[-1], beams.items[0] >= 0
        search.width, search.exact = width, bool(beams.exact[0])
        search.items = beams.items[0][found].cpu().numpy()
        search.scores = beams.scores[0][found].float().cpu().numpy()
        search.bound = float(beams.bound[0]) if beams.bound is not None else np.inf
        return beams


_recorder: ContextVar[BeamRecorder | None] = ContextVar("recorder", default=None)


def active() -> BeamRecorder | None:
    """Return what records the searches of this thread and task; None where nothing does."""
    return _recorder.get()


@contextmanager
def recording(recorder: BeamRecorder | None) -> Iterator[None]:
    """Let a recorder take down the searches in the block; None changes nothing."""
    if recorder is None:
        yield
        return
    token = _recorder.set(recorder)
    try:
        yield
    finally:
        _recorder.reset(token)
