"""Item identifiers (semantic IDs, SIDs): a unique, prefix-free token sequence per item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lexirec.core.errors import ArtifactError, DataError
from lexirec.semantic_ids.codes import Codes, read_artifact
from lexirec.semantic_ids.identifiers.prefixes import cut_shortest, find_clash, made_unique
from lexirec.semantic_ids.identifiers.term_choice import choose_terms
from lexirec.semantic_ids.lexicon.lexicon import Lexicon
from lexirec.semantic_ids.lexicon.tfidf import readable, vocabulary_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FILE = "identifiers.parquet"
Cut = Literal["full", "shortest-unique"]
_SCHEMA = pa.schema({"tokens": pa.list_(pa.int32()), "pieces": pa.list_(pa.string())})
_COUNTERS = 1000


@dataclass(frozen=True, eq=False)
class Identifiers:
    """Identifiers of a catalogue's items, each unique and no prefix of another.

    Attributes:
        tokens: int32 (n_items, longest), indices of `pieces`; −1 beyond an identifier's last token.
        pieces: Strings of the tokens: the whole vocabulary of a tokenizer by id, or only the strings in use.

    Raises:
        DataError: an identifier is empty, equals another, is a proper prefix of another, or has a token that is no
            index of `pieces`.
    """

    tokens: NDArray[np.int32]
    pieces: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check the tokens and store them as int32 without superfluous padding."""
        tokens = np.asarray(self.tokens)
        if tokens.ndim != 2 or not len(tokens) or not np.issubdtype(tokens.dtype, np.integer):
            raise DataError(f"identifiers are {tokens.dtype} of shape {tokens.shape}; give integers (items, longest)")
        longest = int((tokens >= 0).sum(axis=1).max())
        object.__setattr__(self, "tokens", np.ascontiguousarray(tokens[:, :longest], dtype=np.int32))
        check_identifiers(tokens, self.pieces)

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.tokens)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Number of tokens of each identifier: int64 (n_items,)."""
        return np.asarray((self.tokens >= 0).sum(axis=1), dtype=np.int64)

    @property
    def longest(self) -> int:
        """Number of tokens of the longest identifier."""
        return int(self.tokens.shape[1])

    def spelled(self, item: int) -> list[str]:
        """Return the pieces of one item's identifier."""
        return [self.pieces[token] for token in self.tokens[item] if token >= 0]

    @classmethod
    def from_lexicon(
        cls,
        lexicon: Lexicon,
        codes: Codes,
        tokenizer: PreTrainedTokenizerBase | None = None,
        *,
        distinct_siblings: bool = False,
        cut: Cut = "full",
    ) -> Identifiers:
        """Build identifiers of one term per level, plus a counter where items share all terms (GRAM, section 3.1).

        Args:
            lexicon: Terms of the cells.
            codes: The codes whose cells the lexicon names.
            tokenizer: The backbone's tokenizer, whose ids become the tokens; None numbers the terms in use.
            distinct_siblings: Give siblings different terms, see `choose_terms`; GRAM merges siblings with equal terms.
            cut: `"shortest-unique"` cuts each identifier at its shortest unique prefix.

        Raises:
            DataError: a term is not in the tokenizer's vocabulary.
        """
        terms = choose_terms(lexicon, codes, distinct_siblings=distinct_siblings)
        return spell(_without_gaps(terms), lexicon.vocabulary, tokenizer, cut=cut)

    def in_vocabulary(self, tokenizer: PreTrainedTokenizerBase) -> Identifiers:
        """Return the same identifiers with the tokenizer's ids as tokens.

        Raises:
            DataError: a piece in use is not one of the tokenizer's.
        """
        new = self.new_pieces(tokenizer)
        if new:
            raise DataError(
                f"{len(new)} pieces of the identifiers, such as {new[0]!r}, are not in the tokenizer's vocabulary; "
                "use the identifiers' own tokenizer, or tokenizer.add_tokens(identifiers.new_pieces(tokenizer))"
            )
        ids = tokenizer.get_vocab()
        id_of = np.array([ids.get(piece, -1) for piece in self.pieces] + [-1], dtype=np.int32)
        return Identifiers(id_of[self.tokens], vocabulary_of(tokenizer))  # padding −1 takes the last entry, −1

    def new_pieces(self, tokenizer: PreTrainedTokenizerBase) -> list[str]:
        """Return the pieces in use that a tokenizer does not have, in the order of their tokens."""
        vocabulary = tokenizer.get_vocab()
        used = np.unique(self.tokens[self.tokens >= 0])
        return [self.pieces[token] for token in used if self.pieces[token] not in vocabulary]

    def save(self, folder: str | Path) -> None:
        """Write `identifiers.parquet` (tokens and their pieces per item) into an existing folder."""
        tokens = pa.array(self.tokens[self.tokens >= 0])
        offsets = pa.array(np.concatenate([[0], np.cumsum(self.lengths)]), pa.int32())
        pieces = pa.array(self.pieces, pa.string()).take(tokens)
        columns = [pa.ListArray.from_arrays(offsets, tokens), pa.ListArray.from_arrays(offsets, pieces)]
        pq.write_table(pa.Table.from_arrays(columns, schema=_SCHEMA), Path(folder) / FILE, compression="zstd")

    @classmethod
    def load(cls, folder: str | Path) -> Identifiers:
        """Read identifiers from `save`; `pieces` has empty strings for unused tokens.

        Raises:
            ArtifactError: the file is missing or is not what `save` writes.
        """
        path = Path(folder) / FILE
        table = read_artifact(path, "identifiers")
        if not table.schema.equals(_SCHEMA):
            raise ArtifactError(f"{path} holds no identifiers written by lexirec; create them again")
        numbers = pc.list_flatten(table["tokens"]).to_numpy()
        used, first = np.unique(numbers, return_index=True)
        pieces = [""] * (int(used[-1]) + 1)
        for token, piece in zip(used, pc.list_flatten(table["pieces"]).take(pa.array(first)).to_pylist(), strict=True):
            pieces[token] = piece
        return cls(pad_rows(numbers, pc.list_value_length(table["tokens"]).to_numpy()), tuple(pieces))


def spell(
    tokens: NDArray[np.int32],
    vocabulary: Sequence[str],
    tokenizer: PreTrainedTokenizerBase | None = None,
    *,
    cut: Cut = "full",
    counter: str = "{}",
) -> Identifiers:
    """Turn rows of terms into identifiers: make them unique with counters, cut them if asked, number the tokens.

    Args:
        tokens: int32 (n_items, longest), −1 beyond a row's last; rows may be empty, equal or prefixes of others.
        vocabulary: Strings of the tokens.
        tokenizer: The backbone's tokenizer, whose ids become the tokens; None numbers the pieces in use.
        cut: As in `Identifiers.from_lexicon`.
        counter: Format of the n-th counter; with a tokenizer only counters that are one piece of it are used.

    Raises:
        DataError: a piece is not in the tokenizer's vocabulary, or the tokenizer has too few counters.
    """
    pieces = list(vocabulary)
    index = {piece: number for number, piece in enumerate(pieces)}
    counters = [counter.format(number) for number in range(_COUNTERS)]
    if tokenizer is not None:
        counters = counters_of(tokenizer, counters)
    pieces += [piece for piece in counters if piece not in index]
    index.update({piece: number for number, piece in enumerate(pieces[len(vocabulary) :], len(vocabulary))})
    rows = made_unique(tokens, np.array([index[piece] for piece in counters], dtype=np.int32))
    if cut == "shortest-unique":
        rows = cut_shortest(rows)
    used, compact = np.unique(np.append(rows.ravel(), -1), return_inverse=True)
    tokens = compact[:-1].reshape(rows.shape).astype(np.int32) - 1  # −1 sorts first
    identifiers = Identifiers(tokens, tuple(pieces[token] for token in used[1:]))
    return identifiers if tokenizer is None else identifiers.in_vocabulary(tokenizer)


def counters_of(tokenizer: PreTrainedTokenizerBase, wanted: Sequence[str] | None = None) -> list[str]:
    """Return the counters ("0", "1", … unless others are given) that are one piece of a tokenizer.

    Pieces with a space mark are taken if there are no others.
    """
    wanted = wanted or [str(number) for number in range(_COUNTERS)]
    vocabulary = tokenizer.get_vocab()
    bare = [piece for piece in wanted if piece in vocabulary]
    if len(bare) > 1:
        return bare
    rank = {piece: number for number, piece in enumerate(wanted)}
    marked = [piece for piece in vocabulary if readable(piece) in rank]
    return sorted(marked, key=lambda piece: (rank[readable(piece)], piece))


def check_identifiers(tokens: NDArray[np.integer], pieces: Sequence[str], names: Sequence[str] | None = None) -> None:
    """Check that identifiers are not empty, unique and prefix-free, and that tokens are indices of `pieces`.

    Raises:
        DataError: they are not; the message names the items, by `names` or else by number.
    """

    def name(item: int) -> str:
        return repr(names[item]) if names is not None else str(item)

    real = tokens >= 0
    empty = np.flatnonzero(~real.any(axis=1))
    if len(empty):
        raise DataError(f"item {name(empty[0])} has no identifier ({len(empty)} such items); every item needs one")
    if (real[:, 1:] & ~real[:, :-1]).any() or tokens.max() >= len(pieces):
        raise DataError(
            f"identifiers: tokens must be indices of {len(pieces)} pieces, with −1 only after the last token"
        )
    clash = find_clash(tokens.astype(np.int32, copy=False))
    if clash is not None:
        first, second = clash
        spelled = "|".join(pieces[token] for token in tokens[first] if token >= 0)
        relation = "is also that of" if (tokens[first] == tokens[second]).all() else "is a prefix of that of"
        raise DataError(
            f"the identifier {spelled!r} of item {name(first)} {relation} item {name(second)}; "
            "identifiers must be unique and none a prefix of another"
        )


def pad_rows(numbers: NDArray[np.integer], lengths: NDArray[np.integer]) -> NDArray[np.int32]:
    """Turn consecutive rows of given lengths into int32 (rows, longest), −1 beyond a row's last number."""
    real = np.arange(lengths.max(initial=0)) < lengths[:, None]
    rows = np.full(real.shape, -1, dtype=np.int32)
    rows[real] = numbers
    return rows


def _without_gaps(tokens: NDArray[np.int32]) -> NDArray[np.int32]:
    real = tokens >= 0
    return pad_rows(tokens[real], real.sum(axis=1))
