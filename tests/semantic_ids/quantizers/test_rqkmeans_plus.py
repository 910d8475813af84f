import numpy as np

from lexirec.semantic_ids.quantizers.residual_kmeans import ResidualKMeans
from lexirec.semantic_ids.quantizers.rqkmeans_plus import ResidualKMeansPlus
from lexirec.semantic_ids.quantizers.rqvae import RqVaeTraining

VECTORS = np.random.default_rng(0).normal(size=(80, 9)).astype(np.float32)


def small(epochs=4, learning_rate=1e-4, **more):
    training = RqVaeTraining(epochs=epochs, batch_size=40, warm_up=0, learning_rate=learning_rate, evaluate_every=2)
    return ResidualKMeansPlus(levels=2, branching=8, hidden=(5,), training=training, **more)


def test_it_starts_as_balanced_residual_kmeans_of_the_vectors():
    network = small()._network(VECTORS)
    space = network.codebook().space
    scaled = (VECTORS - VECTORS.mean(axis=0)) * space.scale
    assert np.allclose(space.encode(VECTORS), scaled, atol=1e-5)
    centers = ResidualKMeans(levels=2, branching=8, balanced=True).centers(space.encode(VECTORS))
    assert np.allclose(network.codes_LKD.detach().numpy(), np.stack(centers))
    plain = ResidualKMeans(levels=2, branching=8).centers(space.encode(VECTORS))
    assert np.allclose(small(balanced=False)._network(VECTORS).codes_LKD.detach().numpy(), np.stack(plain))


def test_learning_moves_it_from_there(tmp_path):
    start, learned = small(1, 1e-9).fit(VECTORS), small(12, 1e-2).fit(VECTORS)
    assert learned.report.reconstruction_error < start.report.reconstruction_error
    assert len(np.unique(learned.codes.values, axis=0)) == 80
    assert learned.space.encoder.skip
    again = small(12, 1e-2).fit(VECTORS, folder=tmp_path)
    assert (again.codes.values == learned.codes.values).all()
    assert list(tmp_path.glob("rqvae-*.safetensors"))
