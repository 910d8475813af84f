"""Quantiser report: use of each level's codes, collisions and reconstruction error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lexirec.semantic_ids.quantizers.collisions import Collisions

Row = dict[str, int | float]


@dataclass(frozen=True, eq=False)
class LevelUse:
    """Use of the codes of a level.

    Attributes:
        level: From 1.
        counts: int64 (codes,), items of each code, in descending order.
        residual: Share of the variance in the space of the codes that remains after this level; 1 is all of it.
    """

    level: int
    counts: NDArray[np.int64]
    residual: float

    @classmethod
    def of(cls, level: int, counts: NDArray[np.integer], residual: float) -> LevelUse:
        """Describe a level (from 0) by the number of items of each of its codes, unused ones included."""
        return cls(level + 1, np.sort(counts)[::-1].astype(np.int64), residual)

    @property
    def used(self) -> int:
        """Codes with at least one item."""
        return int((self.counts > 0).sum())

    @property
    def entropy(self) -> float:
        """Entropy of the items over the codes, in bits; log2 of the number of codes for equal use."""
        shares = self.counts[self.counts > 0] / self.counts.sum()
        return float(-(shares * np.log2(shares)).sum()) + 0.0

    @property
    def perplexity(self) -> float:
        """Number of equally used codes with the same entropy."""
        return float(2**self.entropy)

    @property
    def gini(self) -> float:
        """Gini coefficient of use over all codes: 0 for equal use, near 1 where one code has all items."""
        n, rising = len(self.counts), self.counts[::-1]
        return float((2 * np.arange(1, n + 1) - n - 1) @ rising / (n * rising.sum()))

    def row(self) -> Row:
        """Return the figures as a row of a table."""
        return {
            "level": self.level,
            "codes": len(self.counts),
            "used": self.used,
            "largest": int(self.counts[0]),
            "entropy": self.entropy,
            "perplexity": self.perplexity,
            "gini": self.gini,
            "residual": self.residual,
        }


@dataclass(frozen=True, eq=False)
class QuantizerReport:
    """Quality of a quantiser's codes for a catalogue.

    Attributes:
        levels: Use of each level's codes, without the level added by a collision rule.
        collisions: Items that share all their codes, before and after the collision rule.
        reconstruction_error: Share of the vectors' variance lost in reconstruction from codes: 0 is perfect, 1 equals
            the mean vector.
    """

    levels: tuple[LevelUse, ...]
    collisions: Collisions
    reconstruction_error: float

    def rows(self) -> list[Row]:
        """Return the levels as rows of a table."""
        return [level.row() for level in self.levels]

    def summary(self) -> dict[str, str]:
        """Return the figures about all levels as labelled phrases."""
        used = " / ".join(f"{level.used:,} of {len(level.counts):,}" for level in self.levels)
        return {
            "items": f"{self.collisions.before.total:,}",
            "codes used per level": used,
            **self.collisions.summary(),
            "variance lost by the codes": f"{self.reconstruction_error:.1%}",
        }
