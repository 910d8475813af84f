"""SASRec: a causal transformer over a history's items, as a baseline and as the source of GRAM's neighbours.

Kang and McAuley, ICDM 2018, with what later work found to matter: softmax cross-entropy over the catalogue instead of
one negative (Klenitskiy and Vasilev, RecSys 2023), pre-norm blocks, and optionally cosine logits with a learned
temperature, text vectors and neighbours in the item vectors. Training is in `sasrec_training`.

Shapes: B rows, L places, D dimensions, H heads, I items, T targets, K neighbours, F features of a text vector.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lexirec.config import Settings
from lexirec.data.neighbors import Neighbors
from lexirec.data.sequences import Sequences
from lexirec.errors import ArtifactError, DataError
from lexirec.models.scoring import answer_newcomers, load_fitted, save_fitted


class SasrecTrainingSettings(Settings):
    """How SASRec is trained."""

    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    epochs: int = Field(default=14, ge=1)
    batch_size: int = Field(default=128, ge=1)
    """Rows (users) a step; all places of a row are targets at once."""
    negatives: int = Field(default=0, ge=0)
    """0: the softmax runs over the whole catalogue. Otherwise over so many sampled items, with logQ correction."""
    patience: int = Field(default=3, ge=1)
    """Epochs without a better validation NDCG@10 after which training stops."""
    validation_cases: int = Field(default=4000, ge=1)
    """Validation cases used for choosing the epoch, a fixed sample."""
    seed: int = 0


class SasrecSettings(Settings):
    """The network and its training."""

    kind: Literal["sasrec"] = "sasrec"
    output: Literal["dot", "cosine"] = "cosine"
    """Logits are dot products, or cosines divided by a learned temperature."""
    dimensions: int = Field(default=64, ge=1)
    layers: int = Field(default=2, ge=1)
    heads: int = Field(default=2, ge=1)
    dropout: float = Field(default=0.4, ge=0, lt=1)
    max_history: int = Field(default=20, ge=1)
    """Newest items of a history that are read."""
    training: SasrecTrainingSettings = SasrecTrainingSettings()

    @model_validator(mode="after")
    def _heads_divide_dimensions(self) -> Self:
        if self.dimensions % self.heads:
            raise ValueError(f"dimensions = {self.dimensions} cannot be shared out evenly among heads = {self.heads}")
        return self


class ItemTable(nn.Module):
    """Item vectors: a learned row per item, plus a linear map of its text vector, plus its neighbours' mean.

    The table has no pad row: row i is item i.
    """

    text: Tensor | None
    """(I, F), rows of length 1."""
    neighbors: Tensor | None
    """(I, K), −1 where there is none."""

    def __init__(
        self, n_items: int, dimensions: int, text: Tensor | None = None, neighbors: Tensor | None = None
    ) -> None:
        """Start rows at N(0, 0.02²); −1 in `neighbors` stands for no neighbour."""
        super().__init__()
        self.rows = nn.Embedding(n_items, dimensions)
        nn.init.normal_(self.rows.weight, std=0.02)
        self.register_buffer("text", None if text is None else F.normalize(text.float(), dim=-1))
        self.register_buffer("neighbors", neighbors)
        self.text_map = None if text is None else nn.Linear(text.shape[1], dimensions, bias=False)

    def forward(self) -> Tensor:
        """Return all item vectors, (I, D)."""
        vectors_ID = self.rows.weight
        if self.text_map is not None and self.text is not None:
            vectors_ID = vectors_ID + self.text_map(self.text)
        if self.neighbors is not None:
            vectors_ID = vectors_ID + _neighbor_mean(vectors_ID, self.neighbors)
        return vectors_ID


def _neighbor_mean(vectors_ID: Tensor, neighbors: Tensor) -> Tensor:
    n_items = len(vectors_ID)
    with_pad = torch.cat([vectors_ID, vectors_ID.new_zeros(1, vectors_ID.shape[1])])
    indices_IK = torch.where(neighbors < 0, n_items, neighbors)
    return F.embedding_bag(indices_IK, with_pad, mode="mean", padding_idx=n_items)


class Block(nn.Module):
    """One pre-norm transformer block with causal attention."""

    def __init__(self, settings: SasrecSettings) -> None:
        """Build the layers; the inner width is four times the dimensions."""
        super().__init__()
        dimensions = settings.dimensions
        self.heads, self.dropout = settings.heads, settings.dropout
        self.attention_norm, self.inner_norm = nn.LayerNorm(dimensions), nn.LayerNorm(dimensions)
        self.to_heads, self.from_heads = nn.Linear(dimensions, 3 * dimensions), nn.Linear(dimensions, dimensions)
        self.inner = nn.Sequential(
            nn.Linear(dimensions, 4 * dimensions), nn.GELU(), nn.Linear(4 * dimensions, dimensions)
        )

    def forward(self, hidden_BLD: Tensor, visible_BLL: Tensor) -> Tensor:
        """Return (B, L, D); `visible_BLL` says which places (last axis) a place may look at."""
        attended_BLD = self._attend(self.attention_norm(hidden_BLD), visible_BLL)
        hidden_BLD = hidden_BLD + F.dropout(attended_BLD, self.dropout, self.training)
        inner_BLD = self.inner(self.inner_norm(hidden_BLD))
        return hidden_BLD + F.dropout(inner_BLD, self.dropout, self.training)

    def _attend(self, hidden_BLD: Tensor, visible_BLL: Tensor) -> Tensor:
        rows, places, dimensions = hidden_BLD.shape
        shape = (rows, places, 3, self.heads, dimensions // self.heads)
        query, key, value = self.to_heads(hidden_BLD).view(shape).permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, visible_BLL[:, None], dropout_p=dropout)
        out_BLD: Tensor = self.from_heads(mixed.transpose(1, 2).reshape(rows, places, dimensions))
        return out_BLD


class SasrecNetwork(nn.Module):
    """The network: item vectors and places in, one state per place out, logits over items from states."""

    def __init__(self, settings: SasrecSettings, table: ItemTable) -> None:
        """Build the layers around an item table."""
        super().__init__()
        self.settings, self.table = settings, table
        self.places = nn.Embedding(settings.max_history, settings.dimensions)
        nn.init.normal_(self.places.weight, std=0.02)
        self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.layers))
        self.norm = nn.LayerNorm(settings.dimensions)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)), requires_grad=settings.output == "cosine")

    def forward(self, items_BL: Tensor, vectors_ID: Tensor | None = None) -> Tensor:
        """Return the state after every place, (B, L, D).

        Args:
            items_BL: item numbers, oldest first, −1 for padding, which may stand left or right and changes nothing.
            vectors_ID: the item vectors, if they are at hand already.
        """
        vectors_ID = self.table() if vectors_ID is None else vectors_ID
        real_BL = items_BL >= 0
        place_BL = (real_BL.cumsum(1) - 1).clamp_min(0)
        hidden_BLD = F.embedding(items_BL.clamp_min(0), vectors_ID) * math.sqrt(self.settings.dimensions)
        hidden_BLD = F.dropout(hidden_BLD + self.places(place_BL), self.settings.dropout, self.training)
        visible_BLL = _visible(real_BL)
        for block in self.blocks:
            hidden_BLD = block(hidden_BLD, visible_BLL)
        states_BLD: Tensor = self.norm(hidden_BLD)
        return states_BLD

    def logits(self, states_TD: Tensor, vectors_ID: Tensor) -> Tensor:
        """Return logits, (T, I), of states over the given item vectors."""
        if self.settings.output == "dot":
            return states_TD @ vectors_ID.T
        cosine_TI = F.normalize(states_TD, dim=-1) @ F.normalize(vectors_ID, dim=-1).T
        return cosine_TI * self.log_scale.exp().clamp(max=100.0)


def _visible(real_BL: Tensor) -> Tensor:
    """A place sees itself and the real places before it; padding sees itself, so that no softmax is empty."""
    length = real_BL.shape[1]
    causal_LL = torch.ones(length, length, dtype=torch.bool, device=real_BL.device).tril()
    itself_LL = torch.eye(length, dtype=torch.bool, device=real_BL.device)
    return (causal_LL & real_BL[:, None, :]) | itself_LL


class Sasrec:
    """SASRec as a scorer; see the top of this file.

    Attributes:
        history: mean training loss and validation NDCG@10 of every epoch, after `fit`.
    """

    network: SasrecNetwork
    shares: NDArray[np.float32]

    def __init__(self, settings: SasrecSettings | None = None, device: str | None = None) -> None:
        """Keep the settings; `device` defaults to the GPU where there is one."""
        self.settings = settings or SasrecSettings()
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.history: list[dict[str, float]] = []

    def build(
        self,
        n_items: int,
        *,
        vectors: NDArray[np.floating[Any]] | None = None,
        neighbors: Neighbors | None = None,
    ) -> SasrecNetwork:
        """Make the untrained network on the device, seeded.

        Raises:
            DataError: the vectors or neighbours are not one row per item.
        """
        for name, given in (("text vectors", vectors), ("neighbours", neighbors)):
            if given is not None and len(given) != n_items:
                raise DataError(f"sasrec: {len(given):,} rows of {name} for {n_items:,} items; give one row per item")
        text_IF = None if vectors is None else torch.from_numpy(np.asarray(vectors, dtype=np.float32))
        neighbors_IK = None if neighbors is None else torch.from_numpy(neighbors.items.astype(np.int64))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.training.seed)
            table = ItemTable(n_items, self.settings.dimensions, text_IF, neighbors_IK)
            return SasrecNetwork(self.settings, table).to(self.device)

    @torch.inference_mode()
    def scores(self, histories: Sequences) -> NDArray[np.float32]:
        """Score every item for every history: float32 (rows, n_items); popularity where a history is empty."""
        self.network.eval()
        items_BL = histories.padded(min(self.settings.max_history, max(1, int(histories.lengths.max(initial=1)))))
        vectors_ID = self.network.table()
        states_BLD = self.network(torch.from_numpy(items_BL).long().to(self.device), vectors_ID)
        last_B = torch.from_numpy(np.maximum((items_BL >= 0).sum(axis=1) - 1, 0)).to(self.device)
        newest_BD = states_BLD[torch.arange(len(last_B), device=self.device), last_B]
        found: NDArray[np.float32] = self.network.logits(newest_BD, vectors_ID).float().cpu().numpy()
        return answer_newcomers(found, histories, self.shares)

    @torch.inference_mode()
    def item_vectors(self) -> NDArray[np.float32]:
        """Return the input item table without any pad row, float32 (n_items, D): what GRAM takes neighbours from."""
        vectors: NDArray[np.float32] = self.network.table().float().cpu().numpy()
        return vectors

    def save(self, folder: str | Path) -> None:
        """Write settings, weights and item features into the folder."""
        weights = {f"network.{name}": value.cpu().numpy() for name, value in self.network.state_dict().items()}
        save_fitted(folder, self.settings, shares=self.shares, **weights)

    @classmethod
    def load(cls, folder: str | Path, device: str | None = None) -> Self:
        """Read what `save` wrote; raises ArtifactError where it cannot."""
        settings, arrays = load_fitted(folder, SasrecSettings)
        model = cls(settings, device)
        try:
            model.shares = arrays.pop("shares")
            weights = {name.removeprefix("network."): torch.from_numpy(array) for name, array in arrays.items()}
            text, neighbors = weights.get("table.text"), weights.get("table.neighbors")
            table = ItemTable(len(model.shares), settings.dimensions, text, neighbors)
            model.network = SasrecNetwork(settings, table).to(model.device)
            model.network.load_state_dict(weights)
        except (KeyError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise ArtifactError(f"{folder}: the weights do not fit ({reason}); fit and save the model again") from None
        return model
