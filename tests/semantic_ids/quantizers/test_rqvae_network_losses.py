import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from lexirec.semantic_ids.quantizers.rqvae import CodeUse, LetterLosses, RqVae
from lexirec.semantic_ids.quantizers.rqvae_network import (
    QuantizedBatch,
    RqVaeNetwork,
    balance_loss,
    cluster_codes,
    collaborative_loss,
    diversity_loss,
    mlp,
    total_loss,
)

VECTORS_BX = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))


def world():
    torch.manual_seed(1)
    return RqVaeNetwork(mlp([6, 3], 0), mlp([3, 6], 0), torch.randn(2, 8, 3))


def settings(**more):
    return RqVae(levels=2, branching=8, width=3, **more)


def test_the_loss_is_the_sources_formula():
    network = world()
    loss, found = total_loss(network, settings(), VECTORS_BX)
    encoded = network.encode(VECTORS_BX)
    first = network.codes_LKD[0][found.codes_BL[:, 0]]
    second = network.codes_LKD[1][found.codes_BL[:, 1]]
    quantization = ((encoded - first) ** 2).mean() + ((encoded - first - second) ** 2).mean()
    restored = network.decoder(first + second)
    assert loss.item() == pytest.approx((((restored - VECTORS_BX) ** 2).mean() + 1.25 * quantization / 2).item())


def test_gradients_reach_the_encoder_straight_through_and_codes_by_their_own_term():
    network = world()
    loss, found = total_loss(network, settings(use=CodeUse(commitment=0)), VECTORS_BX)
    loss.backward()
    quantized = found.points_BLD.sum(1).detach().requires_grad_()
    F.mse_loss(network.decoder(quantized), VECTORS_BX).backward()
    weight = network.encoder[1].weight
    assert torch.allclose(weight.grad, quantized.grad.T @ VECTORS_BX, atol=1e-6)
    own = 2 * (found.points_BLD - found.residuals_BLD.detach()) / found.points_BLD.numel()
    wanted = torch.zeros(8, 3).index_add(0, found.codes_BL[:, 0], own[:, 0])
    assert torch.allclose(network.codes_LKD.grad[0], wanted, atol=1e-6)


def test_codes_that_follow_the_mean_get_no_gradient():
    network = world()
    network.codes_LKD.requires_grad_(False)
    loss, _ = total_loss(network, settings(use=CodeUse(ema=0.9)), VECTORS_BX)
    loss.backward()
    assert network.codes_LKD.grad is None
    assert network.encoder[1].weight.grad.abs().sum() > 0


def test_equal_use_has_no_balance_loss_and_one_code_for_all_the_most():
    use = CodeUse(balance_temperature=0.01)
    alike = (1 - torch.eye(4)).repeat(3, 1)[:, None, :]
    assert balance_loss(alike, use).item() == pytest.approx(0, abs=1e-5)
    assert balance_loss(alike[:1].expand(5, 1, 4), use).item() == pytest.approx(math.log(4), abs=1e-5)


def test_the_collaborative_loss_is_least_where_items_meet_their_own_vectors():
    vectors = F.normalize(torch.randn(12, 5, generator=torch.Generator().manual_seed(0)), dim=1)
    assert collaborative_loss(30 * vectors, vectors) < collaborative_loss(30 * vectors.roll(1, 0), vectors) / 10
    wanted = F.cross_entropy(vectors @ vectors.T, torch.arange(12))
    assert collaborative_loss(vectors, vectors).item() == pytest.approx(wanted.item(), rel=1e-5)


def test_the_diversity_loss_draws_codes_to_those_of_their_cluster():
    codes = torch.tensor([[[4.0, 0], [4, 0], [0, 4], [0, 4]]])
    chosen = torch.tensor([[0], [2], [3]])
    found = QuantizedBatch(chosen, codes[0][chosen], codes[0][chosen], torch.zeros(3, 1, 4))
    right = diversity_loss(codes, found, torch.tensor([[0, 0, 1, 1]]))
    wrong = diversity_loss(codes, found, torch.tensor([[0, 1, 0, 1]]))
    assert right < 1e-3
    assert wrong > 10


def test_codes_are_divided_evenly_and_anew_with_another_seed():
    codes = torch.randn(2, 16, 3, generator=torch.Generator().manual_seed(0))
    clusters = cluster_codes(codes, 4, seed=0)
    assert [np.bincount(level).tolist() for level in clusters.numpy()] == [[4] * 4] * 2


def test_losses_count_by_their_weights():
    network = world()
    network.bridge = torch.nn.Linear(3, 5, bias=False)
    extra, clusters = torch.randn(20, 5), cluster_codes(network.codes_LKD, 3, 0)

    def total(letter=None, use=None):
        torch.manual_seed(0)
        given = settings(letter=letter or LetterLosses(clusters=3), use=use or CodeUse())
        return total_loss(network, given, VECTORS_BX, extra, clusters)[0].item()

    plain = total()
    for name, more in {"collaborative": 0.5, "diversity": 0.5}.items():
        once = total(LetterLosses(clusters=3, **{name: more}))
        twice = total(LetterLosses(clusters=3, **{name: 2 * more}))
        assert twice - plain == pytest.approx(2 * (once - plain), rel=1e-3)
        assert once > plain + 0.1
    assert total(use=CodeUse(balance=1.0)) > plain
