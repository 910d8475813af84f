"""The network of RQ-VAE: encoder, residual quantiser and decoder.

Shapes: B items of a step, X dimensions of vectors, D of codes, L levels, K codes of a level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lexirec.semantic_ids.quantizers.codebook import Codebook, Layer, Mlp, Space
from lexirec.semantic_ids.quantizers.residual_kmeans import ResidualKMeans


@dataclass
class Quantized:
    """Encodings on their way through the levels.

    Attributes:
        codes_BL: Chosen codes.
        residuals_BLD: What each level was given.
        points_BLD: What it chose.
        distances_BLK: Squared, of each level's residuals to its codes.
    """

    codes_BL: Tensor
    residuals_BLD: Tensor
    points_BLD: Tensor
    distances_BLK: Tensor


class RqVaeNetwork(nn.Module):
    """Encoder, codes and decoder; `bridge` maps quantised encodings to collaborative vectors, where there are any."""

    shift_X: Tensor
    scale: Tensor

    def __init__(
        self, encoder: nn.Sequential, decoder: nn.Sequential, codes_LKD: Tensor, *, skip: bool = False
    ) -> None:
        """Keep the parts; with `skip` the encoder's input is added to its output."""
        super().__init__()
        self.encoder, self.decoder, self.skip = encoder, decoder, skip
        self.codes_LKD = nn.Parameter(codes_LKD)
        self.bridge: nn.Linear | None = None
        self.register_buffer("shift_X", torch.zeros(linear_layers(encoder)[0].in_features))
        self.register_buffer("scale", torch.ones(()))

    def standardize(self, vectors: NDArray[np.float32]) -> None:
        """Centre vectors and scale them as a whole, so that losses weigh alike whatever their width and length."""
        mean = vectors.mean(axis=0)
        deviation = float(np.sqrt(((vectors - mean) ** 2).mean(dtype=np.float64)))
        self.shift_X.copy_(torch.from_numpy(mean))
        self.scale.fill_(1 / max(deviation, 1e-12))

    @torch.no_grad()
    def start_codes(self, vectors: NDArray[np.float32], start: ResidualKMeans) -> None:
        """Set the codes to the centres that residual k-means finds among the encodings of vectors (n, X).

        Where there are fewer items than codes, the codes that are left over repeat others.
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
        """Return vectors as the encoder reads them and the decoder restores them."""
        return (vectors_BX - self.shift_X) * self.scale

    def quantize(self, encoded_BD: Tensor, entropies: Sequence[float] = ()) -> Quantized:
        """Choose a code per level: the nearest or, where a level has an entropy, by Sinkhorn over the items given."""
        rest_BD, codes, residuals, points, distances = encoded_BD, [], [], [], []
        for level, points_KD in enumerate(self.codes_LKD):
            distances_BK = _distances(rest_BD, points_KD)
            entropy = entropies[level] if level < len(entropies) else 0.0
            codes.append(_spread(distances_BK.detach(), entropy) if entropy else distances_BK.argmin(1))
            residuals.append(rest_BD)
            points.append(points_KD[codes[-1]])
            distances.append(distances_BK)
            rest_BD = rest_BD - points[-1].detach()
        return Quantized(torch.stack(codes, 1), *(torch.stack(part, 1) for part in (residuals, points, distances)))

    def codebook(self) -> Codebook:
        """Return what was learned as a codebook, which needs no torch."""
        encoder, decoder = _as_mlp(self.encoder, self.skip), _as_mlp(self.decoder)
        space = Space(_array(self.shift_X), float(self.scale), encoder, decoder)
        return Codebook(space, tuple(_array(points_KD) for points_KD in self.codes_LKD))


def mlp(sizes: Sequence[int], dropout: float) -> nn.Sequential:
    """Return dropout and a linear layer for each step of sizes, ReLU between them; Xavier-normal weights, no bias."""
    layers: list[nn.Module] = []
    for place, (given, made) in enumerate(pairwise(sizes)):
        linear = nn.Linear(given, made)
        nn.init.xavier_normal_(linear.weight)
        nn.init.zeros_(linear.bias)
        layers += [nn.ReLU()] if place else []
        layers += [nn.Dropout(dropout), linear]
    return nn.Sequential(*layers)


def linear_layers(layers: nn.Sequential) -> list[nn.Linear]:
    """Return the linear layers among others."""
    return [layer for layer in layers if isinstance(layer, nn.Linear)]


def _distances(rows_BD: Tensor, points_KD: Tensor) -> Tensor:
    """Return squared distances (B, K); not by `cdist`, whose gradient at 0 is none."""
    return rows_BD.square().sum(1, keepdim=True) - 2 * rows_BD @ points_KD.T + points_KD.square().sum(1)


@torch.no_grad()
def _spread(distances_BK: Tensor, entropy: float, iterations: int = 50) -> Tensor:
    """Choose codes (B,) that are used evenly, as `collisions.spread` does for one group."""
    items, codes = distances_BK.shape
    low, high = distances_BK.min().double(), distances_BK.max().double()
    shares_BK = torch.exp(-(distances_BK.double() - low) / ((high - low) / 2 + 1e-5) / entropy)
    tiny = torch.finfo(torch.float64).tiny
    for _ in range(iterations):
        shares_BK = shares_BK / (shares_BK.sum(1, keepdim=True).clamp_min(tiny) * items)
        shares_BK = shares_BK / (shares_BK.sum(0, keepdim=True).clamp_min(tiny) * codes)
    return shares_BK.argmax(1)


def _as_mlp(layers: nn.Sequential, skip: bool = False) -> Mlp:
    found: list[Layer] = [(_array(layer.weight), _array(layer.bias)) for layer in linear_layers(layers)]
    return Mlp(tuple(found), skip)


def _array(tensor: Tensor) -> NDArray[np.float32]:
    return np.array(tensor.detach().cpu().numpy(), dtype=np.float32)
