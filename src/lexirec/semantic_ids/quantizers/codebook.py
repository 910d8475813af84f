"""Codebook: what a fitted quantiser knows, so that the items of any catalogue can be given codes."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from lexirec.core.errors import ArtifactError, DataError
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.quantizers.assignment import blocks, finite_matrix, nearest_codes
from lexirec.semantic_ids.quantizers.base import Quantized
from lexirec.semantic_ids.quantizers.collisions import CollisionSettings, LastLevel, Settled, settle
from lexirec.semantic_ids.quantizers.report import LevelUse, QuantizerReport

FILE = "codebook.safetensors"
_FORM = "lexirec codebook 1"
Layer = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Mlp:
    """Linear layers with ReLU between them.

    Attributes:
        layers: Weights (out, in) and biases (out,) of each layer.
        skip: Whether the input is added to the output.
    """

    layers: tuple[Layer, ...]
    skip: bool = False

    def __call__(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the outputs of rows (n, in): float32 (n, out)."""
        found = rows
        for place, (weight, bias) in enumerate(self.layers):
            found = (np.maximum(found, np.float32(0)) if place else found) @ weight.T + bias
        return found + rows if self.skip else found


@dataclass(frozen=True, eq=False)
class Space:
    """Where codes live: vectors are shifted, scaled and, by RQ-VAE, encoded before they are quantised.

    Attributes:
        shift: float32 (d,), subtracted from vectors.
        scale: What the rest is multiplied by.
        encoder: From d dimensions to those of the codes; none where the codes live among the vectors themselves.
        decoder: The way back.
    """

    shift: NDArray[np.float32]
    scale: float = 1.0
    encoder: Mlp | None = None
    decoder: Mlp | None = None

    @classmethod
    def plain(cls, dimensions: int) -> Space:
        """Return the space of vectors as they are."""
        return cls(np.zeros(dimensions, dtype=np.float32))

    def encode(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return vectors (n, d) as points among the codes: float32 (n, width)."""
        scaled = (vectors - self.shift) * np.float32(self.scale)
        return scaled if self.encoder is None else self.encoder(scaled)

    def decode(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return points among the codes (n, width) as vectors: float32 (n, d)."""
        scaled = points if self.decoder is None else self.decoder(points)
        return scaled / np.float32(self.scale) + self.shift


@dataclass(frozen=True, eq=False)
class Codebook:
    """The codes of every level as points, and the way from vectors to them.

    Attributes:
        space: Where the codes live.
        centroids: The codes of each level, float32 (codes, width).
        quantized: Codes and report of a catalogue: the one it was fitted on, or was applied to last. Not saved.
    """

    space: Space
    centroids: tuple[NDArray[np.float32], ...]
    quantized: tuple[Settled, QuantizerReport] | None = None

    @property
    def levels(self) -> int:
        """Number of levels, without one that a collision rule added."""
        return len(self.centroids)

    @property
    def codes(self) -> Codes:
        """The codes of the catalogue's items, of kind `residual`, after the collision rule.

        Raises:
            ArtifactError: the codebook was loaded; codes are stored apart from it.
        """
        return self._quantized[0].codes

    @property
    def report(self) -> QuantizerReport:
        """How well the codes are used; raises as `codes` does."""
        return self._quantized[1]

    def assign(self, vectors: NDArray[np.floating]) -> NDArray[np.int32]:
        """Return the nearest code of each level for vectors (n, d) of any catalogue: int32 (n, levels).

        Items may share all their codes; `apply` lets them have their own.

        Raises:
            DataError: the vectors are not a finite matrix of the codebook's width.
        """
        vectors = finite_matrix(vectors, len(self.space.shift))
        values = np.empty((len(vectors), self.levels), dtype=np.int32)
        for block in blocks(len(vectors), vectors.shape[1]):
            rest = self.space.encode(vectors[block])
            for level, codes in enumerate(self.centroids):
                values[block, level] = nearest_codes(rest, codes)
                rest = rest - codes[values[block, level]]
        return values

    def reconstruct(self, values: NDArray[np.int32]) -> NDArray[np.float32]:
        """Return the vectors that codes (n, at least levels) stand for: float32 (n, d)."""
        return self.space.decode(self._points(values, self.levels))

    def apply(
        self,
        vectors: NDArray[np.floating],
        collisions: CollisionSettings | None = None,
        *,
        values: NDArray[np.int32] | None = None,
    ) -> Codebook:
        """Return the same codebook with the codes of these vectors, after the collision rule, and their report.

        So a second catalogue gets its codes from the quantiser of a first one.

        Args:
            vectors: (n, d), of the catalogue's items.
            collisions: The rule; by default a further level.
            values: int32 (n, levels), codes chosen otherwise than by `assign`, such as balanced ones.

        Raises:
            DataError: the vectors are not a finite matrix of the codebook's width, or the codes none of its codes.
        """
        vectors = finite_matrix(vectors, len(self.space.shift))
        chosen = self.assign(vectors) if values is None else self._checked(values, len(vectors))
        points = self.space.encode(vectors)
        rest = points - self._points(chosen, self.levels - 1)
        settled = settle(chosen, collisions, LastLevel(rest, self.centroids[-1]))
        return replace(self, quantized=(settled, self._describe(vectors, points, settled)))

    def save(self, folder: str | Path) -> None:
        """Write `codebook.safetensors` into an existing folder; the codes are no part of it."""
        tensors = {"shift": self.space.shift, "scale": np.array([self.space.scale])}
        tensors |= {f"centroids.{level}": codes for level, codes in enumerate(self.centroids)}
        layout: dict[str, object] = {"levels": self.levels}
        for name, mlp in (("encoder", self.space.encoder), ("decoder", self.space.decoder)):
            if mlp is not None:
                layout[name] = {"layers": len(mlp.layers), "skip": mlp.skip}
                for place, (weight, bias) in enumerate(mlp.layers):
                    tensors |= {f"{name}.{place}.weight": weight, f"{name}.{place}.bias": bias}
        kept = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
        save_file(kept, Path(folder) / FILE, metadata={"form": _FORM, "layout": json.dumps(layout)})

    @classmethod
    def load(cls, folder: str | Path) -> Codebook:
        """Read what `save` wrote; it has no `codes` until it is applied to vectors.

        Raises:
            ArtifactError: the file is missing or is not what `save` writes.
        """
        path = Path(folder) / FILE
        try:
            with safe_open(path, framework="numpy") as stored:
                metadata = stored.metadata() or {}
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        except FileNotFoundError:
            raise ArtifactError(f"there is no codebook in {path.parent}: {path.name} is missing") from None
        except (OSError, SafetensorError) as error:
            raise ArtifactError(f"{path} is damaged ({error}); fit the codebook again") from None
        if metadata.get("form") != _FORM:
            raise ArtifactError(f"{path} holds no codebook written by lexirec; fit it again")
        layout = json.loads(metadata["layout"])
        encoder, decoder = (_read_mlp(name, layout.get(name), tensors) for name in ("encoder", "decoder"))
        space = Space(tensors["shift"], float(tensors["scale"][0]), encoder, decoder)
        return cls(space, tuple(tensors[f"centroids.{level}"] for level in range(layout["levels"])))

    def quantized_items(self) -> Quantized:
        """Return the codes of the items it was fitted on, with the codebook; raises as `codes` does."""
        summary = [f"{name}: {value}" for name, value in self.report.summary().items()]
        return Quantized(self.codes, self.levels, self, summary)

    @property
    def _quantized(self) -> tuple[Settled, QuantizerReport]:
        if self.quantized is None:
            raise ArtifactError("this codebook has no codes of its own; apply it to vectors, or load the codes")
        return self.quantized

    def _checked(self, values: NDArray[np.int32], items: int) -> NDArray[np.int32]:
        found = Codes(values, "residual").values
        sizes = [len(codes) for codes in self.centroids]
        if found.shape != (items, self.levels) or (found.max(axis=0) >= sizes).any():
            raise DataError(
                f"codes of shape {found.shape}, up to {found.max(axis=0).tolist()}; the codebook has {sizes} codes at "
                f"its {self.levels} levels, and there are {items} vectors"
            )
        return found

    def _points(self, values: NDArray[np.int32], levels: int) -> NDArray[np.float32]:
        """Return the sums of the first levels' codes: float32 (n, width)."""
        found = np.zeros((len(values), self.centroids[0].shape[1]), dtype=np.float32)
        for level in range(levels):
            found += self.centroids[level][values[:, level]]
        return found

    def _describe(self, vectors: NDArray[np.float32], points: NDArray[np.float32], settled: Settled) -> QuantizerReport:
        values = settled.codes.values
        rest = [_spread(points - self._points(values, level + 1)) for level in range(self.levels)]
        left = np.array(rest) / max(_spread(points - points.mean(axis=0)), 1e-30)
        sizes = [len(codes) for codes in self.centroids]
        counts = [np.bincount(values[:, level], minlength=size) for level, size in enumerate(sizes)]
        lost = _spread(vectors - self.reconstruct(values)) / max(_spread(vectors - vectors.mean(axis=0)), 1e-30)
        levels = [LevelUse.of(level, count, float(left[level])) for level, count in enumerate(counts)]
        return QuantizerReport(tuple(levels), settled.collisions, lost)


def _spread(rows: NDArray[np.float32]) -> float:
    return float((rows.astype(np.float64) ** 2).sum())


def _read_mlp(name: str, layout: dict[str, int] | None, tensors: dict[str, NDArray[np.float32]]) -> Mlp | None:
    if layout is None:
        return None
    places = range(layout["layers"])
    layers = tuple((tensors[f"{name}.{place}.weight"], tensors[f"{name}.{place}.bias"]) for place in places)
    return Mlp(layers, bool(layout["skip"]))
