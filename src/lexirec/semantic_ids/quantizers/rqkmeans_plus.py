"""Refined residual k-means (RQ-k-means+): an RQ-VAE initialised as balanced residual k-means of the vectors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lexirec.semantic_ids.quantizers.assignment import finite_matrix
from lexirec.semantic_ids.quantizers.base import Quantized, QuantizerInputs, QuantizerSettings
from lexirec.semantic_ids.quantizers.codebook import Codebook
from lexirec.semantic_ids.quantizers.collisions import CollisionSettings
from lexirec.semantic_ids.quantizers.residual_kmeans import ResidualKMeans
from lexirec.semantic_ids.quantizers.rqvae import CodeUse, RqVae, RqVaeTraining

if TYPE_CHECKING:
    from lexirec.semantic_ids.quantizers.rqvae_network import RqVaeNetwork


class ResidualKMeansPlus(QuantizerSettings):
    """Settings of refined residual k-means (RQ-k-means+), and the estimator: `ResidualKMeansPlus().fit(vectors)`.

    An RQ-VAE whose codes are as wide as the vectors x and whose encoder is x + MLP(x). The MLP's last layer is
    initialised to zero, so training starts from balanced residual k-means and adapts encoder and codes.

    Source: MiniOneRec's reproduction of the tokenizer of GPR, with hidden layers from 2,048 to 64 and 10,000 epochs of
    batches of 2,048. Ours scales vectors as a whole, as RQ-VAE does.
    """

    kind: Literal["residual-kmeans-plus"] = "residual-kmeans-plus"
    levels: Annotated[int, Field(ge=1, le=24)] = 3
    """Levels, so codes of an item, before the collision rule."""
    branching: Annotated[int, Field(ge=2)] = 256
    """Codes of a level."""
    hidden: tuple[Annotated[int, Field(ge=1)], ...] | None = None
    """Widths of the hidden layers of the encoder's MLP, mirrored in the decoder; by default those of RQ-VAE."""
    training: RqVaeTraining = RqVaeTraining(epochs=500, batch_size=2048, learning_rate=1e-4)
    """Training."""
    use: CodeUse = CodeUse()
    """Update of the codes, and measures against unused ones."""
    balanced: bool = True
    """Initialise with balanced residual k-means instead of plain one."""
    collisions: CollisionSettings = CollisionSettings()
    """Rule for items with equal codes."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of initialisation and training."""

    def fit(self, vectors: NDArray[np.floating], *, folder: str | Path | None = None) -> Codebook:
        """Quantise vectors (n_items, d); deterministic for given vectors, settings and machine.

        Args:
            vectors: Of the items.
            folder: Folder of checkpoints, from which an interrupted fit resumes with an equal result.

        Raises:
            DataError: the vectors are not a finite matrix.
        """
        from lexirec.semantic_ids.quantizers.rqvae_training import train  # torch takes seconds to import

        vectors = finite_matrix(vectors)
        network, settings = self._network(vectors), self._as_rqvae(vectors.shape[1])
        train(network, settings, vectors, folder=None if folder is None else Path(folder))
        return network.codebook().apply(vectors, self.collisions)

    def quantize(self, inputs: QuantizerInputs) -> Quantized:
        """Quantise the items' vectors; see `fit`."""
        return self.fit(inputs.vectors, folder=inputs.progress).quantized_items()

    def _as_rqvae(self, dimensions: int) -> RqVae:
        """Return the equivalent settings of RQ-VAE."""
        hidden = RqVae().hidden_widths(dimensions) if self.hidden is None else self.hidden
        shared = {name: getattr(self, name) for name in ("levels", "branching", "training", "use", "seed")}
        return RqVae(width=dimensions, hidden=hidden, **shared)

    def _network(self, vectors: NDArray[np.float32]) -> RqVaeNetwork:
        import torch

        from lexirec.semantic_ids.quantizers.rqvae_network import RqVaeNetwork, linear_layers, mlp

        dimensions, dropout = vectors.shape[1], self.training.dropout
        settings = self._as_rqvae(dimensions)
        sizes = [dimensions, *settings.hidden_widths(dimensions), dimensions]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            encoder, decoder = mlp(sizes, dropout), mlp(sizes[::-1], dropout)
        torch.nn.init.zeros_(linear_layers(encoder)[-1].weight)
        network = RqVaeNetwork(encoder, decoder, torch.zeros(self.levels, self.branching, dimensions), skip=True)
        network.standardize(vectors)
        start = ResidualKMeans(levels=self.levels, branching=self.branching, balanced=self.balanced, seed=self.seed)
        network.start_codes(vectors, start)
        return network
