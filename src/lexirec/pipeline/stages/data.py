"""Stages of the data: catalogue, split and texts about users; times of the training events; summaries of stages.

A split keeps the order of events without their times, which few recommenders need: they are a stage of their own.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lexirec.core.printable import printable
from lexirec.data.catalog import Catalog
from lexirec.data.excluded_items import with_excluded_items
from lexirec.data.interactions import Interactions
from lexirec.data.loading import DataSettings, read_data, split_data
from lexirec.data.readers.validation import Rejects
from lexirec.data.sequences import Sequences, load_array
from lexirec.data.splits import Cases, Split
from lexirec.data.toy_shop.pictures import FOLDER as PICTURES
from lexirec.data.toy_shop.shop import toy_shop
from lexirec.data.training_part import TrainingAndValidation, TrainingPart
from lexirec.data.user_texts import read_preferences
from lexirec.pipeline.components import DataChoice, ToyShop

_FILE = "times.npy"


def prepare_times(settings: DataChoice, inputs: Folders, out: Path) -> None:
    """Write the times of the training events, `times.npy`, unless the data have none."""
    tables, _, interactions = read_tables(settings)
    times = interactions.times
    if times is not None:
        # splitting the event numbers instead of items gives the training events in the order of the split
        numbers = Sequences(np.arange(len(times), dtype=np.int32), interactions.sequences.offsets)
        times = times[split_data(tables, replace(interactions, sequences=numbers)).train.items]
        np.save(out / _FILE, times, allow_pickle=False)
    lines = ["the data have no event times" if times is None else f"events with times: {len(times):,}"]
    write_summary(out, "Times of the training events", lines)


def load_times(folder: Path) -> NDArray[np.float64] | None:
    """Return the times of the training events in the order of the split, in seconds since 1970; None without times."""
    return load_array(folder / _FILE) if (folder / _FILE).is_file() else None


Folders = Mapping[str, Path]


PREFERENCES = "preferences.json"
"""File of the data stage: a text per training row, empty for users without one."""


def write_summary(
    out: Path, title: str, lines: Sequence[str], tables: Mapping[str, Sequence[Mapping[str, float]]] | None = None
) -> None:
    """Write `summary.md`, which `lexirec show` prints: a list of lines, then tables by title."""
    parts = [f"# {title}", "\n".join(f"- {line}" for line in lines)]
    for name, rows in (tables or {}).items():
        if rows:
            head = [[column.replace("_", " ") for column in rows[0]], ["---:"] * len(rows[0])]
            cells = [
                [f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" for value in row.values()]
                for row in rows
            ]
            parts += [f"## {name}", "\n".join(f"| {' | '.join(row)} |" for row in [*head, *cells])]
    (out / "summary.md").write_text(printable("\n\n".join(parts) + "\n"), encoding="utf-8")


def prepare_data(settings: DataChoice, inputs: Folders, out: Path) -> None:
    """Read and split the tables.

    Writes `catalog/`, `split/`, `user_ids.npy`, and where there are any `rejects.parquet`, `preferences.json`,
    `rejected_users.parquet` and `pictures/`.
    """
    tables, catalog, interactions = read_tables(settings, rejects=out / "rejects.parquet", pictures=out)
    split = with_excluded_items(tables, interactions, catalog, split_data(tables, interactions))
    catalog.save(out / "catalog")
    split.save(out / "split")
    np.save(out / "user_ids.npy", interactions.user_ids, allow_pickle=False)
    lines = _data_lines(split, catalog)
    if tables.users is not None:
        bad_rows = Rejects(tables.on_bad_row)
        train_user_ids = interactions.user_ids[split.train_users]
        texts = read_preferences(
            tables.users,
            train_user_ids,
            columns=tables.user_columns,
            rejects=bad_rows,
            format=tables.formats.users,
            match_ids=tables.match_ids,
        )
        if tables.on_bad_row == "reject":
            bad_rows.save(out / "rejected_users.parquet")
        (out / PREFERENCES).write_text(json.dumps(texts, ensure_ascii=False) + "\n", encoding="utf-8")
        lines.append(f"preferences: texts about {sum(map(bool, texts)):,} of {len(texts):,} training users")
        lines += [f"users left out, {reason}: {count:,}" for reason, count in bad_rows.counts.items()]
    write_summary(out, "Data", lines)


def read_tables(
    settings: DataChoice, *, rejects: Path | None = None, pictures: Path | None = None
) -> tuple[DataSettings, Catalog, Interactions]:
    """Return the settings and content of both tables.

    Rejected rows are written to the file `rejects`, pictures that the toy shop draws into the folder `pictures`.
    """
    if not isinstance(settings, ToyShop):
        return settings, *read_data(settings, rejects=rejects)
    with tempfile.TemporaryDirectory() as folder:
        tables = _toy_tables(settings, Path(folder))
        if settings.pictures and pictures is not None:
            shutil.copytree(Path(folder) / PICTURES, pictures / PICTURES)
        return tables, *read_data(tables)


def _toy_tables(settings: ToyShop, folder: Path) -> DataSettings:
    """Write the toy shop's two tables; return the settings to read them."""
    shop = toy_shop(seed=settings.shop_seed, items=settings.products, shoppers=settings.shoppers)
    shop.write(folder, pictures=settings.pictures)
    return DataSettings(
        items=folder / "items.parquet",
        interactions=folder / "interactions.parquet",
        text=settings.text,
        split=settings.split,
        max_history=settings.max_history,
    )


def load_preferences(file: Path) -> list[str] | None:
    """Return the text about each training row's user from a file of a data stage; None where it does not exist."""
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def load_catalog(folder: Path) -> Catalog:
    """Return the catalogue of a data stage."""
    return Catalog.load(folder / "catalog")


def load_split(folder: Path) -> Split:
    """Return the split of a data stage, for stages that measure; what learns uses `load_train`."""
    return Split.load(folder / "split")


def load_train(inputs: Folders, n_items: int) -> TrainingPart:
    """Return the training part among the inputs of a stage that learns (`pipeline.visible`)."""
    return TrainingPart.load(inputs["train"], n_items)


def load_train_and_validation(inputs: Folders, n_items: int) -> TrainingAndValidation:
    """Return the same beside the cases to choose on, for a stage that chooses epochs, weights or settings."""
    return load_train(inputs, n_items).with_validation(Cases.load(inputs["validation"]))


def item_names(catalog: Catalog) -> list[str]:
    """Return the items' titles, or ids where there is no title."""
    if "title" not in catalog.table.column_names:
        return catalog.item_ids
    return [title or item_id for title, item_id in zip(catalog.field("title"), catalog.item_ids, strict=True)]


def _data_lines(split: Split, catalog: Catalog) -> list[str]:
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in split.protocol.items()]
    return [*lines, f"text: {', '.join(catalog.text_fields)}"]
