"""Lexicon: ranked terms and a description of every cell of a catalogue's codes; TF-IDF lexicon (GRAM)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from lexirec.core.config import Settings
from lexirec.core.errors import ArtifactError, DataError
from lexirec.core.progress import track
from lexirec.data.catalog import Catalog
from lexirec.semantic_ids.codes import Codes, read_artifact
from lexirec.semantic_ids.lexicon.tfidf import Terms, best_terms, readable, split_terms, tf_idf

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


FILE = "lexicon.parquet"
_SCHEMA = pa.schema(
    {
        "level": pa.int32(),
        "cell": pa.int64(),
        "terms": pa.list_(pa.string()),
        "scores": pa.list_(pa.float64()),
        "description": pa.string(),
    }
)


class TfIdfLexicon(Settings):
    """Settings of `tfidf_lexicon`, with GRAM's defaults."""

    kind: Literal["tf-idf"] = "tf-idf"
    candidates: Annotated[int, Field(ge=1)] = 50
    """Best terms kept per cell, before unusable ones are dropped."""
    tf_pieces: Annotated[int, Field(ge=1)] | None = 128
    """Number of pieces counted at the start of a text; none counts the whole text, with long descriptions."""
    tf_share: bool = False
    """Count shares of a text instead of pieces, so that long descriptions do not outweigh short ones."""
    lowercase: bool = True
    """Convert texts to lower case first (GRAM: on Amazon, not on Yelp)."""


@dataclass(frozen=True, eq=False)
class LexiconLevel:
    """Terms of all cells of one level: by score if they were counted, in the given order if they were written.

    Attributes:
        offsets: int64 (cells + 1,); cell c has the entries offsets[c] to offsets[c+1].
        terms: int32 (entries,), indices of the lexicon's vocabulary.
        scores: float64 (entries,), descending within a cell; for written keywords, their rarity among the cells.
        descriptions: One text per cell if they were written, else None.
    """

    offsets: NDArray[np.int64]
    terms: NDArray[np.int32]
    scores: NDArray[np.float64]
    descriptions: tuple[str, ...] | None = None

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.offsets) - 1

    def padded(self) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return the cells' terms and scores as (cells, most) each, best first; −1 and 0 beyond a cell's last."""
        counts = np.diff(self.offsets)
        there = np.arange(counts.max(initial=0)) < counts[:, None]
        terms = np.full(there.shape, -1, dtype=np.int32)
        scores = np.zeros(there.shape)
        terms[there], scores[there] = self.terms, self.scores
        return terms, scores


@dataclass(frozen=True, eq=False)
class Lexicon:
    """Ranked terms and a description of every cell of every level.

    Attributes:
        levels: One `LexiconLevel` per level of the codes, from 0.
        vocabulary: The strings of the terms; `LexiconLevel.terms` are its indices.
    """

    levels: tuple[LexiconLevel, ...]
    vocabulary: tuple[str, ...]

    @classmethod
    def written(cls, levels: Sequence[Sequence[tuple[Sequence[str], str]]]) -> Lexicon:
        """Build a lexicon from written keywords and descriptions.

        Keywords keep their order. Their scores are ln(1 + (C − n + .5) / (n + .5)) for n of the level's C cells that
        have the keyword: a keyword of every cell distinguishes none.

        Args:
            levels: Per level, per cell: the keywords and the description.
        """
        vocabulary = tuple(sorted({word for level in levels for words, _ in level for word in words}))
        index = {word: number for number, word in enumerate(vocabulary)}
        return cls(tuple(_written_level(level, index) for level in levels), vocabulary)

    def terms(self, level: int, cell: int, most: int | None = None) -> list[str]:
        """Return a cell's terms, best first (written keywords: in their given order)."""
        entries = self._entries(level, cell)
        return [self.vocabulary[term] for term in self.levels[level].terms[entries][:most]]

    def scores(self, level: int, cell: int) -> NDArray[np.float64]:
        """Return the scores of a cell's terms, descending if they were counted."""
        entries = self._entries(level, cell)
        return self.levels[level].scores[entries]

    def description(self, level: int, cell: int) -> str:
        """Return a cell's written description or, without one, its eight best terms as words."""
        entries = self._entries(level, cell)
        written = self.levels[level].descriptions
        if written is not None:
            return written[cell]
        words = dict.fromkeys(readable(self.vocabulary[term]) for term in self.levels[level].terms[entries][:16])
        return ", ".join([word for word in words if word][:8])

    def save(self, folder: str | Path) -> None:
        """Write `lexicon.parquet` (a row per level and cell) into an existing folder.

        Levels of a tree that only repeat the level above are written once; the schema's metadata lists them.
        """
        kept = self.levels
        stored = [number for number in range(len(kept)) if not number or kept[number] is not kept[number - 1]]
        same = np.searchsorted(stored, np.arange(len(self.levels)), side="right") - 1
        schema = _SCHEMA.with_metadata({"levels": " ".join(map(str, same))})
        with pq.ParquetWriter(Path(folder) / FILE, schema, compression="zstd") as writer:
            for number in stored:
                writer.write_table(self._table(number).replace_schema_metadata(schema.metadata))

    @classmethod
    def load(cls, folder: str | Path) -> Lexicon:
        """Read a lexicon from `save`; its vocabulary is the terms in use, in alphabetical order.

        Raises:
            ArtifactError: the file is missing or is not what `save` writes.
        """
        path = Path(folder) / FILE
        table = read_artifact(path, "lexicon").combine_chunks()
        if not table.schema.equals(_SCHEMA):
            raise ArtifactError(f"{path} holds no lexicon written by lexirec; create it again")
        terms = pc.list_flatten(table["terms"]).combine_chunks().dictionary_encode()
        order = np.argsort(np.array(terms.dictionary.to_pylist(), dtype=object))
        rank = np.empty(len(order), dtype=np.int32)
        rank[order] = np.arange(len(order), dtype=np.int32)
        vocabulary = terms.dictionary.take(pa.array(order)).to_pylist()
        levels = list(_levels(table, rank[terms.indices.to_numpy()]))
        same = (table.schema.metadata or {}).get(b"levels", b"").split()
        return cls(tuple(levels[int(number)] for number in same), tuple(vocabulary))

    def _entries(self, level: int, cell: int) -> slice:
        if not 0 <= level < len(self.levels):
            raise DataError(f"lexicon: there is no level {level}; allowed: 0 to {len(self.levels) - 1}")
        cells = self.levels[level]
        if not 0 <= cell < len(cells):
            raise DataError(f"lexicon: level {level} has no cell {cell}; allowed: 0 to {len(cells) - 1}")
        return slice(int(cells.offsets[cell]), int(cells.offsets[cell + 1]))

    def _table(self, number: int) -> pa.Table:
        level = self.levels[number]
        strings = pa.array(self.vocabulary, pa.string()).take(pa.array(level.terms))
        columns = [
            pa.array(np.full(len(level), number, dtype=np.int32)),
            pa.array(np.arange(len(level))),
            pa.ListArray.from_arrays(pa.array(level.offsets, pa.int32()), strings),
            pa.ListArray.from_arrays(pa.array(level.offsets, pa.int32()), pa.array(level.scores)),
            pa.array(level.descriptions or [None] * len(level), pa.string()),
        ]
        return pa.Table.from_arrays(columns, schema=_SCHEMA)


def tfidf_lexicon(
    texts: Sequence[str] | Catalog,
    codes: Codes,
    tokenizer: PreTrainedTokenizerBase | None = None,
    settings: TfIdfLexicon | None = None,
) -> Lexicon:
    """Rank the terms of cells by the mean TF-IDF over their items.

    Source: GRAM's preprocessing code (its paper, section 3.1): S(C, w) = mean over i in C of tf(i, w) · idf(w), see
    `tf_idf`; the 50 best are kept, of which special tokens, bare spaces and terms of one character are dropped.
    Ours orders ties by term number, where GRAM's order is unspecified, and keeps no term that scores 0.

    Args:
        texts: One text per item, in catalogue order, or a catalogue, of which all text fields are used.
        codes: The items' codes, trees or residual.
        tokenizer: A Hugging Face tokenizer whose pieces become the terms; None takes lower-case words.
        settings: Of the counts.

    Raises:
        DataError: texts and codes are of different numbers, or no text has a term.
    """
    texts = texts.texts() if isinstance(texts, Catalog) else texts
    if len(texts) != len(codes):
        raise DataError(f"there are {len(texts)} texts for the codes of {len(codes)} items; give one per item")
    settings = settings or TfIdfLexicon()
    terms = split_terms(texts, tokenizer, lowercase=settings.lowercase)
    scores = tf_idf(terms, tf_pieces=settings.tf_pieces, tf_share=settings.tf_share)
    levels: list[LexiconLevel] = []
    for level in track(range(codes.levels), "naming the cells"):
        counts = codes.counts(level)
        finished = codes.kind == "tree" and bool(levels) and len(counts) == len(levels[-1])
        levels.append(levels[-1] if finished else _rank(codes.cells(level), counts, scores, terms, settings))
    return Lexicon(tuple(levels), terms.vocabulary)


def _rank(
    cells: NDArray[np.int64],
    counts: NDArray[np.int64],
    scores: sparse.csr_array,
    terms: Terms,
    settings: TfIdfLexicon,
) -> LexiconLevel:
    weights = 1 / counts[cells]
    members = sparse.coo_array((weights, (cells, np.arange(len(cells)))), shape=(len(counts), len(cells))).tocsr()
    best = best_terms((members @ scores).tocsr(), settings.candidates, terms.usable())
    return LexiconLevel(best.indptr.astype(np.int64), best.indices.astype(np.int32), best.data)


def _written_level(level: Sequence[tuple[Sequence[str], str]], index: dict[str, int]) -> LexiconLevel:
    counts = np.array([len(words) for words, _ in level], dtype=np.int64)
    terms = np.array([index[word] for words, _ in level for word in words], dtype=np.int32)
    cells = np.repeat(np.arange(len(level)), counts)
    distinct = np.unique(np.stack([cells, terms]), axis=1)[1]  # a repeated keyword of a cell counts once
    n_cells = np.bincount(distinct, minlength=len(index))[terms]
    scores = np.log1p((len(level) - n_cells + 0.5) / (n_cells + 0.5))
    written = tuple(description for _, description in level)
    return LexiconLevel(np.concatenate([[0], np.cumsum(counts)]), terms, scores, written if any(written) else None)


def _levels(table: pa.Table, terms: NDArray[np.int32]) -> Iterator[LexiconLevel]:
    """Yield the levels of a stored table, whose rows are sorted by level and cell."""
    offsets = np.concatenate([[0], np.cumsum(pc.list_value_length(table["terms"]).to_numpy())])
    scores = pc.list_flatten(table["scores"]).to_numpy()
    written = table["description"]
    numbers = table["level"].to_numpy()
    starts = np.concatenate([[0], np.flatnonzero(np.diff(numbers)) + 1, [len(numbers)]])
    for first, last in pairwise(starts):
        entries = slice(offsets[first], offsets[last])
        described = written.slice(first, last - first)
        descriptions = tuple(described.to_pylist()) if described.null_count == 0 else None
        yield LexiconLevel(offsets[first : last + 1] - offsets[first], terms[entries], scores[entries], descriptions)
