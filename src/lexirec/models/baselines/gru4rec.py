"""GRU4Rec: a recurrent network over a history's items, as a baseline.

Hidasi et al., ICLR 2016, and Hidasi and Karatzoglou, CIKM 2018. Ours differs: histories of users instead of sessions,
rows read in parallel instead of one position per step of long-lived states; cross-entropy over the catalogue (or a
sample with logQ correction) instead of TOP1 and BPR-max over the items of the batch, which the authors themselves found
to matter most and Petrov and Macdonald (RecSys 2022) to be matched by full cross-entropy; item vectors are shared
between input and output (their "constrained embeddings").

Shapes: B rows, L positions, D dimensions, W width.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lexirec.models.baselines.base import BaselineSettings
from lexirec.models.baselines.sequential import ItemTable, SequenceNetwork, SequenceScorer, SequenceSettings


class Gru4RecSettings(SequenceSettings):
    """The network and its training."""

    kind: Literal["gru4rec"] = "gru4rec"
    layers: int = Field(default=1, ge=1)
    width: int = Field(default=128, ge=1)
    """Of the recurrent state."""


class Gru4RecNetwork(SequenceNetwork):
    """Item vectors, gated recurrent units, and a map of their state to an item vector's dimensions."""

    def __init__(self, settings: Gru4RecSettings, table: ItemTable) -> None:
        """Build the layers around an item table."""
        super().__init__(settings, table)
        between = settings.dropout if settings.layers > 1 else 0.0
        self.units = nn.GRU(settings.dimensions, settings.width, settings.layers, dropout=between, batch_first=True)
        self.from_state = nn.Linear(settings.width, settings.dimensions)
        self.norm = nn.LayerNorm(settings.dimensions)

    def forward(self, items_BL: Tensor, vectors_ID: Tensor | None = None) -> Tensor:
        """Return the state after every position, (B, L, D); see `SequenceNetwork.forward`."""
        hidden_BLD = F.dropout(self.entered(items_BL, vectors_ID), self.dropout, self.training)
        states_BLW, _ = self.units(hidden_BLD)
        states_BLD: Tensor = self.norm(self.from_state(F.dropout(states_BLW, self.dropout, self.training)))
        return states_BLD


class Gru4Rec(SequenceScorer):
    """GRU4Rec as a scorer; see the module's docstring."""

    label: ClassVar[str] = "GRU4Rec"
    settings: Gru4RecSettings
    settings_class: ClassVar[type[BaselineSettings]] = Gru4RecSettings

    def make(self, table: ItemTable) -> Gru4RecNetwork:
        """Return the untrained network around an item table."""
        return Gru4RecNetwork(self.settings, table)
