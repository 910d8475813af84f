"""Import of published keywords and descriptions of semantic-ID tokens, such as TS-Rec's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from lexirec.core.errors import DataError
from lexirec.semantic_ids.codes import Codes, token_of
from lexirec.semantic_ids.lexicon.lexicon import Lexicon

_TOKEN = re.compile(r"<([a-z])_(\d+)>")


class KeywordRecord(BaseModel):
    """Keywords and description of one token; other fields of a record are ignored."""

    token: str = Field(pattern=rf"^{_TOKEN.pattern}$")
    keywords: list[str] = Field(min_length=1)
    description: str


_RECORDS = TypeAdapter(list[KeywordRecord])


def read_keywords(path: str | Path, codes: Codes) -> Lexicon:
    """Read a list of `{token, keywords, description}` as the lexicon of residual codes.

    The token `<b_12>` is the cell of the items whose code at level 1 is 12. Keywords and descriptions are kept
    unchanged, in their order. Last levels without any record, such as that of a collision rule, are left out.

    Args:
        path: JSON, as TS-Rec released its keywords, or Parquet with these columns.
        codes: The codes whose cells the tokens name.

    Raises:
        DataError: the file is unreadable or has other records, tokens are repeated, unknown or missing (the message
            names file and token), or the codes are not residual.
    """
    path = Path(path)
    if codes.kind != "residual":
        raise DataError(
            f"{path.name} describes tokens, which codes of kind '{codes.kind}' do not have; give residual codes"
        )
    records = _by_token(_read(path), path)
    values = [np.unique(codes.values[:, level]) for level in range(codes.levels)]  # in the order of Codes.cells
    expected = [[token_of(level, int(value)) for value in used] for level, used in enumerate(values)]
    levels = _named_levels(records, expected, path)
    return Lexicon.written(
        [[(records[token].keywords, records[token].description) for token in level] for level in levels]
    )


def _read(path: Path) -> list[KeywordRecord]:
    if not path.is_file():
        raise DataError(f"{path}: no such file; give a JSON or Parquet file of token, keywords and description")
    try:
        if path.suffix == ".parquet":
            return _RECORDS.validate_python(_rows(path))
        return _RECORDS.validate_json(path.read_bytes())
    except ValidationError as error:
        raise DataError(f"{path.name}{_problem(error)}") from None


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path.name} is no Parquet file ({str(error).splitlines()[0]})") from None
    return rows


def _problem(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    location, message = first["loc"], first["msg"]
    if first["type"] == "json_invalid":
        return f" is no JSON ({message.removeprefix('Invalid JSON: ')}); save it as a list of records"
    if not location:
        return " holds no list; give a list of records with token, keywords and description"
    field = ".".join(str(part) for part in location[1:])
    about = f"'{field}': " if field else ""
    return f", record {int(location[0]) + 1}: {about}{message[0].lower()}{message[1:]}; a token looks like <a_12>"


def _by_token(records: Sequence[KeywordRecord], path: Path) -> dict[str, KeywordRecord]:
    record_of: dict[str, KeywordRecord] = {}
    for record in records:
        match = _TOKEN.fullmatch(record.token)
        token = token_of(ord(match[1]) - ord("a"), int(match[2])) if match else record.token
        if token in record_of:
            raise DataError(f"{path.name}: the token {token} occurs more than once; keep one record per token")
        record_of[token] = record
    return record_of


def _named_levels(
    records: Mapping[str, KeywordRecord], expected: Sequence[Sequence[str]], path: Path
) -> Sequence[Sequence[str]]:
    """Return the tokens of the levels that have records; every token of such a level must have one."""
    used = {token for level in expected for token in level}
    unknown = [token for token in records if token not in used]
    if unknown:
        raise DataError(
            f"{path.name} describes {len(unknown):,} tokens that no item has, such as {_some(unknown)}; "
            "give the codes that the keywords were written for"
        )
    depth = max(
        (level for level, tokens in enumerate(expected) if any(token in records for token in tokens)), default=0
    )
    missing = [token for tokens in expected[: depth + 1] for token in tokens if token not in records]
    if missing:
        raise DataError(f"{path.name} has no record of {len(missing):,} tokens, such as {_some(missing)}; add them")
    return expected[: depth + 1]


def _some(tokens: Sequence[str]) -> str:
    return ", ".join(tokens[:3])
