"""Training on samples of a large catalogue: equal to the whole where samples are whole, near it where they are not."""

import pytest
import torch

from lexirec.decoding.trie import Trie
from lexirec.nn import grounded_head, sampled_rows
from lexirec.nn.sampled_rows import Sample, log_mass
from tests.worlds.ensemble import ITEMS, fusion

TRIE = Trie.build([[1 + item % 5, 10 + item % 13, 30 + item % 7] for item in range(300)])


@pytest.fixture
def model():
    made = fusion(head="grounded", pooling="mass", user_prompt="grounded", item_prompts=False)
    return made.train()


@pytest.fixture
def sampled(monkeypatch):
    monkeypatch.setattr(grounded_head, "SAMPLED_ABOVE", 1)
    return monkeypatch


def case(model, targets=(0, 7, ITEMS - 1)):
    path_RS = model.trie.ancestors()[list(targets)]
    path_RS = path_RS[:, : model.head.steps(path_RS)]
    hidden_RSD = torch.randn((*path_RS.shape, 16), generator=torch.Generator().manual_seed(0))
    return hidden_RSD, path_RS, torch.tensor([[3, -1], [ITEMS - 2, 1], [0, 2]])


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def test_whole_samples_give_the_loss_and_the_gradients_of_all_items(model, sampled):
    hidden, path, seen = case(model)
    whole = model.head.loss(model.head.rows(), hidden, path, seen)
    expected = gradients(model, whole)
    rows = model.head.rows_of(path.clamp(min=0))
    assert rows.sample is not None
    found = model.head.loss(rows, hidden, path, seen)
    torch.testing.assert_close(found, whole)
    for name, gradient in gradients(model, found).items():
        torch.testing.assert_close(gradient, expected[name], msg=name)


def test_a_training_step_with_whole_samples_is_the_same_step(model, sampled):
    model.eval()
    items, targets = torch.tensor([[1, 4, 2, 9], [3, 0, 5, -1]]), torch.tensor([[1, 2, 3], [1, 2, -1]])
    whole = model(items, targets)["loss"]
    model.head.train()  # without dropout of the rest
    torch.testing.assert_close(model(items, targets)["loss"], whole)


def test_few_draws_estimate_the_loss(model, sampled):
    hidden, path, seen = case(model)
    whole = model.head.loss(model.head.rows(), hidden, path, seen)
    sampled.setattr(sampled_rows, "ROOT_ITEMS", 12)
    sampled.setattr(sampled_rows, "NODE_ITEMS", 4)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        drawn = [float(model.head.loss(model.head.rows_of(path.clamp(min=0)), hidden, path, seen)) for _ in range(300)]
    assert len(set(drawn)) > 100
    assert sum(drawn) / len(drawn) == pytest.approx(float(whole.detach()), rel=0.1)


def test_searching_and_distilling_use_all_items(model, sampled):
    _, path, _ = case(model)
    assert model.head.rows_of(path.clamp(min=0), whole=True).sample is None
    assert model.eval().head.rows_of(path.clamp(min=0)).sample is None


def test_a_sample_holds_few_items_of_each_node_spread_over_them(monkeypatch):
    monkeypatch.setattr(sampled_rows, "ROOT_ITEMS", 50)
    monkeypatch.setattr(sampled_rows, "NODE_ITEMS", 10)
    nodes = torch.tensor([1, 2, 40, 40])
    sample = Sample.draw(TRIE, nodes)
    assert sample.nodes_V.tolist() == [0, 1, 2, 40]
    sizes = (TRIE.last - TRIE.first)[sample.nodes_V]
    assert sample.offsets_V.diff().tolist() == [50, 10, 10, min(10, int(sizes[3]))]
    for node, first, last in zip(sample.nodes_V, sample.offsets_V, sample.offsets_V[1:]):
        places = sample.place_E[first:last]
        assert places.unique().numel() == len(places)
        assert TRIE.first[node] <= places.min()
        assert places.max() < TRIE.last[node]
    assert torch.equal(sample.items_U[sample.row_E], TRIE.order[sample.place_E])
    rows = torch.arange(300.0)[:, None]
    middle = sample.means(rows[sample.items_U])[0]
    assert middle.item() == pytest.approx(149.5, abs=40)


def test_what_was_drawn_stands_for_what_was_not():
    mass = log_mass(torch.zeros(4), torch.tensor([0, 0, 0, 2]), torch.tensor([30, 5, 1]))
    assert mass.exp().tolist() == pytest.approx([30, 0, 1])
