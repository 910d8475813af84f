"""Tables with one row per user, or per session, and a list of items: each entry becomes an event, in order.

A list is a list of the file, or text such as `[1, 2, 3]`, `['a' 'b']`, `1 2 3`, `a|b|c`, `a;b` or `a,b`. Which of them
is decided by the ids: the entries are ids of items, the values as a whole are not. Lists beside it that are as long,
such as the times, are laid out with it; other columns are repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from lexirec.core.errors import DataError
from lexirec.data.readers.duckdb_source import Workspace
from lexirec.data.readers.sql_columns import LINE, ROW, Column, Source, literal

_ENOUGH = 0.5
"""Share of the entries that are known ids from which a column holds lists; of the values, from which it does not."""
_SAMPLE = 20_000
"""First rows by which a column is judged."""
_ENTRY = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s,\[\](){}'"]+"""


def _split(sign: str) -> Callable[[str], str]:
    def lists(text: str) -> str:
        return f"[trim(e) FOR e IN string_split_regex(trim({text}), {literal(sign)})]"

    return lists


def _bracketed(text: str) -> str:
    entries = f"regexp_extract_all({text}, {literal(_ENTRY)})"
    return f"CASE WHEN regexp_matches({text}, '^\\s*[\\[({{]') THEN [trim(e, ' ''\"') FOR e IN {entries}] END"


_FORMS: Mapping[str, Callable[[str], str]] = {
    "brackets": _bracketed,
    "|": _split(r"\|"),
    ";": _split(";"),
    ",": _split(","),
    "blanks": _split(r"\s+"),
}
"""How a text may hold a list -> the SQL of the list."""


def one_row_per_event(work: Workspace, source: Source, item: Column, ids: str) -> Source | None:
    """Return the source with a row for each entry of the lists of items; None where `item` holds no lists.

    Rows are counted by entries in what is returned.

    Args:
        work: The workspace that opened the source.
        source: A table of events.
        item: Its column of items.
        ids: A table of the workspace with a column `id`: the ids of all items.

    Raises:
        DataError: The column holds lists of lists or of objects.
    """
    if item.is_list and ("STRUCT" in item.type or item.type.count("[") > 1):
        raise DataError(
            f"{source.path}: column '{item.name}' holds lists of {item.type.removesuffix('[]')}; bring lists of item"
            " ids, or one row for each event"
        )
    form = "list" if item.is_list else _form(work, source, item, ids)
    if form is None:
        return None
    lists = {item.name: _lists(item, form)}
    lists |= _parallel(work, source, lists[item.name], [each for each in source.columns.values() if each != item])
    return _laid_out(source, lists)


def _lists(column: Column, form: str) -> str:
    if form != "list":
        return _FORMS[form](column.text)
    if column.type in ("DOUBLE[]", "FLOAT[]"):
        return f"[plain_number(e) FOR e IN {column.sql}]"
    return f"CAST({column.sql} AS VARCHAR[])"


def _form(work: Workspace, source: Source, item: Column, ids: str) -> str | None:
    """Return how the texts of a column hold lists of known ids; None where they are ids themselves, or neither."""
    work.run(
        f"CREATE OR REPLACE TEMP TABLE lexirec_lists AS SELECT v FROM (SELECT {item.text} AS v FROM {source.scan}"
        f" LIMIT {_SAMPLE}) WHERE v IS NOT NULL"
    )
    known = f"(SELECT CAST(id AS VARCHAR) FROM {ids})"
    ((whole, joined),) = work.rows(
        f"SELECT avg(CAST(v IN {known} AS INTEGER)), avg(CAST(regexp_matches(v, '[\\s,;|]') AS INTEGER))"
        " FROM lexirec_lists"
    )
    if whole is None or whole >= _ENOUGH or not joined:
        return None
    best: tuple[float, str] | None = None
    for form, lists in _FORMS.items():
        ((share, most),) = work.rows(
            f"SELECT avg(CAST(e IN {known} AS INTEGER)), max(n) FROM"
            f" (SELECT unnest(l) AS e, len(l) AS n FROM (SELECT {lists('v')} AS l FROM lexirec_lists))"
        )
        if share is not None and share >= _ENOUGH and share > whole and most > 1 and (best is None or share > best[0]):
            best = share, form
    return best[1] if best else None


def _parallel(work: Workspace, source: Source, items: str, others: list[Column]) -> dict[str, str]:
    """Return the columns that hold lists as long as those of the items: name -> SQL of the list."""
    found: dict[str, str] = {}
    for column in others:
        if "STRUCT" in column.type or column.type.startswith("MAP") or column.type.count("[") > 1:
            continue
        for form in ["list"] if column.is_list else [] if column.type != "VARCHAR" else list(_FORMS):
            lists = _lists(column, form)
            ((same, most),) = work.rows(
                f"SELECT bool_and(len(l) = len(i)), max(len(i)) FROM (SELECT {lists} AS l, {items} AS i"
                f" FROM {source.scan} LIMIT {_SAMPLE}) WHERE i IS NOT NULL"
            )
            if same and most > 1:
                found[column.name] = lists
                break
    return found


def _laid_out(source: Source, lists: Mapping[str, str]) -> Source:
    names = {name: f"e{number}" for number, name in enumerate(source.columns)}
    parts = [f"{LINE}"] if source.kind == "jsonl" else []
    columns: dict[str, Column] = {}
    for name, column in source.columns.items():
        if name in lists:  # a row without a list stays, so that it is counted as one without an item
            parts.append(f"unnest(coalesce({lists[name]}, [NULL])) AS {names[name]}")
            columns[name] = Column(name, "VARCHAR", names[name])
        else:
            parts.append(f"{column.sql} AS {names[name]}")
            columns[name] = replace(column, sql=names[name])
    entries = f"(SELECT {', '.join(parts)} FROM {source.scan})"
    return replace(source, columns=columns, scan=f"(SELECT row_number() OVER () AS {ROW}, * FROM {entries})")
