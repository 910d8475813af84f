"""Reading identifiers that somebody published, such as GRAM's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lexirec.codes.identifiers import Identifiers, check_identifiers, pad_rows, spell
from lexirec.codes.terms import split_terms, vocabulary_of
from lexirec.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from lexirec.data.catalog import Catalog

Value = str | list[str]
_USUAL = "gram_lexical_id"


def read_published(
    path: str | Path,
    catalog: Catalog,
    tokenizer: PreTrainedTokenizerBase | None = None,
    *,
    column: str | None = None,
) -> Identifiers:
    """Read identifiers from GRAM's text files or from Parquet.

    Text: one line per item, its id, a blank, and the pieces each after a `|`. Parquet: `item_id` and a column of such
    strings or of lists of pieces. Pieces are looked up in the tokenizer as they stand, where GRAM's code tokenises the
    string anew and drops the separators. Strings without any `|` (IDGenRec's) are texts, not tokens: the tokenizer, or
    else their blanks, split them, and counters make them unique and prefix-free, which as strings they need not be.
    Items of the file that the catalogue does not have are passed over.

    Args:
        path: The file.
        catalog: The items; each must have an identifier.
        tokenizer: The backbone's tokenizer, whose ids become the tokens; None numbers the pieces in use.
        column: Column of the Parquet file; needed where it has several and none is GRAM's `gram_lexical_id`.

    Raises:
        DataError: it names file, line or item: not readable, items missing or repeated, a piece the tokenizer does not
            have, or identifiers that are equal or prefixes of each other.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file; give a Parquet or text file of identifiers")
    ids, values = _read_parquet(path, column) if path.suffix == ".parquet" else _read_text(path)
    ordered = _in_order(ids, values, catalog, path)
    texts = [value for value in ordered if isinstance(value, str) and "|" not in value]
    if len(texts) == len(ordered):
        return _from_texts(texts, tokenizer)
    rows = [value.removeprefix("|").split("|") if isinstance(value, str) else value for value in ordered]
    vocabulary = vocabulary_of(tokenizer) if tokenizer else tuple(sorted({piece for row in rows for piece in row}))
    tokens = _numbered(rows, vocabulary, catalog, path)
    try:
        check_identifiers(tokens, vocabulary, catalog.item_ids)
    except DataError as error:
        raise DataError(f"{path.name}: {error}") from None
    return Identifiers(tokens, vocabulary)


def _from_texts(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase | None) -> Identifiers:
    if tokenizer is not None:
        terms = split_terms(texts, tokenizer)
        return spell(pad_rows(terms.numbers, np.diff(terms.offsets)), terms.vocabulary, tokenizer)
    words, numbers = np.unique([word for text in texts for word in text.split()], return_inverse=True)
    lengths = np.array([len(text.split()) for text in texts])
    return spell(pad_rows(numbers, lengths), tuple(str(word) for word in words))


def _numbered(
    rows: Sequence[Sequence[str]], vocabulary: Sequence[str], catalog: Catalog, path: Path
) -> NDArray[np.int32]:
    known = {piece: number for number, piece in enumerate(vocabulary)}
    numbers = np.fromiter((known.get(piece, -1) for row in rows for piece in row), dtype=np.int32)
    lengths = np.array([len(row) for row in rows])
    unknown = np.flatnonzero(numbers < 0)
    if len(unknown):
        item = int(np.searchsorted(np.cumsum(lengths), unknown[0], side="right"))
        piece = next(piece for piece in rows[item] if piece not in known)
        raise DataError(
            f"{path.name}: the piece {piece!r} of item '{catalog.item_ids[item]}' is none of the tokenizer's; "
            "use the tokenizer the identifiers were made with"
        )
    return pad_rows(numbers, lengths)


def _in_order(ids: Sequence[str], values: Sequence[Value | None], catalog: Catalog, path: Path) -> list[Value]:
    found = dict(zip(ids, values, strict=True))
    if len(found) < len(ids):
        twice = Counter(ids).most_common(1)[0][0]
        raise DataError(f"{path.name}: item '{twice}' stands more than once; keep one identifier per item")
    ordered = [found.get(item) for item in catalog.item_ids]
    missing = [item for item, value in zip(catalog.item_ids, ordered, strict=True) if value is None]
    if missing:
        named = ", ".join(f"'{item}'" for item in missing[:3])
        raise DataError(
            f"{path.name} has no identifier for {len(missing):,} items of the catalog, such as {named}; add them"
        )
    return [value for value in ordered if value is not None]


def _read_parquet(path: Path, column: str | None) -> tuple[list[str], list[Value | None]]:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path.name} is no Parquet file ({str(error).splitlines()[0]})") from None
    others = [name for name in table.column_names if name != "item_id"]
    if column is None:
        column = _USUAL if _USUAL in others else others[0] if len(others) == 1 else None
    if "item_id" not in table.column_names or column not in others:
        wanted = f"the column '{column}'" if column else "one column of identifiers, or the setting 'column'"
        raise DataError(
            f"{path.name} has the columns {', '.join(table.column_names)}; needed are 'item_id' and {wanted}."
            f"{did_you_mean(column or '', others)}"
        )
    kind = table.schema.field(column).type
    texts = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if not texts and not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        raise DataError(f"{path.name}: column '{column}' is {kind}; give text with '|' or lists of pieces")
    values = table[column].cast(pa.string() if texts else pa.list_(pa.string())).to_pylist()
    return table["item_id"].cast(pa.string()).to_pylist(), values


def _read_text(path: Path) -> tuple[list[str], list[Value | None]]:
    try:
        lines = path.read_bytes().decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    ids: list[str] = []
    values: list[Value | None] = []
    for number, line in enumerate(lines, 1):
        item, _, value = line.rstrip("\r").partition(" ")
        if not value.strip() and line.strip():
            raise DataError(f"{path.name}, line {number}: {line.strip()!r}; write the item's id, a blank, |piece|piece")
        if value.strip():
            ids.append(item)
            values.append(value)
    return ids, values
