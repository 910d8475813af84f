"""A recorded search is the search itself: what it scored, kept and cut adds up, and its result does not change."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lexirec.decoding.beam import beam_search
from lexirec.decoding.constraints import allowed_bias
from lexirec.decoding.recording import BeamRecorder, active, recording
from lexirec.decoding.trie import Trie

TOKENS = np.array([[a, b, c] for a in range(4) for b in range(4, 8) for c in range(8, 11)])
TRIE = Trie.build(TOKENS)


class FixedDecoder:
    """Scores that depend on the node alone."""

    def __init__(self, rows: int = 1) -> None:
        self.rows = rows
        self.scores = torch.randn(TRIE.n_nodes, generator=torch.Generator().manual_seed(3))

    def _children(self, nodes: torch.Tensor, depth: int) -> torch.Tensor:
        children = TRIE.children(nodes, TRIE.max_children[depth])
        raw = self.scores[children.clamp(min=0)].masked_fill(children < 0, -torch.inf)
        return raw.log_softmax(dim=-1)

    def start(self) -> torch.Tensor:
        return self._children(torch.zeros((self.rows, 1), dtype=torch.int64), 0)

    def advance(self, parents: torch.Tensor, nodes: torch.Tensor, depth: int) -> torch.Tensor:
        return self._children(nodes, depth)


def search(recorder: BeamRecorder | None, **options):
    with recording(recorder):
        return beam_search(TRIE, FixedDecoder(), width=3, k=4, **options)


@pytest.mark.parametrize("penalty", [None, 1.0])
def test_recording_changes_no_result(penalty):
    options = {"length_penalty": penalty, "width": 4, "k": 4}
    plain = beam_search(TRIE, FixedDecoder(2), **options)
    with recording(BeamRecorder()):
        recorded = beam_search(TRIE, FixedDecoder(2), **options)
    assert torch.equal(plain.items, recorded.items)
    assert torch.equal(plain.scores, recorded.scores)


def test_nothing_is_recorded_outside_of_the_block():
    recorder = BeamRecorder()
    search(recorder)
    assert active() is None
    search(None)
    assert len(recorder.searches) == 1


def test_every_step_holds_the_children_of_what_was_kept_before():
    recorder = BeamRecorder()
    found = search(recorder)
    (recorded,) = recorder.searches
    assert recorded.width == 3
    assert [len(step.nodes) for step in recorded.steps] == [4, 12, 9]
    assert [int(step.kept.sum()) for step in recorded.steps] == [3, 3, 0]
    before = {0}
    for depth, step in enumerate(recorded.steps, 1):
        assert step.depth == depth
        assert set(step.parents.tolist()) == before
        assert (TRIE.depth[torch.from_numpy(step.nodes)] == depth).all()
        before = set(step.nodes[step.kept].tolist())
        worst = step.scores[step.kept].min(initial=np.inf)
        assert (step.scores[~step.kept] <= worst).all() or depth == 3
    assert recorded.items.tolist() == found.items[0].tolist()
    assert recorded.exact == bool(found.exact[0])
    assert recorded.bound == pytest.approx(float(found.bound[0]))


def test_a_score_is_the_sum_along_the_path():
    recorder = BeamRecorder()
    search(recorder)
    total = {0: 0.0}
    for step in recorder.searches[0].steps:
        for node, parent, gained, score in zip(step.nodes, step.parents, step.log_probs, step.scores, strict=True):
            total[int(node)] = total[int(parent)] + float(gained)
            assert score == pytest.approx(total[int(node)], abs=1e-5)


def test_a_filter_shows_as_a_bias_where_it_cuts():
    allowed = torch.zeros((1, TRIE.n_items), dtype=torch.bool)
    allowed[0, :12] = True  # what lies below the first child of the root
    recorder = BeamRecorder()
    search(recorder, bias_BN=allowed_bias(TRIE, allowed))
    first = recorder.searches[0].steps[0]
    assert np.isneginf(first.biases).tolist() == [False, True, True, True]
    assert np.isfinite(first.log_probs).all()
    assert first.kept.tolist() == [True, False, False, False]
    for step in recorder.searches[0].steps[1:]:
        assert set(step.parents.tolist()) <= {1, *TRIE.children(torch.tensor([[1]]), 4).flatten().tolist()}
