"""Base class of quantisers: settings with a method that assigns codes to the items of a catalogue."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lexirec.core.registry import PartSettings
from lexirec.semantic_ids.codes import Codes

if TYPE_CHECKING:
    from lexirec.data.catalog import Catalog
    from lexirec.semantic_ids.quantizers.codebook import Codebook


@dataclass(frozen=True)
class QuantizerInputs:
    """Inputs of a quantiser, read on first use, so that unneeded ones are never read.

    Attributes:
        readers: Functions that read `catalog`, `vectors` and `collaborative`, where available.
        files: External files by name, as in `QuantizerSettings.files`.
        progress: Folder of checkpoints, from which an interrupted fit resumes.
    """

    readers: Mapping[str, Callable[[], Any]]
    files: Mapping[str, Path] = field(default_factory=dict)
    progress: Path | None = None

    @property
    def catalog(self) -> Catalog:
        """The items."""
        catalog: Catalog = self.readers["catalog"]()
        return catalog

    @property
    def vectors(self) -> NDArray[np.float32]:
        """The items' vectors: float32 (n_items, d)."""
        vectors: NDArray[np.float32] = self.readers["vectors"]()
        return vectors

    @property
    def collaborative(self) -> NDArray[np.float32]:
        """Item embeddings of a SASRec trained on the training part: float32 (n_items, c)."""
        vectors: NDArray[np.float32] = self.readers["collaborative"]()
        return vectors


@dataclass(frozen=True, eq=False)
class Quantized:
    """The codes of a catalogue's items.

    Attributes:
        codes: Of every item.
        semantic_levels: Levels without the one that only resolves collisions; None for trees, whose cells are prefixes.
        codebook: Assigns codes to further catalogues; None where the quantiser has none.
        summary: Lines about the codes for the report; by default the cells of every level.
    """

    codes: Codes
    semantic_levels: int | None = None
    codebook: Codebook | None = None
    summary: Sequence[str] = ()


class QuantizerSettings(PartSettings):
    """Settings of a quantiser, and the quantiser itself.

    `needs` may name `catalog`, `vectors` and `collaborative` (the item vectors of a SASRec on the training part).
    """

    needs: ClassVar[tuple[str, ...]] = ("vectors",)
    usual_identifiers: ClassVar[str] = "codes"
    """Default kind of identifiers for such codes in an experiment."""

    @abstractmethod
    def quantize(self, inputs: QuantizerInputs) -> Quantized:
        """Return the codes of the items; deterministic for given inputs and settings."""
