"""Heads against loops over the definition: probabilities of children from the tokens or the items below them."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from lexirec.decoding.trie import Trie
from lexirec.nn import head_base
from lexirec.nn.cpu_kernels import shared_gradient
from lexirec.nn.embedding_table import ItemRows
from lexirec.nn.grounded_head import GroundedHead, MassHead
from lexirec.nn.vocabulary_head import VocabularyHead
from tests.worlds.ensemble import ITEMS, backbone, identifiers

D = 16
ROWS = 30
TRIE = Trie.build(identifiers())
ENDED = Trie.build(identifiers(), end=1)
KINDS = ["vocabulary", "catalog", "mean", "mean-dot", "mass", "mass-dot", "mass-repeat"]


def made(kind: str):
    torch.manual_seed(0)
    if kind == "vocabulary":
        return VocabularyHead(backbone().model, ENDED, "vocabulary"), ENDED
    if kind == "catalog":
        return VocabularyHead(backbone().model, TRIE, "catalog"), TRIE
    items = ItemRows(ITEMS, D, np.random.default_rng(0).normal(size=(ITEMS, 7)).astype(np.float32))
    options = {"cosine": "dot" not in kind, "temperature": 0.3}
    if "mean" in kind:
        head = GroundedHead(TRIE, items, **options)
    else:
        head = MassHead(TRIE, items, no_repeat="repeat" in kind, **options)
    torch.nn.init.normal_(head.outward.weight)
    head._kept_alive = items  # a head only borrows the items' rows
    return head, TRIE


def below(trie: Trie, node: int) -> list[int]:
    return trie.order[trie.first[node] : trie.last[node]].tolist()


def children(trie: Trie, node: int) -> list[int]:
    return list(range(int(trie.child_offsets[node]) + 1, int(trie.child_offsets[node + 1]) + 1))


def defined(kind: str, head, trie: Trie, hidden_D: Tensor, node: int, seen: list[int]) -> Tensor:
    """Log-probabilities of a node's children, by the definition of each head."""
    found = children(trie, node)
    if kind in ("vocabulary", "catalog"):
        model = head._backbone[0]
        logits = model.lm_head(hidden_D * D**-0.5)  # T5 scales where embeddings are tied
        tokens = trie.token[found]
        return logits.log_softmax(-1)[tokens] if kind == "vocabulary" else logits[tokens].log_softmax(-1)
    items_ID = head._items[0]()
    query = head.outward(hidden_D)
    rows = torch.stack([items_ID[below(trie, child)].mean(0) for child in found]) if "mean" in kind else items_ID
    cosines = functional.cosine_similarity(query[None], rows)
    logits = cosines * head.log_scale.exp() if head.cosine else rows @ query
    if "mean" in kind:
        return logits.log_softmax(-1)
    if "repeat" in kind:
        penalty = 10 * functional.softplus(head.repeat)
        logits = logits - torch.tensor([float(i in seen) for i in range(ITEMS)]) * penalty
    masses = torch.stack([logits[below(trie, child)].logsumexp(0) for child in found])
    return masses - masses.logsumexp(0)


def seen_items() -> Tensor:
    """Histories of two rows: one with an item twice and room left, one full."""
    return torch.tensor([[3, 7, 7, 21, -1, -1], [0, 1, 2, 30, 31, 39]])


@pytest.mark.parametrize("gather_cost", [0, 10**9], ids=["gathered", "by product"])
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_children_are_scored_by_definition(kind, gather_cost, monkeypatch):
    monkeypatch.setattr(head_base, "_GATHER_COST", gather_cost)
    head, trie = made(kind)
    rows, seen_BH = head.rows(), seen_items()
    for depth in range(trie.longest):
        level = torch.arange(trie.level_offsets[depth], trie.level_offsets[depth + 1])
        level = level[trie.node_item[level] < 0]
        nodes_BW, hidden_BWD = level.expand(2, -1), torch.randn(2, len(level), D)
        found = head.score_children(rows, hidden_BWD, nodes_BW, depth, seen_BH)
        assert found.shape == (2, len(level), trie.max_children[depth])
        for b in range(2):
            for w, node in enumerate(level.tolist()):
                want = defined(kind, head, trie, hidden_BWD[b, w], node, seen_BH[b].tolist())
                assert torch.allclose(found[b, w, : len(want)], want, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_loss_is_the_sum_of_the_scores_along_the_targets_paths(kind):
    head, trie = made(kind)
    rows = head.rows()
    items = torch.randint(0, ITEMS, (ROWS,))
    path_RS = trie.ancestors()[items]
    steps = head.steps(path_RS)
    hidden_RSD = torch.randn(ROWS, trie.longest, D)
    seen_RH = seen_items().repeat(ROWS // 2, 1)
    log_p, tokens = torch.zeros(ROWS), 0
    for r in range(ROWS):
        node = 0
        for step, after in enumerate(path_RS[r].tolist()):
            if after >= 0:
                scores = defined(kind, head, trie, hidden_RSD[r, step], node, seen_RH[r].tolist())
                log_p[r] += scores[children(trie, node).index(after)]
                node, tokens = after, tokens + 1
    want = -log_p.sum() / tokens if kind == "vocabulary" else -log_p.mean()  # GRAM's is a mean over tokens
    loss = head.loss(rows, hidden_RSD[:, :steps], path_RS[:, :steps], seen_RH)
    assert float(loss) == pytest.approx(float(want), abs=1e-4)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "vocabulary"])
@torch.no_grad()
def test_single_children_are_certain(kind):
    head, trie = made(kind)
    single = [(int(trie.depth[v]), v) for v in range(trie.n_nodes) if len(children(trie, v)) == 1]
    assert single
    for depth, node in single:
        score = head.score_children(
            head.rows(), torch.randn(1, 1, D), torch.tensor([[node]]), depth, torch.tensor([[-1]])
        )
        assert float(score[0, 0, 0]) == pytest.approx(0, abs=1e-4)


def test_steps_end_behind_the_last_branch():
    """Three items: [5, 6, 7, 8], [5, 9, 7, 8] and [4]; behind the second token nothing is open any more."""
    trie = Trie.build(np.array([[5, 6, 7, 8], [5, 9, 7, 8], [4, -1, -1, -1]]))
    paths = trie.ancestors()
    language = backbone().model
    head = VocabularyHead(language, trie, "catalog")
    assert head.steps(paths) == 2
    assert head.steps(paths[2:]) == 1
    assert VocabularyHead(language, trie, "vocabulary").steps(paths) == 4
    assert VocabularyHead(language, trie, "vocabulary").steps(paths[2:]) == 1
    alone = Trie.build(np.array([[5, 6]]))
    assert VocabularyHead(language, alone, "catalog").steps(alone.ancestors()) == 1


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_dead_beams_do_no_harm(kind):
    """A dead beam stands at a node of any depth; what it gets is ignored, but the living must not suffer."""
    head, trie = made(kind)
    rows, depth = head.rows(), 1
    living = next(v for v in range(1, trie.n_nodes) if int(trie.depth[v]) == 1 and len(children(trie, v)) > 1)
    deep = trie.n_nodes - 1
    hidden = torch.randn(1, 3, D)
    seen_BH = seen_items()[:1]
    mixed = head.score_children(rows, hidden, torch.tensor([[deep, living, 1]]), depth, seen_BH)
    alone = head.score_children(rows, hidden[:, 1:2], torch.tensor([[living]]), depth, seen_BH)
    count = len(children(trie, living))
    assert torch.allclose(mixed[0, 1, :count], alone[0, 0, :count], atol=1e-5)


@torch.no_grad()
def test_penalty_moves_probability_from_seen_items_to_others():
    head, trie = made("mass-repeat")
    hidden = torch.randn(1, 1, D)
    root = torch.zeros(1, 1, dtype=torch.int64)
    item = 11
    cell = int(trie.ancestors()[item, 0]) - 1
    strangers = head.score_children(head.rows(), hidden, root, 0, torch.tensor([[-1]])).exp()
    head.repeat.fill_(5.0)
    seen = torch.tensor([[-1, *(i for i in below(trie, cell + 1))]])
    known = head.score_children(head.rows(), hidden, root, 0, seen).exp()
    assert float(known[0, 0, cell]) < 1e-6 < float(strangers[0, 0, cell])
    assert float(known.sum()) == pytest.approx(1, abs=1e-5)
    none = head.score_children(head.rows(), hidden, root, 0, torch.zeros(1, 0, dtype=torch.int64))
    assert torch.allclose(none.exp(), strangers, atol=1e-6)


def test_temperature_starts_where_it_is_set_and_learns():
    head, _ = made("mean")
    assert float(head.log_scale.detach().exp()) == pytest.approx(1 / 0.3)
    path_RS = TRIE.ancestors()[:ROWS]
    head.loss(head.rows(), torch.randn(ROWS, TRIE.longest, D), path_RS, torch.full((ROWS, 1), -1)).backward()
    assert head.log_scale.grad is not None
    assert math.isfinite(float(head.log_scale.grad))
    assert float(head.log_scale.grad) != 0


@pytest.mark.parametrize("kind", KINDS)
def test_all_weights_of_a_head_learn(kind):
    head, trie = made(kind)
    path_RS = trie.ancestors()[:ROWS]
    rows = head.rows()
    hidden = torch.randn(ROWS, trie.longest, D) + head.embed(rows, path_RS.clamp(min=1))
    head.loss(rows, hidden, path_RS, seen_items().repeat(ROWS // 2, 1)).backward()
    for name, weight in head.named_parameters():
        assert weight.grad is not None, name
        assert float(weight.grad.abs().sum()) > 0, name


@torch.no_grad()
def test_entered_nodes_are_embedded():
    nodes = torch.tensor([[1, 5], [9, TRIE.n_nodes - 1]])
    head, _ = made("catalog")
    assert torch.equal(head.embed(head.rows(), nodes), head._backbone[0].shared(TRIE.token[nodes]))
    head, _ = made("mass")
    row = head._items[0]()[below(TRIE, 5)].mean(0)
    want = head.inward(row / row.norm() * math.sqrt(D))
    assert torch.allclose(head.embed(head.rows(), nodes)[0, 1], want, atol=1e-5)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_the_root_may_stand_behind_short_paths(kind, together):
    head, _ = made(kind)
    words_VD = shared_gradient(backbone().model.shared.weight) if together else None
    assert torch.isfinite(head.embed(replace(head.rows(), words_VD=words_VD), torch.tensor([[4, 0]]))).all()


@pytest.mark.parametrize("kind", KINDS)
def test_legal_children_share_all_probability_and_have_finite_gradients(kind):
    """Also where only few of the places for children are taken, and where no item is below one."""
    head, trie = made(kind)
    for depth in range(trie.longest):
        level = torch.arange(trie.level_offsets[depth], trie.level_offsets[depth + 1])
        level = level[trie.node_item[level] < 0].expand(2, -1)
        hidden_BWD = torch.randn(*level.shape, D, requires_grad=True)
        legal = head.score_legal(head.rows(), hidden_BWD, level, depth, seen_items())
        there = trie.children(level, trie.max_children[depth]) >= 0
        with torch.no_grad():
            scores = head.score_children(head.rows(), hidden_BWD, level, depth, seen_items())
        assert torch.allclose(legal[there], scores.masked_fill(~there, -torch.inf).log_softmax(-1)[there], atol=1e-4)
        assert torch.equal(legal > -torch.inf, there)
        legal[there].sum().backward()
        assert bool(hidden_BWD.grad.isfinite().all())
