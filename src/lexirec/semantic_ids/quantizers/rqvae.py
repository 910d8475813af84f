"""RQ-VAE: residual codes of a learned encoding of item vectors (TIGER, LETTER); settings and estimator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from lexirec.core.config import Settings
from lexirec.core.errors import DataError, SettingsError
from lexirec.semantic_ids.quantizers.assignment import finite_matrix
from lexirec.semantic_ids.quantizers.base import Quantized, QuantizerInputs, QuantizerSettings
from lexirec.semantic_ids.quantizers.codebook import Codebook
from lexirec.semantic_ids.quantizers.collisions import LEAST_ENTROPY, CollisionSettings
from lexirec.semantic_ids.quantizers.residual_kmeans import ResidualKMeans

if TYPE_CHECKING:
    from lexirec.semantic_ids.quantizers.rqvae_network import RqVaeNetwork


class RqVaeTraining(Settings):
    """Settings of RQ-VAE's training."""

    epochs: Annotated[int, Field(ge=1)] = 1000
    """Passes over the items (MiniOneRec: 10,000)."""
    batch_size: Annotated[int, Field(ge=2)] = 1024
    """Items per step (MiniOneRec: all)."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Learning rate of AdamW, constant after the warm-up."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Weight decay of AdamW."""
    warm_up: Annotated[int, Field(ge=0)] = 50
    """Epochs over which the learning rate rises from 0."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout before every linear layer."""
    evaluate_every: Annotated[int, Field(ge=1)] = 50
    """Epochs between two evaluations of the collisions, at which the state is saved, too."""
    select: Literal["collisions", "loss", "last"] = "collisions"
    """State to keep among those evaluated in the second half of training (untrained codes collide rarely): fewest
    collisions, least loss, or the last."""


class CodeUse(Settings):
    """Settings of the update of codes, and of measures against unused codes."""

    commitment: Annotated[float, Field(ge=0)] = 0.25
    """Weight of the commitment loss, which pulls encodings towards their codes."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of the moving average that updates codes (0.99 is usual); 0 trains them by gradient."""
    revive_after: Annotated[int, Field(ge=0)] = 0
    """Steps after which a rarely used code is reset to a random item's residual (100 is usual); 0 never resets."""
    revive_below: Annotated[float, Field(ge=0, lt=1)] = 1e-4
    """Share of the items below which a code counts as rarely used."""
    balance: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the divergence between the soft use of codes and equal use (0.01 is usual)."""
    balance_temperature: Annotated[float, Field(gt=0)] = 1.0
    """Temperature of the softmax of soft use."""
    sinkhorn: tuple[float, ...] = ()
    """Sinkhorn entropy per level, for an even assignment of a step's items in training (LC-Rec: 0.003 at the last);
    0, and levels not listed, take the nearest code."""

    @field_validator("sinkhorn")
    @classmethod
    def _in_double_precision(cls, entropies: tuple[float, ...]) -> tuple[float, ...]:
        if any(entropy and entropy < LEAST_ENTROPY for entropy in entropies):
            raise ValueError(f"is {list(entropies)}; each entropy must be 0 or at least {LEAST_ENTROPY}")
        return entropies


class LetterLosses(Settings):
    """Settings of LETTER's losses (CIKM 2024): collaborative alignment and diversity of codes.

    The collaborative loss is contrastive within a step: an item's quantised encoding, after a linear map, must find its
    collaborative vector among those of the step's items (LETTER needs no map, since both are 32 wide). The diversity
    loss pulls a code towards another code of its cluster and away from all others.
    """

    collaborative: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the collaborative loss (LETTER: 0.02); it needs `fit(vectors, collaborative)`."""
    diversity: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the diversity loss (LETTER: 0.0001)."""
    clusters: Annotated[int, Field(ge=2)] = 10
    """Clusters of equal size among the codes of a level, recomputed in every epoch."""


class RqVae(QuantizerSettings):
    """Settings of RQ-VAE, and the estimator itself: `RqVae(levels=3).fit(vectors)`.

    An encoder maps vectors to a narrow space, residual quantisation replaces an encoding by a sum of one code per
    level, and a decoder reconstructs the vectors from it. All are trained together, the encoder through the quantiser
    by the straight-through estimator. Codes are initialised by k-means of the first residuals, level by level. The loss
    is the mean squared error of the vectors, scaled to unit variance as a whole, plus the mean over levels of the
    codes' squared error and `commitment` times that of the encodings.

    Source: TIGER (NeurIPS 2023) and MiniOneRec, whose code passes commitment to the encoder from the first level only
    and does not scale.
    """

    kind: Literal["rq-vae"] = "rq-vae"
    levels: Annotated[int, Field(ge=1, le=24)] = 3
    """Levels, so codes of an item, before the collision rule."""
    branching: Annotated[int, Field(ge=2)] = 256
    """Codes of a level."""
    width: Annotated[int, Field(ge=1)] = 32
    """Dimensions of the codes."""
    hidden: tuple[Annotated[int, Field(ge=1)], ...] | None = None
    """Widths of the encoder's hidden layers, mirrored in the decoder; by default the powers of two below the vectors'
    width, down to twice that of the codes (for 2,560, as in MiniOneRec: 2048, 1024, 512, 256, 128, 64)."""
    training: RqVaeTraining = RqVaeTraining()
    """Training."""
    use: CodeUse = CodeUse()
    """Update of the codes, and measures against unused ones."""
    letter: LetterLosses = LetterLosses()
    """LETTER's additional losses."""
    collisions: CollisionSettings = CollisionSettings()
    """Rule for items with equal codes."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of initialisation and training."""

    @model_validator(mode="after")
    def _check_clusters(self) -> Self:
        if self.letter.diversity and 2 * self.letter.clusters > self.branching:
            raise ValueError(
                f"has {self.branching} codes a level for {self.letter.clusters} clusters in 'letter'; each needs two"
            )
        return self

    def fit(
        self,
        vectors: NDArray[np.floating],
        collaborative: NDArray[np.floating] | None = None,
        *,
        folder: str | Path | None = None,
    ) -> Codebook:
        """Quantise vectors (n_items, d); deterministic for given vectors, settings and machine.

        Args:
            vectors: Of the items, such as those of their texts.
            collaborative: (n_items, c), item embeddings from interactions, such as SASRec's, for LETTER's loss.
            folder: Folder of checkpoints, from which an interrupted fit resumes with an equal result.

        Raises:
            DataError: the vectors are not a finite matrix, or the collaborative ones are not one per item.
            SettingsError: the collaborative loss has a weight and there are no collaborative vectors.
        """
        from lexirec.semantic_ids.quantizers.rqvae_training import train  # torch takes seconds to import

        vectors = finite_matrix(vectors)
        extra = self._collaborative(collaborative, len(vectors))
        network = self._network(vectors, 0 if extra is None else extra.shape[1])
        train(network, self, vectors, extra, None if folder is None else Path(folder))
        return network.codebook().apply(vectors, self.collisions)

    def needed(self) -> tuple[str, ...]:
        """Return what is read; collaborative vectors only where LETTER's loss has a weight."""
        return (*self.needs, "collaborative") if self.letter.collaborative else self.needs

    def quantize(self, inputs: QuantizerInputs) -> Quantized:
        """Quantise the items' vectors; see `fit`."""
        together = inputs.collaborative if "collaborative" in self.needed() else None
        return self.fit(inputs.vectors, together, folder=inputs.progress).quantized_items()

    def hidden_widths(self, dimensions: int) -> tuple[int, ...]:
        """Return the widths of the encoder's hidden layers for vectors with this number of dimensions."""
        if self.hidden is not None:
            return self.hidden
        powers = [2**power for power in range(24, 0, -1)]
        return tuple(size for size in powers if 2 * self.width <= size < dimensions)

    def _network(self, vectors: NDArray[np.float32], collaborative: int) -> RqVaeNetwork:
        """Initialise the network: seeded weights, and codes by k-means of the first encodings."""
        import torch

        from lexirec.semantic_ids.quantizers.rqvae_network import RqVaeNetwork, mlp

        sizes = [vectors.shape[1], *self.hidden_widths(vectors.shape[1]), self.width]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            encoder, decoder = mlp(sizes, self.training.dropout), mlp(sizes[::-1], self.training.dropout)
            network = RqVaeNetwork(encoder, decoder, torch.zeros(self.levels, self.branching, self.width))
            if collaborative:
                network.bridge = torch.nn.Linear(self.width, collaborative, bias=False)
        network.standardize(vectors)
        start = ResidualKMeans(levels=self.levels, branching=self.branching, seed=self.seed)
        network.start_codes(vectors, start)
        return network

    def _collaborative(self, vectors: NDArray[np.floating] | None, items: int) -> NDArray[np.float32] | None:
        """Return the checked, L2-normalised collaborative vectors; None where their loss has no weight."""
        if not self.letter.collaborative:
            return None
        if vectors is None:
            raise SettingsError(
                f"'letter.collaborative' is {self.letter.collaborative}, which needs collaborative vectors: call "
                "fit(vectors, collaborative), or set it to 0"
            )
        matrix = finite_matrix(vectors)
        if len(matrix) != items:
            raise DataError(f"there are {len(matrix)} collaborative vectors and {items} items; give one per item")
        lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
        return np.asarray(matrix / np.maximum(lengths, 1e-12), dtype=np.float32)
