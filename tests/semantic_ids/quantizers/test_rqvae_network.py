import numpy as np
import pytest
import torch

from lexirec.semantic_ids.quantizers.collisions import spread
from lexirec.semantic_ids.quantizers.residual_kmeans import ResidualKMeans
from lexirec.semantic_ids.quantizers.rqvae_network import RqVaeNetwork, linear_layers, mlp

VECTORS = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32) * 5 + 2


@pytest.fixture
def network():
    torch.manual_seed(0)
    made = RqVaeNetwork(mlp([6, 5, 3], 0.5), mlp([3, 5, 6], 0.5), torch.randn(2, 8, 3))
    made.standardize(VECTORS)
    return made.eval()


def test_layers_begin_as_the_source_says():
    layers = linear_layers(mlp([400, 300, 200], 0.1))
    assert [type(layer).__name__ for layer in mlp([4, 3, 2], 0.1)] == ["Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    assert layers[0].weight.std().item() == pytest.approx((2 / 700) ** 0.5, rel=0.02)
    assert not layers[0].bias.any()


def test_the_codebook_chooses_and_restores_as_the_network(network):
    codebook = network.codebook()
    vectors = torch.from_numpy(VECTORS)
    scaled = network.scaled(vectors)
    assert scaled.mean(0).abs().max() < 1e-5
    assert scaled.square().mean().item() == pytest.approx(1, rel=1e-4)
    found = network.quantize(network.encode(scaled))
    assert (codebook.assign(VECTORS) == found.codes_BL.numpy()).all()
    restored = network.decoder(found.points_BLD.sum(1)) / network.scale + network.shift_X
    assert np.allclose(codebook.reconstruct(codebook.assign(VECTORS)), restored.detach().numpy(), atol=1e-4)


def test_each_level_quantises_what_is_left(network):
    found = network.quantize(network.encode(network.scaled(torch.from_numpy(VECTORS))))
    left = found.residuals_BLD[:, 0] - found.points_BLD[:, 0]
    assert torch.equal(found.residuals_BLD[:, 1], left)
    assert (found.distances_BLK.argmin(2) == found.codes_BL).all()
    exact = torch.cdist(found.residuals_BLD[:, 1], network.codes_LKD[1]).square()
    assert torch.allclose(found.distances_BLK[:, 1], exact, atol=1e-4)


def test_sinkhorn_spreads_a_step_as_collision_repair_does(network):
    encoded = network.encode(network.scaled(torch.from_numpy(VECTORS)))
    nearest, spreading = network.quantize(encoded), network.quantize(encoded, (0, 0.05))
    assert (nearest.codes_BL[:, 0] == spreading.codes_BL[:, 0]).all()
    wanted = spread(nearest.distances_BLK[:, 1].detach().numpy(), np.zeros(60, dtype=np.int64), 0.05, 50)
    assert (spreading.codes_BL[:, 1].numpy() == wanted).all()


def test_codes_start_as_kmeans_of_the_residuals(network):
    network.start_codes(VECTORS, ResidualKMeans(levels=2, branching=8))
    encoded = network.codebook().space.encode(VECTORS)
    found = network.codebook().apply(VECTORS).report.levels
    centers = ResidualKMeans(levels=2, branching=8).centers(encoded)
    assert np.allclose(network.codes_LKD.detach().numpy(), np.stack(centers))
    assert found[1].residual < found[0].residual < 0.6
    network.start_codes(VECTORS[:3], ResidualKMeans(levels=2, branching=8))
    assert len(np.unique(network.codes_LKD[0].detach().numpy(), axis=0)) == 3
