"""Other data for the same recipe: folders with two tables, or the data of another experiment, as overrides."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lexirec.core.config import as_toml
from lexirec.core.errors import DataError
from lexirec.data.loading import DataSettings
from lexirec.data.readers.duckdb_source import Workspace
from lexirec.pipeline.components import DataChoice
from lexirec.pipeline.experiment import load_experiment

_TABLES = {"items": ("items",), "interactions": ("interactions", "events")}
_PEOPLE = ("users", "user_columns")
_SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl", ".csv.gz", ".tsv.gz", ".jsonl.gz")


def data_name(path: Path) -> str:
    """Return what a data set is called: its folder's name, or its experiment's."""
    return path.stem if path.suffix == ".toml" else path.name


def data_overrides(path: Path, base: DataChoice) -> tuple[str, ...]:
    """Return the overrides that put a data set in the place of an experiment's own.

    A folder brings its tables and, of the base's text fields, those that it has; columns, split and cap of histories
    stay the base's, its texts about users do not, since they are about others. An experiment brings its whole `[data]`.

    Raises:
        DataError: there is no such folder, or it lacks a table or every text field.
        SettingsError: the experiment cannot be read.
    """
    if path.suffix == ".toml":
        given = load_experiment(path).data.model_dump(mode="json", exclude_unset=True)
        return _instead(given)
    tables = {name: _table(path, name, stems) for name, stems in _TABLES.items()}
    with Workspace() as workspace:
        columns = workspace.open(tables["items"]).columns
    text = [field for field in base.text if field in columns]
    if not text:
        raise DataError(f"{tables['items']}: none of the text fields {', '.join(base.text)} is there; set data.text")
    recipe = base.model_dump(mode="json", exclude_unset=True)
    kept = {name: value for name, value in recipe.items() if name in DataSettings.model_fields and name not in _PEOPLE}
    places = {name: str(table) for name, table in tables.items()}
    return _instead({**kept, **places, "kind": "tables", "text": text})


def _instead(data: Mapping[str, Any]) -> tuple[str, str]:
    """Return the overrides that put a whole table `[data]` in the place of another, of which nothing stays."""
    return ("data={}", f"data={as_toml(data)}")


def _table(folder: Path, name: str, stems: tuple[str, ...]) -> Path:
    found = [folder / f"{stem}{suffix}" for stem in stems for suffix in _SUFFIXES]
    there = next((path for path in found if path.is_file()), None)
    if there is None:
        raise DataError(f"data: {folder} holds no {name} table; {name}.parquet, .csv or .jsonl is looked for")
    return there
