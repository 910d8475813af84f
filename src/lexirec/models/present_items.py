"""The items of a catalogue version with the present facts: a change replaces values in columns, not the table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lexirec.core.errors import DataError
from lexirec.data.catalog import Catalog
from lexirec.models.fact_kinds import Kind, as_array, kind_of, type_of
from lexirec.models.facts_file import FactsChange
from lexirec.models.item_windows import FROM, LIMITS, UNTIL, Windows, limit_of

Values = Mapping[str, Mapping[str, Any]]


class PresentItems:
    """A catalogue, its facts, hidden items and windows; one thread at a time changes it.

    Attributes:
        numbers: The number of every item id.
    """

    def __init__(self, catalog: Catalog, windows: Windows | None = None) -> None:
        """Begin without facts; `windows` are those of the catalogue's own columns."""
        self.numbers = {item_id: number for number, item_id in enumerate(catalog.item_ids)}
        self._own, self._catalog = catalog, catalog
        self._hidden = np.zeros(len(catalog), dtype=np.bool_)
        self._windows = windows if windows is not None else Windows.of(catalog)
        self._waiting: dict[str, dict[int, Any]] = {}

    def put(self, change: FactsChange) -> None:
        """Take a change; items that the catalogue lacks are passed over."""
        for item, given in change.values.items():
            number = self.numbers.get(item)
            if number is not None:
                for name, value in given.items():
                    self._waiting.setdefault(name, {})[number] = value
        for ids, hidden in ((change.hidden, True), (change.shown, False)):
            numbers = [self.numbers[item] for item in ids if item in self.numbers]
            if numbers:
                self._hidden = self._hidden.copy()  # whoever has the present one keeps it
                self._hidden[numbers] = hidden

    def catalog(self, kinds: Mapping[str, Counter[Kind]]) -> Catalog:
        """Return the items with their present facts.

        Args:
            kinds: Of the values of every column of facts, which say the types of columns that the catalogue lacks.
        """
        types = {name: self._type(name, kinds) for name in self._waiting}
        own, table = self._own.table.column_names, self._catalog.table
        for name in table.column_names[len(own) :]:  # items that the catalogue lacks have a say in types, too
            if name not in types and self._type(name, kinds) != table.schema.field(name).type:
                types[name] = self._type(name, kinds)
        if types:
            columns = {name: self._column(name, kind) for name, kind in types.items()}
            self._limit({name: given for name, given in self._waiting.items() if name in LIMITS})
            self._catalog = self._catalog.with_columns(columns)
            self._waiting = {}
        return self._catalog

    @property
    def hidden(self) -> NDArray[np.bool_]:
        """Which items are hidden: bool (n_items,)."""
        return self._hidden

    @property
    def windows(self) -> Windows:
        """When items are available; asked for after `catalog`."""
        return self._windows

    def _type(self, name: str, kinds: Mapping[str, Mapping[Kind, int]]) -> pa.DataType:
        """Return the type of a column: the catalogue's own, else that of all values of facts."""
        if name in self._own.table.column_names:
            return self._own.table.schema.field(name).type
        return type_of(each for each, count in kinds.get(name, {}).items() if count > 0)

    def _column(self, name: str, kind: pa.DataType) -> pa.ChunkedArray:
        """Return a column with the waiting values in their places."""
        given, table = self._waiting.get(name, {}), self._catalog.table
        if name in table.column_names and table.schema.field(name).type == kind:
            return _replaced(table.column(name), given, kind)
        values = table.column(name).to_pylist() if name in table.column_names else [None] * len(self._own)
        for number, value in given.items():
            values[number] = value
        return pa.chunked_array([as_array(values, kind)])

    def _limit(self, changed: Mapping[str, Mapping[int, Any]]) -> None:
        if not changed:
            return
        limits = {FROM: self._windows.begins.copy(), UNTIL: self._windows.ends.copy()}
        for name, given in changed.items():
            for number, value in given.items():
                with suppress(ValueError):  # what is no time is no limit
                    limits[name][number] = LIMITS[name]
                    limits[name][number] = limit_of(value, LIMITS[name])
        self._windows = Windows(limits[FROM], limits[UNTIL])


def check_values(values: Values, before: Values, kinds: Mapping[str, Counter[Kind]], own: pa.Schema) -> None:
    """Check that columns can hold new values.

    Args:
        values: Item id -> column -> value.
        before: The facts so far.
        kinds: Their kinds.
        own: Columns of the catalogue itself.

    Raises:
        DataError: a value is of another kind than its column.
    """
    by_column: dict[str, dict[str, Any]] = {}
    for item, given in values.items():
        for name, value in given.items():
            by_column.setdefault(name, {})[item] = value
    for name, column in by_column.items():
        try:
            if name in own.names:
                as_array(list(column.values()), own.field(name).type)
            else:
                after = Counter(kinds.get(name, {}))
                after.update(kind_of(value) for value in column.values())
                after.subtract(kind_of(before[item][name]) for item in column if name in before.get(item, {}))
                type_of(kind for kind, count in after.items() if count > 0)
        except DataError as error:
            raise DataError(f"{name}: {error}") from None


def _replaced(column: pa.ChunkedArray, given: Mapping[int, Any], kind: pa.DataType) -> pa.ChunkedArray:
    """Return a column with other values at some places."""
    places = np.fromiter(given, dtype=np.int64, count=len(given))
    order = np.argsort(places)
    numbers = places[order]
    listed = list(given.values())
    values = as_array([listed[place] for place in order], kind)
    if pa.types.is_nested(kind):
        taken = np.arange(len(column))
        taken[numbers] = len(column) + np.arange(len(numbers))
        return pa.chunked_array([pa.concat_arrays([*column.chunks, values]).take(pa.array(taken))])
    mask = np.zeros(len(column), dtype=np.bool_)
    mask[numbers] = True
    whole = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return pa.chunked_array([pc.replace_with_mask(whole, pa.array(mask), values)])
