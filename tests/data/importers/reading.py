"""What tests of importers share: raw files written in one line, tables and histories read back."""

import json

import pyarrow.parquet as pq

from lexirec.data.catalog import Catalog
from lexirec.data.interactions import Interactions


def write(folder, files):
    """Write files by name, text or bytes; folders in names are made."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def json_lines(records, write=json.dumps):
    return "".join(write(record) + "\n" for record in records).encode()


def rows(folder, name="interactions"):
    return pq.read_table(folder / f"{name}.parquet").to_pylist()


def column(folder, name, table="interactions"):
    return [row[name] for row in rows(folder, table)]


def histories(folder, text=("title",)):
    catalog = Catalog.read(folder / "items.parquet", text=text)
    events = Interactions.read(folder / "interactions.parquet", catalog)
    return {
        str(user): [catalog.item_ids[item] for item in events.sequences.row(row)]
        for row, user in enumerate(events.user_ids)
    }
