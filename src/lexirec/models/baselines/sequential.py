"""Base classes of sequential baselines: item vectors, logits over the catalogue, scores, saving.

SASRec, GRU4Rec and HSTU differ only in how they turn a history into states; `sequential_training` trains all of them.

Shapes: B rows, L positions, D dimensions, I items, T targets, K neighbours, F features of a text vector.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypedDict, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from lexirec.core.config import Settings
from lexirec.core.errors import ArtifactError, DataError
from lexirec.data.neighbors import Neighbors
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases
from lexirec.models.baselines.base import (
    Baseline,
    BaselineInputs,
    BaselineSettings,
    answer_newcomers,
    load_fitted,
    save_fitted,
)
from lexirec.models.baselines.full_softmax import FullSoftmaxSettings
from lexirec.semantic_ids.quantizers.assignment import finite_matrix


class SequenceTrainingSettings(Settings):
    """Training of a sequential baseline."""

    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    epochs: int = Field(default=14, ge=1)
    batch_size: int = Field(default=128, ge=1)
    """Rows (users) a step; all places of a row are targets at once."""
    negatives: int = Field(default=0, ge=0)
    """0: softmax over the whole catalogue. n: over n sampled items, with logQ correction."""
    proposal: Literal["popularity", "uniform"] = "popularity"
    """Sampling distribution of negatives: popularity in the training part, or uniform (eSASRec)."""
    patience: int = Field(default=3, ge=1)
    """Epochs without a better validation NDCG@10 after which training stops."""
    validation_cases: int = Field(default=4000, ge=1)
    """Maximum number of validation cases that choose the epoch, a fixed sample."""
    seed: int = 0


class SequenceSettings(FullSoftmaxSettings):
    """Settings of all sequential networks and their training."""

    output: Literal["dot", "cosine"] = "cosine"
    """Logits are dot products, or cosines divided by a learned temperature."""
    dimensions: int = Field(default=64, ge=1)
    layers: int = Field(default=2, ge=1)
    dropout: float = Field(default=0.4, ge=0, lt=1)
    max_history: int = Field(default=20, ge=1)
    """Newest items of a history that are read."""
    training: SequenceTrainingSettings = SequenceTrainingSettings()


class AttentionSettings(SequenceSettings):
    """Settings of networks with attention heads."""

    heads: int = Field(default=2, ge=1)

    @model_validator(mode="after")
    def _heads_divide_dimensions(self) -> Self:
        if self.dimensions % self.heads:
            raise ValueError(f"dimensions = {self.dimensions} cannot be shared out evenly among heads = {self.heads}")
        return self


class ItemTable(nn.Module):
    """Item vectors (no pad row): a learned row per item, a linear map of its text vector, its neighbours' mean."""

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
    # missing neighbours (−1) index one extra row, which the mean leaves out
    n_items = len(vectors_ID)
    with_pad = torch.cat([vectors_ID, vectors_ID.new_zeros(1, vectors_ID.shape[1])])
    indices_IK = torch.where(neighbors < 0, n_items, neighbors)
    return F.embedding_bag(indices_IK, with_pad, mode="mean", padding_idx=n_items)


class SequenceNetwork(nn.Module, ABC):
    """A network from item numbers to one state per position, and from states to logits over items."""

    def __init__(self, settings: SequenceSettings, table: ItemTable) -> None:
        """Hold the item table and the temperature."""
        super().__init__()
        self.table, self.dropout, self.cosine = table, settings.dropout, settings.output == "cosine"
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)), requires_grad=self.cosine)

    @abstractmethod
    def forward(self, items_BL: Tensor, vectors_ID: Tensor | None = None) -> Tensor:
        """Return the state after every position, (B, L, D).

        Args:
            items_BL: item numbers, oldest first, −1 for padding on the right.
            vectors_ID: the item vectors, if they are computed already.
        """

    def entered(self, items_BL: Tensor, vectors_ID: Tensor | None) -> Tensor:
        """Return the vectors of the items, scaled to length about 1 at the start: (B, L, D)."""
        vectors_ID = self.table() if vectors_ID is None else vectors_ID
        return F.embedding(items_BL.clamp_min(0), vectors_ID) * math.sqrt(vectors_ID.shape[1])

    def logits(self, states_TD: Tensor, vectors_ID: Tensor) -> Tensor:
        """Return logits, (T, I), of states over the given item vectors."""
        if not self.cosine:
            return states_TD @ vectors_ID.T
        cosine_TI = F.normalize(states_TD, dim=-1) @ F.normalize(vectors_ID, dim=-1).T
        return cosine_TI * self.log_scale.exp().clamp(max=100.0)


class BlockNetwork(SequenceNetwork):
    """Item vectors plus learned positions, read by blocks of causal attention; padding may be left or right."""

    def __init__(self, settings: AttentionSettings, table: ItemTable, block: Callable[[], nn.Module]) -> None:
        """Build positions and layers around an item table.

        Args:
            settings: the network's.
            table: of the items.
            block: makes a layer, called with (B, L, D) and the attention mask, bool (B, L, L).
        """
        super().__init__(settings, table)
        self.places = nn.Embedding(settings.max_history, settings.dimensions)
        nn.init.normal_(self.places.weight, std=0.02)
        self.blocks = nn.ModuleList(block() for _ in range(settings.layers))
        self.norm = nn.LayerNorm(settings.dimensions)

    def forward(self, items_BL: Tensor, vectors_ID: Tensor | None = None) -> Tensor:
        """Return the state after every position, (B, L, D); see `SequenceNetwork.forward`."""
        real_BL = items_BL >= 0
        # positions count real items only, so that left and right padding give the same states
        place_BL = (real_BL.cumsum(1) - 1).clamp_min(0)
        hidden_BLD = self.entered(items_BL, vectors_ID) + self.places(place_BL)
        hidden_BLD = F.dropout(hidden_BLD, self.dropout, self.training)
        visible_BLL = _visible(real_BL)
        for block in self.blocks:
            hidden_BLD = block(hidden_BLD, visible_BLL)
        states_BLD: Tensor = self.norm(hidden_BLD)
        return states_BLD


def _visible(real_BL: Tensor) -> Tensor:
    """Return the mask (B, L, L): a position sees itself and real ones before it; padding sees itself, against NaN."""
    length = real_BL.shape[1]
    causal_LL = torch.ones(length, length, dtype=torch.bool, device=real_BL.device).tril()
    itself_LL = torch.eye(length, dtype=torch.bool, device=real_BL.device)
    return (causal_LL & real_BL[:, None, :]) | itself_LL


class FitOptions(TypedDict, total=False):
    """Options of `SequenceScorer.fit` besides the training rows; see `sequential_training.fit_sequences`."""

    validation: Cases | None
    vectors: NDArray[np.floating[Any]] | None
    neighbors: Neighbors | None
    progress: Path | None


class SequenceScorer(Baseline):
    """A sequential network as a scorer; subclasses name their settings and make the network.

    Attributes:
        history: mean training loss and validation NDCG@10 of every epoch, after training.
    """

    label: ClassVar[str]
    """Name in messages."""
    settings_class: ClassVar[type[BaselineSettings]]
    logits: ClassVar[bool] = True  # scores are logits of a softmax over items
    settings: SequenceSettings
    network: SequenceNetwork
    shares: NDArray[np.float32]

    def __init__(self, settings: BaselineSettings | None = None, device: str | None = None) -> None:
        """Keep the settings; `device` defaults to the GPU where there is one."""
        super().__init__(settings)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.history: list[dict[str, float]] = []

    @abstractmethod
    def make(self, table: ItemTable) -> SequenceNetwork:
        """Return the untrained network around an item table."""

    def fit(self, train: Sequences, n_items: int, **options: Unpack[FitOptions]) -> Self:
        """Train the network; see `sequential_training.fit_sequences`."""
        from lexirec.models.baselines.sequential_training import fit_sequences  # what ranks needs no training loop

        return fit_sequences(self, train, n_items, **options)

    @classmethod
    def fitted(cls, settings: Any, inputs: BaselineInputs) -> Self:
        """Return a network trained on the training rows; validation cases choose the epoch."""
        scorer = cls(settings)
        return scorer.fit(inputs.train, inputs.n_items, validation=inputs.validation, progress=inputs.progress)

    def build(
        self,
        n_items: int,
        *,
        vectors: NDArray[np.floating[Any]] | None = None,
        neighbors: Neighbors | None = None,
    ) -> SequenceNetwork:
        """Make the untrained network on the device, seeded.

        Raises:
            DataError: the vectors or neighbours are not one row per item, or a vector is not finite.
        """
        for name, rows in (("text vectors", vectors), ("neighbours", neighbors)):
            if rows is not None and len(rows) != n_items:
                raise DataError(
                    f"{self.label}: {len(rows):,} rows of {name} for {n_items:,} items; give one row per item"
                )
        text_IF = None if vectors is None else torch.from_numpy(finite_matrix(vectors))
        neighbors_IK = None if neighbors is None else torch.from_numpy(neighbors.items.astype(np.int64))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.training.seed)
            return self.make(ItemTable(n_items, self.settings.dimensions, text_IF, neighbors_IK)).to(self.device)

    @torch.inference_mode()
    def scores(self, histories: Sequences) -> NDArray[np.float32]:
        """Score every item for every history: float32 (rows, n_items); popularity where a history is empty."""
        histories.check(len(self.shares))
        items_BL = histories.padded(min(self.settings.max_history, max(1, int(histories.lengths.max(initial=1)))))
        vectors_ID = self.network.eval().table()
        states_BLD = self.network(torch.from_numpy(items_BL).long().to(self.device), vectors_ID)
        # right-padded: the newest real item of each row is at its length − 1
        last_B = torch.from_numpy(np.maximum((items_BL >= 0).sum(axis=1) - 1, 0)).to(self.device)
        newest_BD = states_BLD[torch.arange(len(last_B), device=self.device), last_B]
        logits_of_rows: NDArray[np.float32] = self.network.logits(newest_BD, vectors_ID).float().cpu().numpy()
        return answer_newcomers(logits_of_rows, histories, self.shares)

    @torch.inference_mode()
    def item_vectors(self) -> NDArray[np.float32]:
        """Return the item vectors, float32 (n_items, D), from which GRAM's neighbours are computed."""
        vectors: NDArray[np.float32] = self.network.table().float().cpu().numpy()
        return vectors

    def save(self, folder: str | Path) -> None:
        """Write settings, weights and item features into the folder."""
        weights = {f"network.{name}": value.cpu().numpy() for name, value in self.network.state_dict().items()}
        save_fitted(folder, self.settings, shares=self.shares, **weights)

    @classmethod
    def load(cls, folder: str | Path, device: str | None = None) -> Self:
        """Read what `save` wrote; raises ArtifactError where it cannot."""
        settings, arrays = load_fitted(folder, cls.settings_class)
        model = cls(settings, device)
        try:
            model.shares = arrays.pop("shares")
            weights = {name.removeprefix("network."): torch.from_numpy(array) for name, array in arrays.items()}
            text, neighbors = weights.get("table.text"), weights.get("table.neighbors")
            table = ItemTable(len(model.shares), model.settings.dimensions, text, neighbors)
            model.network = model.make(table).to(model.device)
            model.network.load_state_dict(weights)
        except (KeyError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise ArtifactError(f"{folder}: the weights do not fit ({reason}); fit and save the model again") from None
        return model
