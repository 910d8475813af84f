"""When the events of the training part happened: a stage of its own, made only where something asks for it.

A split keeps the order of events and not their times, which hardly anything needs.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lexirec.data.loading import split_data
from lexirec.data.sequences import Sequences, load_array
from lexirec.pipeline.components import DataChoice
from lexirec.pipeline.stages.identifiers import Folders, read_tables, write_summary

_FILE = "times.npy"


def prepare_times(settings: DataChoice, inputs: Folders, out: Path) -> None:
    """Write the times of the training events, `times.npy`, unless the data have none."""
    tables, _, interactions = read_tables(settings)
    times = interactions.times
    if times is not None:
        # Splitting the events' own numbers tells which of them the training part holds, and in which order.
        numbers = Sequences(np.arange(len(times), dtype=np.int32), interactions.sequences.offsets)
        times = times[split_data(tables, replace(interactions, sequences=numbers)).train.items]
        np.save(out / _FILE, times, allow_pickle=False)
    lines = ["events have no times" if times is None else f"events with times: {len(times):,}"]
    write_summary(out, "Times of the training events", lines)


def load_times(folder: Path) -> NDArray[np.float64] | None:
    """Return the times of the training events in the order of the split, in seconds since 1970; None without any."""
    return load_array(folder / _FILE) if (folder / _FILE).is_file() else None
