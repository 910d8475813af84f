"""RQ-VAE network: encoder, residual quantiser, decoder, and the losses of RQ-VAE and LETTER.

Shapes: B items of a step, X dimensions of vectors, D of codes, L levels, K codes of a level, C dimensions of
collaborative vectors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from lexirec.semantic_ids.quantizers.assignment import balanced_kmeans
from lexirec.semantic_ids.quantizers.codebook import Codebook, Layer, Mlp, Space
from lexirec.semantic_ids.quantizers.residual_kmeans import ResidualKMeans
from lexirec.semantic_ids.quantizers.rqvae import CodeUse, RqVae


@dataclass
class QuantizedBatch:
    """Residual quantisation of a batch of encodings, level by level.

    Attributes:
        codes_BL: Numbers of the chosen codes.
        residuals_BLD: Input of each level.
        points_BLD: The chosen codes as points.
        distances_BLK: Squared distances of each level's residuals to its codes.
    """

    codes_BL: Tensor
    residuals_BLD: Tensor
    points_BLD: Tensor
    distances_BLK: Tensor


class RqVaeNetwork(nn.Module):
    """Encoder, codes and decoder; `bridge` maps quantised encodings to collaborative vectors, if used."""

    shift_X: Tensor
    scale: Tensor

    def __init__(
        self, encoder: nn.Sequential, decoder: nn.Sequential, codes_LKD: Tensor, *, skip: bool = False
    ) -> None:
        """Assemble the network; with `skip` the encoder's input is added to its output."""
        super().__init__()
        self.encoder, self.decoder, self.skip = encoder, decoder, skip
        self.codes_LKD = nn.Parameter(codes_LKD)
        self.bridge: nn.Linear | None = None
        self.register_buffer("shift_X", torch.zeros(linear_layers(encoder)[0].in_features))
        self.register_buffer("scale", torch.ones(()))

    def standardize(self, vectors: NDArray[np.float32]) -> None:
        """Fit shift and scale: centre vectors and scale them as a whole, so that loss weights fit any vectors."""
        mean = vectors.mean(axis=0)
        deviation = float(np.sqrt(((vectors - mean) ** 2).mean(dtype=np.float64)))
        self.shift_X.copy_(torch.from_numpy(mean))
        self.scale.fill_(1 / max(deviation, 1e-12))

    @torch.no_grad()
    def start_codes(self, vectors: NDArray[np.float32], start: ResidualKMeans) -> None:
        """Initialise the codes with residual k-means of the encodings of vectors (n, X).

        With fewer items than codes, the remaining codes repeat others.
        """
        encoded = self.codebook().space.encode(vectors)
        for level, points in enumerate(start.centers(encoded)):
            rows = np.arange(self.codes_LKD.shape[1]) % len(points)
            self.codes_LKD[level] = torch.from_numpy(points[rows])

    def encode(self, vectors_BX: Tensor) -> Tensor:
        """Return the encodings (B, D) of scaled vectors."""
        encoded_BD: Tensor = self.encoder(vectors_BX)
        return encoded_BD + vectors_BX if self.skip else encoded_BD

    def scaled(self, vectors_BX: Tensor) -> Tensor:
        """Return shifted and scaled vectors, the encoder's input and the decoder's target."""
        return (vectors_BX - self.shift_X) * self.scale

    def quantize(self, encoded_BD: Tensor, entropies: Sequence[float] = ()) -> QuantizedBatch:
        """Choose a code per level: the nearest or, for levels with an entropy, by Sinkhorn over the items."""
        rest_BD, codes, residuals, points, distances = encoded_BD, [], [], [], []
        for level, points_KD in enumerate(self.codes_LKD):
            distances_BK = _distances(rest_BD, points_KD)
            entropy = entropies[level] if level < len(entropies) else 0.0
            codes.append(_spread(distances_BK.detach(), entropy) if entropy else distances_BK.argmin(1))
            residuals.append(rest_BD)
            points.append(points_KD[codes[-1]])
            distances.append(distances_BK)
            rest_BD = rest_BD - points[-1].detach()  # codes of a level learn from their own residuals only
        return QuantizedBatch(torch.stack(codes, 1), *(torch.stack(part, 1) for part in (residuals, points, distances)))

    def codebook(self) -> Codebook:
        """Return the network as a codebook, which needs no torch."""
        encoder, decoder = _as_mlp(self.encoder, self.skip), _as_mlp(self.decoder)
        space = Space(_array(self.shift_X), float(self.scale), encoder, decoder)
        return Codebook(space, tuple(_array(points_KD) for points_KD in self.codes_LKD))


def mlp(sizes: Sequence[int], dropout: float) -> nn.Sequential:
    """Return an MLP of these widths: dropout, linear layer, ReLU between layers; Xavier-normal weights, zero biases."""
    layers: list[nn.Module] = []
    for number, (inputs, outputs) in enumerate(pairwise(sizes)):
        linear = nn.Linear(inputs, outputs)
        nn.init.xavier_normal_(linear.weight)
        nn.init.zeros_(linear.bias)
        layers += [nn.ReLU()] if number else []
        layers += [nn.Dropout(dropout), linear]
    return nn.Sequential(*layers)


def linear_layers(layers: nn.Sequential) -> list[nn.Linear]:
    """Return the linear layers of an MLP."""
    return [layer for layer in layers if isinstance(layer, nn.Linear)]


def _distances(rows_BD: Tensor, points_KD: Tensor) -> Tensor:
    """Return squared distances (B, K); not by `cdist`, whose gradient at distance 0 is not defined."""
    return rows_BD.square().sum(1, keepdim=True) - 2 * rows_BD @ points_KD.T + points_KD.square().sum(1)


@torch.no_grad()
def _spread(distances_BK: Tensor, entropy: float, iterations: int = 50) -> Tensor:
    """Choose codes (B,) evenly by Sinkhorn, as `collisions.spread` does for one group."""
    items, codes = distances_BK.shape
    low, high = distances_BK.min().double(), distances_BK.max().double()
    shares_BK = torch.exp(-(distances_BK.double() - low) / ((high - low) / 2 + 1e-5) / entropy)
    tiny = torch.finfo(torch.float64).tiny
    for _ in range(iterations):
        shares_BK = shares_BK / (shares_BK.sum(1, keepdim=True).clamp_min(tiny) * items)
        shares_BK = shares_BK / (shares_BK.sum(0, keepdim=True).clamp_min(tiny) * codes)
    return shares_BK.argmax(1)


def _as_mlp(layers: nn.Sequential, skip: bool = False) -> Mlp:
    weights: list[Layer] = [(_array(layer.weight), _array(layer.bias)) for layer in linear_layers(layers)]
    return Mlp(tuple(weights), skip)


def _array(tensor: Tensor) -> NDArray[np.float32]:
    return np.array(tensor.detach().cpu().numpy(), dtype=np.float32)


# --------------------------------------------------------------------------------------------------------------- losses

_CONTRASTED = 4096  # most items in one contrast of the collaborative loss


def total_loss(
    network: RqVaeNetwork,
    settings: RqVae,
    vectors_BX: Tensor,
    collaborative_BC: Tensor | None = None,
    clusters_LK: Tensor | None = None,
) -> tuple[Tensor, QuantizedBatch]:
    """Return the total loss of a batch, and its quantisation.

    Args:
        network: The network in training.
        settings: The weights of the losses.
        vectors_BX: Vectors of the items.
        collaborative_BC: Their collaborative vectors, if that loss has a weight.
        clusters_LK: Clusters of the codes, if the diversity loss has a weight.
    """
    scaled_BX = network.scaled(vectors_BX)
    encoded_BD = network.encode(scaled_BX)
    batch = network.quantize(encoded_BD, settings.use.sinkhorn if network.training else ())
    # straight-through estimator: the decoder's gradient reaches the encoder alone, as in the sources
    quantized_BD = encoded_BD + (batch.points_BLD.sum(1) - encoded_BD).detach()
    codes_learn = settings.use.ema == 0
    if codes_learn:
        loss = functional.mse_loss(batch.points_BLD, batch.residuals_BLD.detach())
    else:
        loss = torch.zeros((), device=vectors_BX.device)
    loss = loss + settings.use.commitment * functional.mse_loss(batch.residuals_BLD, batch.points_BLD.detach())
    loss = loss + functional.mse_loss(network.decoder(quantized_BD), scaled_BX)
    if settings.use.balance:
        loss = loss + settings.use.balance * balance_loss(batch.distances_BLK, settings.use)
    if collaborative_BC is not None and network.bridge is not None:
        mapped_BC = network.bridge(quantized_BD)
        loss = loss + settings.letter.collaborative * collaborative_loss(mapped_BC, collaborative_BC)
    if clusters_LK is not None:
        loss = loss + settings.letter.diversity * diversity_loss(network.codes_LKD, batch, clusters_LK)
    return loss, batch


def balance_loss(distances_BLK: Tensor, use: CodeUse) -> Tensor:
    """Return the divergence of soft code use p from equal use, Σ p log(p K), in nats; mean over levels."""
    shares_LK = torch.softmax(-distances_BLK / use.balance_temperature, dim=2).mean(0)
    return (shares_LK * shares_LK.clamp_min(1e-12).log()).sum(1).mean() + math.log(distances_BLK.shape[2])


def collaborative_loss(mapped_BC: Tensor, collaborative_BC: Tensor) -> Tensor:
    """Return the cross-entropy of an item's collaborative vector among those of the batch, by inner product."""
    losses = []
    for mapped, targets in zip(
        torch.split(mapped_BC, _CONTRASTED), torch.split(collaborative_BC, _CONTRASTED), strict=True
    ):
        own = torch.arange(len(targets), device=targets.device)
        losses.append(functional.cross_entropy(mapped @ targets.T, own, reduction="sum"))
    return torch.stack(losses).sum() / len(mapped_BC)


def diversity_loss(codes_LKD: Tensor, batch: QuantizedBatch, clusters_LK: Tensor) -> Tensor:
    """Return the cross-entropy of another code of the chosen code's cluster among all other codes of the level.

    That code is sampled for every item and level.
    """
    losses = []
    for level, (points_KD, clusters_K) in enumerate(zip(codes_LKD, clusters_LK, strict=True)):
        own_B = batch.codes_BL[:, level]
        itself_BK = functional.one_hot(own_B, len(points_KD)).bool()
        mates_BK = (clusters_K == clusters_K[own_B, None]) & ~itself_BK
        mate_B = torch.multinomial(mates_BK.float(), 1)[:, 0]
        similarity_BK = (batch.points_BLD[:, level] @ points_KD.T).masked_fill(itself_BK, -math.inf)
        losses.append(functional.cross_entropy(similarity_BK, mate_B))
    return torch.stack(losses).mean()


def cluster_codes(codes_LKD: Tensor, clusters: int, seed: int) -> Tensor:
    """Divide the codes of each level into clusters of equal size: int64 (L, K)."""
    labels = []
    for points in codes_LKD.detach().cpu().numpy():
        start = points[np.random.default_rng(seed).choice(len(points), clusters, replace=False)]
        labels.append(balanced_kmeans(points, start, rounds=10, seed=seed)[1])
    return torch.from_numpy(np.stack(labels)).long().to(codes_LKD.device)
