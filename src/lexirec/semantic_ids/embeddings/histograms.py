"""Histograms of pictures: item vectors by numpy and Pillow alone, without a model to download.

`ColorHistogram` sees colours and roughly where they are; `EdgeHistogram` sees shapes and no colours. Both reduce a
picture to 64 × 64 pixels and take square roots of shares, so that the cosine of two vectors is the Bhattacharyya
coefficient of their histograms. They tell alike pictures from others, but know nothing of what pictures show.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

_SIDE = 64


class _Histogram(ABC):
    """Encodes pictures one by one; their vectors have length 1, or are zero where there is nothing to count."""

    @abstractmethod
    def prepare(self, picture: Image) -> NDArray[np.float32]:
        """Return the vector of an RGB picture: float32 (d,)."""

    def encode(self, prepared: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the vectors of prepared pictures: float32 (n, d)."""
        return np.stack(prepared)


class ColorHistogram(_Histogram):
    """Colours in the whole picture, in its quarters and in its sixteenths: 1,344 dimensions.

    Red, green and blue have 4 steps each, and the 64 colours are counted jointly.

    Source: joint colour histograms (Swain and Ballard, IJCV 1991) in a spatial pyramid (Lazebnik et al., CVPR 2006),
    with equal weights per level here.
    """

    steps, grids = 4, (1, 2, 4)

    def prepare(self, picture: Image) -> NDArray[np.float32]:
        """Return the colour histogram of an RGB picture: float32 (1344,), of length 1."""
        red, green, blue = np.moveaxis(_pixels(picture).astype(np.int64) * self.steps // 256, 2, 0)
        colours, number = (red * self.steps + green) * self.steps + blue, self.steps**3
        counts = [_counts(colours, number, grid) for grid in self.grids]
        return _rooted(np.concatenate(counts) / (colours.size * len(counts)))


class EdgeHistogram(_Histogram):
    """Directions of edges in 8 × 8 parts of the picture: 576 dimensions.

    An edge counts by the largest of the three colours' gradients there, in one of 9 directions; light against dark and
    dark against light are one direction.

    Source: histograms of oriented gradients (Dalal and Triggs, CVPR 2005), without interpolation between cells and
    normalised over the whole picture instead of blocks.
    """

    directions, grid = 9, 8

    def prepare(self, picture: Image) -> NDArray[np.float32]:
        """Return the edge histogram of an RGB picture: float32 (576,), of length 1, or zeros for one plain colour."""
        down, right = np.gradient(_pixels(picture).astype(np.float64), axis=(0, 1))
        strongest = (down**2 + right**2).argmax(axis=2)[..., None]
        y, x = (np.take_along_axis(each, strongest, axis=2)[..., 0] for each in (down, right))
        direction = (np.arctan2(y, x) % np.pi * (self.directions / np.pi)).astype(np.int64) % self.directions
        counts = _counts(direction, self.directions, self.grid, np.hypot(x, y))
        return _rooted(counts / max(counts.sum(), 1e-12))


HISTOGRAMS: dict[str, type[_Histogram]] = {"color-histogram": ColorHistogram, "edge-histogram": EdgeHistogram}
"""Histograms by their names where others have the name of a model."""


def _rooted(shares: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(np.sqrt(shares), dtype=np.float32)


def _pixels(picture: Image) -> NDArray[np.uint8]:
    from PIL import Image

    return np.asarray(picture.resize((_SIDE, _SIDE), Image.Resampling.BOX))


def _counts(
    classes: NDArray[np.int64], number: int, grid: int, weights: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Count the classes of pixels (side, side) in each part of a grid: (grid · grid · number,)."""
    part = np.arange(_SIDE) * grid // _SIDE
    cells = (part[:, None] * grid + part) * number + classes
    return np.bincount(cells.ravel(), None if weights is None else weights.ravel(), grid * grid * number).astype(
        np.float64
    )
