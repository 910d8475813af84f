"""The losses of RQ-VAE, LETTER's among them.

Shapes: B items of a step, X dimensions of vectors, D of codes, L levels, K codes of a level, C dimensions of
collaborative vectors.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from lexirec.semantic_ids.quantizers.assignment import balanced_kmeans
from lexirec.semantic_ids.quantizers.rqvae import CodeUse, RqVae
from lexirec.semantic_ids.quantizers.rqvae_network import Quantized, RqVaeNetwork

_CONTRASTED = 4096  # items that the collaborative loss holds against each other at once


def total_loss(
    network: RqVaeNetwork,
    settings: RqVae,
    vectors_BX: Tensor,
    collaborative_BC: Tensor | None = None,
    clusters_LK: Tensor | None = None,
) -> tuple[Tensor, Quantized]:
    """Return the loss of some items, and how they were quantised.

    Args:
        network: What learns.
        settings: The weights of the losses.
        vectors_BX: Vectors of the items.
        collaborative_BC: Their collaborative vectors, where that loss has a weight.
        clusters_LK: Clusters of the codes, where the diversity loss has a weight.
    """
    scaled_BX = network.scaled(vectors_BX)
    encoded_BD = network.encode(scaled_BX)
    found = network.quantize(encoded_BD, settings.use.sinkhorn if network.training else ())
    quantized_BD = encoded_BD + (found.points_BLD.sum(1) - encoded_BD).detach()  # straight through
    codes_learn = settings.use.ema == 0
    if codes_learn:  # the sum carries the decoder's gradient to the encoder alone, as in the sources
        loss = F.mse_loss(found.points_BLD, found.residuals_BLD.detach())
    else:
        loss = torch.zeros((), device=vectors_BX.device)
    loss = loss + settings.use.commitment * F.mse_loss(found.residuals_BLD, found.points_BLD.detach())
    loss = loss + F.mse_loss(network.decoder(quantized_BD), scaled_BX)
    if settings.use.balance:
        loss = loss + settings.use.balance * balance_loss(found.distances_BLK, settings.use)
    if collaborative_BC is not None and network.bridge is not None:
        mapped_BC = network.bridge(quantized_BD)
        loss = loss + settings.letter.collaborative * collaborative_loss(mapped_BC, collaborative_BC)
    if clusters_LK is not None:
        loss = loss + settings.letter.diversity * diversity_loss(network.codes_LKD, found, clusters_LK)
    return loss, found


def balance_loss(distances_BLK: Tensor, use: CodeUse) -> Tensor:
    """Return the divergence of soft use from equal use, the mean over levels: Σ p log(p K), in nats."""
    shares_LK = torch.softmax(-distances_BLK / use.balance_temperature, dim=2).mean(0)
    return (shares_LK * shares_LK.clamp_min(1e-12).log()).sum(1).mean() + math.log(distances_BLK.shape[2])


def collaborative_loss(mapped_BC: Tensor, collaborative_BC: Tensor) -> Tensor:
    """Return the cross-entropy of finding an item's collaborative vector among those of all, by inner product."""
    losses = []
    for mapped, given in zip(
        torch.split(mapped_BC, _CONTRASTED), torch.split(collaborative_BC, _CONTRASTED), strict=True
    ):
        right = torch.arange(len(given), device=given.device)
        losses.append(F.cross_entropy(mapped @ given.T, right, reduction="sum"))
    return torch.stack(losses).sum() / len(mapped_BC)


def diversity_loss(codes_LKD: Tensor, found: Quantized, clusters_LK: Tensor) -> Tensor:
    """Return the cross-entropy of finding, from a chosen code, some other code of its cluster among all others.

    The other code is drawn at random, for every item and level anew.
    """
    losses = []
    for level, (points_KD, clusters_K) in enumerate(zip(codes_LKD, clusters_LK, strict=True)):
        own_B = found.codes_BL[:, level]
        itself_BK = F.one_hot(own_B, len(points_KD)).bool()
        mates_BK = (clusters_K == clusters_K[own_B, None]) & ~itself_BK
        mate_B = torch.multinomial(mates_BK.float(), 1)[:, 0]
        alike_BK = (found.points_BLD[:, level] @ points_KD.T).masked_fill(itself_BK, -math.inf)
        losses.append(F.cross_entropy(alike_BK, mate_B))
    return torch.stack(losses).mean()


def cluster_codes(codes_LKD: Tensor, clusters: int, seed: int) -> Tensor:
    """Divide the codes of each level into clusters of equal size: int64 (L, K)."""
    found = []
    for points in codes_LKD.detach().cpu().numpy():
        start = points[np.random.default_rng(seed).choice(len(points), clusters, replace=False)]
        found.append(balanced_kmeans(points, start, rounds=10, seed=seed)[1])
    return torch.from_numpy(np.stack(found)).long().to(codes_LKD.device)
