"""Codebook: a fitted quantiser's codes as points, which assigns codes to the items of any catalogue."""

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
    """A multi-layer perceptron in numpy: linear layers with ReLU between them.

    Attributes:
        layers: Weights (out, in) and biases (out,) of each layer.
        skip: Whether the input is added to the output.
    """

    layers: tuple[Layer, ...]
    skip: bool = False

    def __call__(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the outputs of rows (n, in): float32 (n, out)."""
        outputs = rows
        for number, (weight, bias) in enumerate(self.layers):
            outputs = (np.maximum(outputs, np.float32(0)) if number else outputs) @ weight.T + bias
        return outputs + rows if self.skip else outputs


@dataclass(frozen=True, eq=False)
class Space:
    """Map between vectors and the space of the codes: shift, scale and, for RQ-VAE, an encoder.

    Attributes:
        shift: float32 (d,), subtracted from vectors.
        scale: Factor after the shift.
        encoder: From d dimensions to those of the codes; None where the codes are in the space of the vectors.
        decoder: The inverse of the encoder, approximately.
    """

    shift: NDArray[np.float32]
    scale: float = 1.0
    encoder: Mlp | None = None
    decoder: Mlp | None = None

    @classmethod
    def plain(cls, dimensions: int) -> Space:
        """Return the identity: codes in the space of the vectors."""
        return cls(np.zeros(dimensions, dtype=np.float32))

    def encode(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map vectors (n, d) into the space of the codes: float32 (n, width)."""
        scaled = (vectors - self.shift) * np.float32(self.scale)
        return scaled if self.encoder is None else self.encoder(scaled)

    def decode(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map points in the space of the codes (n, width) back to vectors: float32 (n, d)."""
        scaled = points if self.decoder is None else self.decoder(points)
        return scaled / np.float32(self.scale) + self.shift


@dataclass(frozen=True, eq=False)
class Codebook:
    """The codes of every level as points, and the map from vectors to their space.

    Attributes:
        space: Map between vectors and the space of the codes.
        centroids: The codes of each level, float32 (codes, width).
        quantized: Codes and report of the catalogue that the codebook was fitted on or last applied to. Not saved.
    """

    space: Space
    centroids: tuple[NDArray[np.float32], ...]
    quantized: tuple[Settled, QuantizerReport] | None = None

    @property
    def levels(self) -> int:
        """Number of levels, without the one added by a collision rule."""
        return len(self.centroids)

    @property
    def codes(self) -> Codes:
        """The codes of the catalogue's items, of kind `residual`, after the collision rule.

        Raises:
            ArtifactError: the codebook was loaded from a file, which holds no codes of items.
        """
        return self._quantized[0].codes

    @property
    def report(self) -> QuantizerReport:
        """Report on the use of the codes; raises as `codes` does."""
        return self._quantized[1]

    def assign(self, vectors: NDArray[np.floating]) -> NDArray[np.int32]:
        """Return the nearest code of each level for vectors (n, d) of any catalogue: int32 (n, levels).

        Items may share all their codes; `apply` also resolves collisions.

        Raises:
            DataError: the vectors are not a finite matrix of the codebook's width.
        """
        vectors = finite_matrix(vectors, len(self.space.shift))
        values = np.empty((len(vectors), self.levels), dtype=np.int32)
        for block in blocks(len(vectors), vectors.shape[1]):
            # residual quantisation: each level codes what the levels before have left
            rest = self.space.encode(vectors[block])
            for level, codes in enumerate(self.centroids):
                values[block, level] = nearest_codes(rest, codes)
                rest = rest - codes[values[block, level]]
        return values

    def reconstruct(self, values: NDArray[np.int32]) -> NDArray[np.float32]:
        """Reconstruct vectors from codes (n, at least levels): float32 (n, d)."""
        return self.space.decode(self._points(values, self.levels))

    def apply(
        self,
        vectors: NDArray[np.floating],
        collisions: CollisionSettings | None = None,
        *,
        values: NDArray[np.int32] | None = None,
    ) -> Codebook:
        """Return this codebook with the codes of these vectors, after the collision rule, and their report.

        A second catalogue thus gets its codes from the quantiser of a first one.

        Args:
            vectors: (n, d), of the catalogue's items.
            collisions: The rule; by default an additional level.
            values: int32 (n, levels), codes not chosen by `assign`, such as balanced ones.

        Raises:
            DataError: the vectors are not a finite matrix of the codebook's width, or the codes are not its codes.
        """
        vectors = finite_matrix(vectors, len(self.space.shift))
        chosen = self.assign(vectors) if values is None else self._checked(values, len(vectors))
        points = self.space.encode(vectors)
        rest = points - self._points(chosen, self.levels - 1)
        settled = settle(chosen, collisions, LastLevel(rest, self.centroids[-1]))
        return replace(self, quantized=(settled, self._describe(vectors, points, settled)))

    def save(self, folder: str | Path) -> None:
        """Write `codebook.safetensors` into an existing folder, without the codes of items."""
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
        """Read a codebook from `save`; it has no `codes` until it is applied to vectors.

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
            raise ArtifactError("this codebook holds no codes of items; apply it to vectors, or load the codes")
        return self.quantized

    def _checked(self, values: NDArray[np.int32], items: int) -> NDArray[np.int32]:
        checked = Codes(values, "residual").values
        sizes = [len(codes) for codes in self.centroids]
        if checked.shape != (items, self.levels) or (checked.max(axis=0) >= sizes).any():
            raise DataError(
                f"codes have shape {checked.shape} and go up to {checked.max(axis=0).tolist()}; the codebook has "
                f"{sizes} codes at its {self.levels} levels, and there are {items} vectors"
            )
        return checked

    def _points(self, values: NDArray[np.int32], levels: int) -> NDArray[np.float32]:
        """Return the sums of the first levels' codes: float32 (n, width)."""
        sums = np.zeros((len(values), self.centroids[0].shape[1]), dtype=np.float32)
        for level in range(levels):
            sums += self.centroids[level][values[:, level]]
        return sums

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
