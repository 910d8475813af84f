"""Semantic IDs that somebody else made, such as MiniOneRec's, as residual codes."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from lexirec.core.config import DataPath
from lexirec.semantic_ids.identifiers.published import read_published_codes
from lexirec.semantic_ids.quantizers.base import Quantized, QuantizerInputs, QuantizerSettings
from lexirec.semantic_ids.quantizers.collisions import CollisionSettings


class PublishedCodes(QuantizerSettings):
    """Semantic IDs `<a_236><b_231><c_226>` that somebody else made, as residual codes."""

    needs: ClassVar[tuple[str, ...]] = ("catalog",)
    outside_the_key: ClassVar[tuple[str, ...]] = ("path",)
    kind: Literal["published"] = "published"
    path: DataPath
    """Parquet with `item_id` and a column of semantic IDs, MiniOneRec's index.json, or a text file."""
    column: str | None = None
    """The column of the semantic IDs, by default `sid`."""
    collisions: CollisionSettings = CollisionSettings()
    """What becomes of items that share one."""

    def needed(self) -> tuple[str, ...]:
        """Return what is read; vectors only where colliding items move by them."""
        return (*self.needs, "vectors") if self.collisions.rule in ("nearest-free", "sinkhorn") else self.needs

    def files(self) -> dict[str, Path]:
        """Return the file of the semantic IDs."""
        return {"published": self.path}

    def quantize(self, inputs: QuantizerInputs) -> Quantized:
        """Read the codes; raises DataError where the file does not fit the catalogue."""
        settled = read_published_codes(
            inputs.files["published"],
            inputs.catalog,
            column=self.column,
            collisions=self.collisions,
            vectors=inputs.vectors if "vectors" in self.needed() else None,
        )
        levels = settled.codes.levels - bool(settled.collisions.numbered)
        summary = [f"{name}: {value}" for name, value in settled.collisions.summary().items()]
        return Quantized(settled.codes, levels, summary=summary)
