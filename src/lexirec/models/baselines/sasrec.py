"""SASRec: a causal transformer over a history's items, as a baseline and as the source of GRAM's neighbours.

Kang and McAuley, ICDM 2018, with what later work found to matter: softmax cross-entropy over the catalogue instead of
one negative (Klenitskiy and Vasilev, RecSys 2023), pre-norm blocks, and optionally cosine logits with a learned
temperature, text vectors and neighbours in the item vectors.

`block = "ligr"` with `negatives = 256` and `proposal = "uniform"` is eSASRec (Tikhonovich et al., RecSys 2025,
arXiv 2508.06450). Ours draws one sample of negatives for a step instead of one per position, and corrects it to an
estimate of the whole softmax; the inner width of its feed-forward layers is 8/3 of the dimensions, as many weights as
in the other block, where theirs is four times.

Shapes: B rows, L positions, D dimensions, H heads, E inner width.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lexirec.models.baselines.base import BaselineInputs, BaselineSettings
from lexirec.models.baselines.sequential import (
    AttentionSettings,
    BlockNetwork,
    ItemTable,
    SequenceScorer,
)


class SasrecSettings(AttentionSettings):
    """The network and its training."""

    kind: Literal["sasrec"] = "sasrec"
    block: Literal["transformer", "ligr"] = "transformer"
    """Layers as in a transformer, or with gated residuals and SwiGLU as in eSASRec."""


class SasrecBaseline(SasrecSettings):
    """SASRec in an experiment file: the network, and the inputs of its item vectors besides the items' own rows."""

    with_vectors: bool = False
    """Add a linear map of the experiment's vectors to the item vectors."""
    with_neighbors: bool = False
    """Add the mean of an item's neighbours to its vector."""

    def needed(self) -> tuple[str, ...]:
        """Return `vectors` and `neighbors` where item vectors use them."""
        wanted = {"vectors": self.with_vectors, "neighbors": self.with_neighbors}
        return tuple(name for name, used in wanted.items() if used)

    def stored(self) -> SasrecSettings:
        """Return the bare network where nothing is added, which SASRec neighbours may have trained already."""
        return self if self.needed() else self.alone()

    def alone(self) -> SasrecSettings:
        """Return the settings of the network itself."""
        return SasrecSettings(**self.model_dump(exclude={"with_vectors", "with_neighbors"}))


class Attention(nn.Module):
    """Causal attention with several heads."""

    def __init__(self, settings: AttentionSettings) -> None:
        """Build the maps to and from heads."""
        super().__init__()
        self.heads, self.dropout = settings.heads, settings.dropout
        self.to_heads = nn.Linear(settings.dimensions, 3 * settings.dimensions)
        self.from_heads = nn.Linear(settings.dimensions, settings.dimensions)

    def forward(self, hidden_BLD: Tensor, visible_BLL: Tensor) -> Tensor:
        """Return (B, L, D); `visible_BLL` says which positions (last axis) a position attends to."""
        rows, places, dimensions = hidden_BLD.shape
        shape = (rows, places, 3, self.heads, dimensions // self.heads)
        query, key, value = self.to_heads(hidden_BLD).view(shape).permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, visible_BLL[:, None], dropout_p=dropout)
        out_BLD: Tensor = self.from_heads(mixed.transpose(1, 2).reshape(rows, places, dimensions))
        return out_BLD


class Block(Attention):
    """One pre-norm transformer block."""

    def __init__(self, settings: AttentionSettings) -> None:
        """Build the layers; the inner width is four times the dimensions."""
        super().__init__(settings)
        dimensions = settings.dimensions
        self.attention_norm, self.inner_norm = nn.LayerNorm(dimensions), nn.LayerNorm(dimensions)
        self.inner: nn.Module = nn.Sequential(
            nn.Linear(dimensions, 4 * dimensions), nn.GELU(), nn.Linear(4 * dimensions, dimensions)
        )

    def forward(self, hidden_BLD: Tensor, visible_BLL: Tensor) -> Tensor:
        """Return (B, L, D); `visible_BLL` says which positions (last axis) a position attends to."""
        attended_BLD = super().forward(self.attention_norm(hidden_BLD), visible_BLL)
        hidden_BLD = hidden_BLD + F.dropout(attended_BLD, self.dropout, self.training)
        inner_BLD = self.inner(self.inner_norm(hidden_BLD))
        return hidden_BLD + F.dropout(inner_BLD, self.dropout, self.training)


class LigrBlock(Block):
    """The same with a gate on what each half adds, σ(x W), and SwiGLU within (LiGR: Borisyuk et al., 2025)."""

    def __init__(self, settings: AttentionSettings) -> None:
        """Build the layers."""
        super().__init__(settings)
        dimensions = settings.dimensions
        self.inner = SwiGlu(dimensions, round(8 * dimensions / 3))
        self.attention_gate, self.inner_gate = nn.Linear(dimensions, dimensions), nn.Linear(dimensions, dimensions)

    def forward(self, hidden_BLD: Tensor, visible_BLL: Tensor) -> Tensor:
        """Return (B, L, D); `visible_BLL` says which positions (last axis) a position attends to."""
        attended_BLD = Attention.forward(self, self.attention_norm(hidden_BLD), visible_BLL)
        attended_BLD = F.dropout(attended_BLD, self.dropout, self.training)
        hidden_BLD = hidden_BLD + torch.sigmoid(self.attention_gate(hidden_BLD)) * attended_BLD
        inner_BLD = F.dropout(self.inner(self.inner_norm(hidden_BLD)), self.dropout, self.training)
        gated_BLD: Tensor = torch.sigmoid(self.inner_gate(hidden_BLD)) * inner_BLD
        return hidden_BLD + gated_BLD


class SwiGlu(nn.Module):
    """A feed-forward layer whose inner values are gated: (SiLU(x W) ⊙ x V) U (Shazeer, 2020)."""

    def __init__(self, dimensions: int, inner: int) -> None:
        """Build the three maps, without biases."""
        super().__init__()
        self.to_inner = nn.Linear(dimensions, 2 * inner, bias=False)
        self.from_inner = nn.Linear(inner, dimensions, bias=False)

    def forward(self, hidden_BLD: Tensor) -> Tensor:
        """Return (B, L, D)."""
        gate_BLE, value_BLE = self.to_inner(hidden_BLD).chunk(2, dim=-1)
        out_BLD: Tensor = self.from_inner(F.silu(gate_BLE) * value_BLE)
        return out_BLD


class Sasrec(SequenceScorer):
    """SASRec as a scorer; see the module's docstring."""

    label: ClassVar[str] = "SASRec"
    settings: SasrecSettings
    settings_class: ClassVar[type[BaselineSettings]] = SasrecSettings
    options: ClassVar[type[BaselineSettings] | None] = SasrecBaseline

    @classmethod
    def fitted(cls, settings: SasrecSettings, inputs: BaselineInputs) -> Self:
        """Return a network trained on the training rows, with vectors and neighbours where the settings add them."""
        extras = settings if isinstance(settings, SasrecBaseline) else SasrecBaseline()
        scorer = cls(settings.alone() if isinstance(settings, SasrecBaseline) else settings)
        return scorer.fit(
            inputs.train,
            inputs.n_items,
            validation=inputs.validation,
            vectors=inputs.vectors if extras.with_vectors else None,
            neighbors=inputs.neighbors if extras.with_neighbors else None,
            progress=inputs.progress,
        )

    def make(self, table: ItemTable) -> BlockNetwork:
        """Return the untrained network around an item table."""
        block = LigrBlock if self.settings.block == "ligr" else Block
        return BlockNetwork(self.settings, table, lambda: block(self.settings))
