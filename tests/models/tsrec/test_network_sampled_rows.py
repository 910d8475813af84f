"""A large catalogue is trained on samples of its items; where the samples are whole, nothing changes."""

import torch

from lexirec.models.tsrec import network
from lexirec.nn import grounded_head
from tests.models.tsrec.test_network import asked
from tests.worlds.ensemble import apart, gradients
from tests.worlds.tsrec import HEADS, ITEMS, causal


def test_whole_samples_give_the_loss_and_the_gradients_of_all_items(monkeypatch):
    batch = asked()
    batch["seen"] = torch.tensor([[1, 2], [3, -1], [7, 30], [0, 1], [12, -1], [5, 4]])
    found = []
    for above in (ITEMS, 1):
        monkeypatch.setattr(grounded_head, "SAMPLED_ABOVE", above)
        monkeypatch.setattr(network, "SAMPLED_ABOVE", above)
        model = causal(**HEADS["mass"])
        model.head.train()
        loss = model(**batch)["loss"]
        loss.backward()
        found.append((loss.detach(), gradients(model)))
    torch.testing.assert_close(found[1][0], found[0][0])
    assert apart(found[1][1], found[0][1]) < 1e-4


def test_the_card_says_so(monkeypatch):
    settings = causal(**HEADS["mass"]).settings
    assert settings.training_card(50_000) == {}
    assert "sampled softmax" in settings.training_card(50_001)["trained_with"]
    assert causal().settings.training_card(50_001) == {}
