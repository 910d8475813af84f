"""Vectors and neighbours of items in the spaces of the items that a recommender was trained with."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog
from lexirec.data.neighbors import Neighbors, top_k
from lexirec.models.extension.artifacts import Artifacts
from lexirec.semantic_ids.embeddings.vector_files import concatenate, normalized, read_vectors
from lexirec.semantic_ids.embeddings.word_space import WordSpace

_log = logging.getLogger(__name__)
_BLOCK = 256


@dataclass(frozen=True, eq=False)
class ItemEncoder:
    """Frozen embedders of one recommender's items.

    Attributes:
        artifacts: What its stages stored.
        files: Vector files of added items by the name of their source, for sources that were read from a file.
    """

    artifacts: Artifacts
    files: Mapping[str, str]

    def vectors(self, catalog: Catalog) -> NDArray[np.float32]:
        """Return vectors of the items of a catalogue, all sources joined: float32 (n_items, d).

        Items that are as they were when the recommender was trained keep their stored vectors. Collaborative vectors of
        other items are zero, because no event is known of them. Without any source, items are embedded by the words of
        their texts, with weights of the trained items.

        Raises:
            DataError: a source is a file, and none is given for the new items.
        """
        base = self.artifacts.catalog
        before = self.artifacts.vectors
        if before is None:
            return normalized(self._usual.embed(catalog.texts()))
        places = base.find(catalog.item_ids)
        known = np.flatnonzero(places >= 0)
        texts, now = base.take(places[known]).texts(), catalog.take(known).texts()
        same = known[np.array([old == new for old, new in zip(texts, now, strict=True)], dtype=np.bool_)]
        vectors = np.zeros((len(catalog), before.shape[1]), dtype=np.float32)
        vectors[same] = before[places[same]]
        others = np.setdiff1d(np.arange(len(catalog)), same)
        if len(others):
            rows = catalog.take(others)
            vectors[others] = concatenate([self._source(name, rows, places[others]) for name in self.artifacts.sources])
        return vectors

    def trained_vectors(self) -> NDArray[np.float32]:
        """Return the vectors of the items that the recommender was trained with: float32 (n_items, d)."""
        before = self.artifacts.vectors
        return normalized(self._usual.embed(self.artifacts.catalog.texts())) if before is None else before

    @cached_property
    def words(self) -> WordSpace:
        """The words that two trained items or more have, with their weights; stop words left out (the memory's)."""
        from sklearn.feature_extraction.text import TfidfVectorizer  # a recommender answers without it

        texts = self.artifacts.catalog.texts()
        for least, stop_words in ((2, "english"), (1, None)):
            vectoriser = TfidfVectorizer(sublinear_tf=True, min_df=least, stop_words=stop_words)
            try:
                return WordSpace.of(vectoriser.fit(texts))
            except ValueError:  # no word is left
                continue
        raise DataError(f"the {len(texts):,} texts of the trained items hold no word, so nothing is like them")

    @cached_property
    def _usual(self) -> WordSpace:
        from lexirec.semantic_ids.embeddings.svd import LsaSpace

        return LsaSpace.fit(self.artifacts.catalog.texts()).stored()

    def _source(self, name: str, rows: Catalog, places: NDArray[np.int32]) -> NDArray[np.float32]:
        """Return one source's vectors of items that changed or are new; `places` are their earlier numbers or −1."""
        folder, settings = self.artifacts.folders[name], self.artifacts.settings[name]
        match settings.get("kind"):
            case "lsa":
                return normalized(self._lsa(name, folder, settings).embed(rows.texts(settings.get("fields"))))
            case "sentence-transformers":
                from lexirec.semantic_ids.embeddings.sentence_encoder import SentenceVectors, sentence_vectors

                model = SentenceVectors.model_validate(settings)
                return sentence_vectors(rows.texts(model.fields), model, ids=rows.item_ids)
            case "collaborative" | "precomputed" | "images" as kind:
                stored = np.load(folder / "vectors.npy", mmap_mode="r")
                vectors = np.zeros((len(rows), stored.shape[1]), dtype=np.float32)
                vectors[places >= 0] = stored[places[places >= 0]]
                fresh = np.flatnonzero(places < 0)
                if kind != "collaborative" and len(fresh):
                    vectors[fresh] = self._from_file(name, rows.take(fresh), stored.shape[1], kind)
                return vectors
            case kind:
                raise DataError(f"{name}: vectors of kind '{kind}' cannot be made for new items by this version")

    def _lsa(self, name: str, folder: Path, settings: Mapping[str, Any]) -> WordSpace:
        space = WordSpace.load(folder)
        if space is None:
            from lexirec.semantic_ids.embeddings.svd import LsaSpace

            _log.info("%s: its word space is not in the store (an earlier version made it); it is fitted again", name)
            texts = self.artifacts.catalog.texts(settings.get("fields"))
            space = LsaSpace.fit(texts, int(settings["dimensions"]), int(settings["seed"])).stored()
        return space

    def _from_file(self, name: str, rows: Catalog, width: int, kind: str) -> NDArray[np.float32]:
        label = name.partition(".")[2]
        if label not in self.files:
            made = "made from pictures" if kind == "images" else "read from a file"
            raise DataError(
                f"vectors.{label} were {made}, and item '{rows.item_ids[0]}' is new; give a file with "
                f"vectors of the new items: --vectors {label}=FILE"
            )
        vectors = normalized(read_vectors(self.files[label], rows))
        if vectors.shape[1] != width:
            raise DataError(
                f"{self.files[label]} has vectors of {vectors.shape[1]} dimensions, the trained items' have {width}; "
                "use the same model"
            )
        return vectors


def nearest_of(rows: NDArray[np.floating[Any]], others: NDArray[np.floating[Any]], k: int) -> Neighbors:
    """Return the k nearest others of each row by cosine, ties to the smaller number; zero rows have none."""
    left, right = normalized(np.asarray(rows)), normalized(np.asarray(others))
    items = np.full((len(left), k), -1, dtype=np.int32)
    scores = np.zeros((len(left), k), dtype=np.float32)
    for first in range(0, len(left), _BLOCK):
        block = slice(first, first + _BLOCK)
        cosine = left[block] @ right.T
        cosine[:, ~right.any(axis=1)] = -np.inf
        cosine[~left[block].any(axis=1)] = -np.inf
        items[block], best = top_k(cosine, k)
        scores[block] = np.where(items[block] >= 0, best, 0.0)
    return Neighbors(items, scores)
