"""Import of published identifiers and semantic IDs: GRAM's text files, MiniOneRec's index, Parquet."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lexirec.core.config import DataPath
from lexirec.core.errors import DataError, did_you_mean
from lexirec.semantic_ids.identifiers.base import IdentifierSettings, NamingInputs
from lexirec.semantic_ids.identifiers.identifiers import Identifiers, check_identifiers, pad_rows, spell
from lexirec.semantic_ids.lexicon.tfidf import split_terms, vocabulary_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from lexirec.data.catalog import Catalog

Value = str | list[str]


class PublishedIdentifiers(IdentifierSettings):
    """Settings of identifiers read from a file; they need neither codes nor a lexicon."""

    outside_the_key: ClassVar[tuple[str, ...]] = ("path",)
    kind: Literal["published"] = "published"
    path: DataPath
    """Parquet with `item_id` and a column of pieces, or GRAM's text file."""
    column: str | None = None
    """The column of the pieces, needed if the file has several."""

    def files(self) -> dict[str, Path]:
        """Return the file of the identifiers."""
        return {"published": self.path}

    def identify(self, inputs: NamingInputs) -> Identifiers:
        """Read the identifiers; see `read_published`."""
        return read_published(inputs.files["published"], inputs.catalog, inputs.tokenizer, column=self.column)


_USUAL = ("gram_lexical_id", "sid")
_SID = r"^(<[a-z]_[0-9]{1,9}>)+$"


def read_published(
    path: str | Path,
    catalog: Catalog,
    tokenizer: PreTrainedTokenizerBase | None = None,
    *,
    column: str | None = None,
) -> Identifiers:
    """Read identifiers from GRAM's text files, MiniOneRec's `index.json` or Parquet.

    Text: one line per item: its id, a blank, and each piece after a `|`. JSON: an object, item id to list of pieces.
    Parquet: `item_id` and a column of such strings or of lists of pieces. Pieces are looked up in the tokenizer
    unchanged, whereas GRAM's code tokenises the string again and drops the separators. Strings without any `|`
    (IDGenRec's) are texts, not tokens: they are split by the tokenizer, or else at blanks, and get counters where they
    are not unique and prefix-free.
    Semantic IDs `<a_236><b_231>…` are new tokens, numbered among themselves unless the tokenizer has them all; shared
    ones get a counter, `<d_0>`, `<d_1>` ….
    Items of the file that are not in the catalogue are ignored.

    Args:
        path: The file.
        catalog: The items; each must have an identifier.
        tokenizer: The backbone's tokenizer, whose ids become the tokens; None numbers the pieces in use.
        column: Column of the Parquet file; needed if it has several, and none called `gram_lexical_id` or `sid`.

    Raises:
        DataError: the file is unreadable, items are missing or repeated, a piece is not in the tokenizer, or
            identifiers are equal or prefixes of each other; the message names file, line or item.
    """
    path = Path(path)
    ordered = _read(path, column, catalog)
    sids = _joined(ordered)
    if pc.all(pc.match_substring_regex(sids, _SID)).as_py():
        return _from_sids(_parsed(sids, catalog, path), tokenizer)
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


def read_semantic_ids(path: str | Path, catalog: Catalog, *, column: str | None = None) -> NDArray[np.int32]:
    """Read the codes of semantic IDs `<a_236><b_231><c_226>`: int32 (n_items, levels), −1 beyond an item's last.

    The letter is the level, the number the code.

    Args:
        path: A file in any of the formats of `read_published`.
        catalog: The items; each must have a semantic ID.
        column: Column of the Parquet file, by default `sid`.

    Raises:
        DataError: as `read_published`, or a value is no semantic ID.
    """
    path = Path(path)
    return _parsed(_joined(_read(path, column or "sid", catalog)), catalog, path)


def _joined(values: Sequence[Value]) -> pa.Array:
    return pa.array(["".join(value) if isinstance(value, list) else value for value in values], pa.string())


def _parsed(sids: pa.Array, catalog: Catalog, path: Path) -> NDArray[np.int32]:
    """Return the codes of semantic IDs: int32 (n_items, levels), −1 beyond an item's last.

    Raises:
        DataError: a value is no semantic ID, or its letters are out of order.
    """
    good = pc.match_substring_regex(sids, _SID).to_numpy(zero_copy_only=False)
    if good.all():
        parts = pc.split_pattern(pc.utf8_trim(sids, "<>"), "><")
        lengths, parts = pc.list_value_length(parts).to_numpy(), pc.list_flatten(parts)
        level = np.arange(len(parts)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        letters = pc.utf8_slice_codeunits(parts, 0, 1).to_numpy(zero_copy_only=False)
        in_order = letters == np.array(list(ascii_lowercase), dtype=object)[np.minimum(level, 25)]
        good = np.logical_and.reduceat(in_order & (level < 26), np.cumsum(lengths) - lengths)
    wrong = np.flatnonzero(~good)
    if len(wrong):
        raise DataError(
            f"{path.name}: item '{catalog.item_ids[wrong[0]]}' has {sids[int(wrong[0])].as_py()!r} ({len(wrong):,} "
            "such items); a semantic ID is written <a_236><b_231><c_226>, with a letter per level, in order"
        )
    return pad_rows(pc.utf8_slice_codeunits(parts, 2).cast(pa.int32()).to_numpy(), lengths)


def _from_sids(values: NDArray[np.int32], tokenizer: PreTrainedTokenizerBase | None) -> Identifiers:
    real = values >= 0
    levels = np.nonzero(real)[1]
    used, tokens = np.unique(np.stack([levels, values[real]]), axis=1, return_inverse=True)
    pieces = [f"<{ascii_lowercase[level]}_{code}>" for level, code in used.T]
    rows = pad_rows(tokens.ravel(), real.sum(axis=1))
    identifiers = spell(rows, pieces, counter=f"<{ascii_lowercase[min(values.shape[1], 25)]}_{{}}>")
    if tokenizer is None or identifiers.new_pieces(tokenizer):
        return identifiers
    return identifiers.in_vocabulary(tokenizer)


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
    """Return the rows' pieces as indices of the vocabulary: int32 (n_items, longest), −1 padded."""
    index = {piece: number for number, piece in enumerate(vocabulary)}
    numbers = np.fromiter((index.get(piece, -1) for row in rows for piece in row), dtype=np.int32)
    lengths = np.array([len(row) for row in rows])
    unknown = np.flatnonzero(numbers < 0)
    if len(unknown):
        item = int(np.searchsorted(np.cumsum(lengths), unknown[0], side="right"))
        piece = next(piece for piece in rows[item] if piece not in index)
        raise DataError(
            f"{path.name}: the piece {piece!r} of item '{catalog.item_ids[item]}' is not in the tokenizer; "
            "use the identifiers' own tokenizer"
        )
    return pad_rows(numbers, lengths)


def _read(path: Path, column: str | None, catalog: Catalog) -> list[Value]:
    """Return the file's value for each item of the catalogue."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; give a Parquet, JSON or text file of identifiers")
    match path.suffix:
        case ".parquet":
            ids, values = _read_parquet(path, column)
        case ".json":
            ids, values = _read_json(path)
        case _:
            ids, values = _read_text(path)
    return _in_order(ids, values, catalog, path)


def _in_order(ids: Sequence[str], values: Sequence[Value | None], catalog: Catalog, path: Path) -> list[Value]:
    value_of = dict(zip(ids, values, strict=True))
    if len(value_of) < len(ids):
        twice = Counter(ids).most_common(1)[0][0]
        raise DataError(f"{path.name}: item '{twice}' occurs more than once; keep one identifier per item")
    ordered = [value_of.get(item) for item in catalog.item_ids]
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
        usual = [name for name in _USUAL if name in others]
        column = usual[0] if usual else others[0] if len(others) == 1 else None
    if "item_id" not in table.column_names or column not in others:
        wanted = f"the column '{column}'" if column else "one column of identifiers, or the setting 'column'"
        raise DataError(
            f"{path.name} has the columns {', '.join(table.column_names)}; it needs 'item_id' and {wanted}."
            f"{did_you_mean(column or '', others)}"
        )
    kind = table.schema.field(column).type
    texts = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if not texts and not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        raise DataError(f"{path.name}: column '{column}' is {kind}; give text with '|' or lists of pieces")
    values = table[column].cast(pa.string() if texts else pa.list_(pa.string())).to_pylist()
    return table["item_id"].cast(pa.string()).to_pylist(), values


def _read_json(path: Path) -> tuple[list[str], list[Value | None]]:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path.name} is no JSON ({error}); give an object, item id to list of pieces") from None
    if not isinstance(content, dict) or not all(isinstance(value, (str, list)) for value in content.values()):
        raise DataError(f"{path.name} is no object of item ids with lists of pieces; give such an object")
    return list(content), list(content.values())


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
            raise DataError(
                f"{path.name}, line {number} is {line.strip()!r}; write the item's id, a blank, then |piece|piece"
            )
        if value.strip():
            ids.append(item)
            values.append(value)
    return ids, values
