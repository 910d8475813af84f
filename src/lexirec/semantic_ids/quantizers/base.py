"""The base class of quantisers: settings that give the items of a catalogue their codes."""

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
    """What a quantiser can read; what is not needed is never read.

    Attributes:
        readers: How `catalog`, `vectors` and `collaborative` are read, those there are.
        files: Files from outside by name, as `QuantizerSettings.files` names them.
        progress: A folder from which a killed fit carries on.
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
        """Vectors of who buys what, of a SASRec on the training part: float32 (n_items, c)."""
        vectors: NDArray[np.float32] = self.readers["collaborative"]()
        return vectors


@dataclass(frozen=True, eq=False)
class Quantized:
    """The codes of a catalogue's items.

    Attributes:
        codes: Of every item.
        semantic_levels: Levels that mean something, without the one that only tells colliding items apart; None for
            trees, whose cells are prefixes.
        codebook: What gives codes to further catalogues, where there is such a thing.
        summary: What is said about the codes, a line each; by default the cells of every level.
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
    """The kind of identifiers that an experiment takes for such codes unless it says otherwise."""

    @abstractmethod
    def quantize(self, inputs: QuantizerInputs) -> Quantized:
        """Give the items their codes; equal inputs and settings give equal codes."""
