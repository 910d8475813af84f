"""Write a first experiment file for a user's own tables, inferred from their content (`lexirec init`).

The file extends a shipped recipe. Sizes that depend on the numbers of items and events are those of data sets of
similar size in `experiments/`; beyond the largest they are guesses.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lexirec.core.config import as_toml
from lexirec.core.errors import DataError, SettingsError, did_you_mean
from lexirec.core.printable import printable
from lexirec.data.catalog import Catalog
from lexirec.data.inference.schema import Guess, guess_tables
from lexirec.data.inference.times import TimeChoice
from lexirec.data.interactions import Interactions
from lexirec.data.loading import DataSettings, LeaveLastOut, Published, read_data, split_data
from lexirec.data.splits import Split, unseen_cases
from lexirec.models.baselines.full_softmax import FullSoftmaxSettings
from lexirec.models.distillation_teacher import DistillationSettings
from lexirec.pipeline.baseline_sizes import too_large
from lexirec.pipeline.data_checks import check_histories, why_no_case
from lexirec.pipeline.experiment import load_experiment

RECIPES = {"gram": "lexirec:gram.toml", "tsrec": "lexirec:tsrec.toml"}
"""The shipped recipe of each family."""

_DAY = 86_400
_SCORES, _CASES = 20_000_000_000, 20_000
"""Scores of a whole evaluation beyond which so many cases are sampled: 100,000 cases of 200,000 items."""
_UNLIKE = 0.3
"""Share of validation cases whose newest history event is not in training, above which training differs from use."""


@dataclass(frozen=True)
class Draft:
    """A written experiment file.

    Attributes:
        path: The file.
        text: Its content.
        items: Number of usable items.
        users: Number of users with a usable event.
        events: Number of usable events.
        guess: Inferred roles of the tables' columns.
        remarks: Notes on the data, a sentence each.
    """

    path: Path
    text: str
    items: int
    users: int
    events: int
    guess: Guess
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class _Tables:
    """The two tables, with inferred columns and content."""

    items: Path
    interactions: Path
    guess: Guess
    times: TimeChoice
    catalog: Catalog
    events: Interactions
    split: Split

    @property
    def rejected(self) -> dict[str, int]:
        """Rejected rows, by reason."""
        given = {**self.catalog.rejected, **self.events.rejected}
        return {reason: count for reason, count in given.items() if count}

    @property
    def repeats(self) -> int:
        """Number of dropped events that repeat another's user, item and time."""
        return int(self.events.protocol.get("repeats_dropped", 0))


def draft_experiment(
    items: Path | str,
    interactions: Path | str,
    out: Path | str = "experiment.toml",
    *,
    family: str = "gram",
    times: TimeChoice | None = None,
) -> Draft:
    """Infer the columns of two tables and write an experiment for them.

    Args:
        items: Table of items: Parquet, CSV/TSV or JSON Lines, also .gz/.zst.
        interactions: Table of events, likewise.
        out: The experiment file; an existing one is not overwritten.
        family: "gram" or "tsrec".
        times: What is known of the times of events: their column, format and zone.

    Raises:
        SettingsError: the family is unknown, or the file exists.
        DataError: a table cannot be used, times cannot be read with certainty, or no user has enough events.
    """
    if family not in RECIPES:
        raise SettingsError(f"--family {family}: allowed are {', '.join(RECIPES)}.{did_you_mean(family, RECIPES)}")
    target = Path(out)
    if target.exists():
        raise SettingsError(f"{target} exists and is not overwritten; give another name with --out")
    tables = _read(Path(items), Path(interactions), times or TimeChoice())
    check_histories(tables.split)
    remarks = (*tables.guess.remarks, *_remarks(tables))
    text = "\n".join(_parts(tables, target, family, remarks)).rstrip() + "\n"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    users, events = len(tables.events), len(tables.events.sequences.items)
    return Draft(target, text, len(tables.catalog), users, events, tables.guess, remarks)


def _read(items: Path, interactions: Path, times: TimeChoice) -> _Tables:
    guess = guess_tables(items, interactions, times)
    settings = DataSettings(
        items=items,
        interactions=interactions,
        text=guess.text,
        item_columns=guess.item_columns,
        interaction_columns=guess.interaction_columns,
        time_unit=guess.time_unit,
        time_format=times.format,
        time_zone=times.zone,
        match_ids=guess.match_ids,
        formats=guess.formats,
        where=guess.where,
        on_bad_row="reject",
        split=Published() if guess.published_split else LeaveLastOut(),
    )
    catalog, events = read_data(settings)
    if events.times is not None and (events.times % _DAY != 0).any():  # times of whole days: repeats may be real
        events = events.without_repeats()
    split = split_data(settings, events)
    if not len(split.test):
        raise DataError(f"{interactions}: {_nothing_to_measure(events, guess)}")
    return _Tables(items, interactions, guess, times, catalog, events, split)


def _nothing_to_measure(events: Interactions, guess: Guess) -> str:
    """Return why there is no test case, and what to do."""
    users = f"the {len(events):,} users" if len(events) != 1 else "the one user"
    if guess.published_split:
        return f"no event of {users} that is labelled as test has an earlier one; a test case needs a history"
    return (
        f"none of {users} has three events, one each for training, validation and test; nothing could be measured:"
        " bring more events of each user"
    )


def _remarks(tables: _Tables) -> Iterator[str]:
    """Yield remarks on rejected rows, repeats, short histories and items without events."""
    for reason, count in tables.rejected.items():
        yield f"{count:,} rows are rejected: {reason}"
    if left_out := int(tables.events.protocol.get("left_out_by_where", 0)):
        yield f"{left_out:,} events are left out, as they do not meet where = {as_toml(tables.guess.where)}"
    if tables.repeats:
        yield f"{tables.repeats:,} events repeat the user, item and time of another and are dropped"
    measured = len(tables.split.test)
    if not measured:
        yield f"there is no test case, so lexirec run will stop: {why_no_case(tables.split, 'test')}"
    elif measured < len(tables.events) and not tables.guess.published_split:
        yield f"{measured:,} of {len(tables.events):,} users have enough events (three) to be evaluated"
    never = int((tables.events.sequences.counts(len(tables.catalog)) == 0).sum())
    if never:
        yield f"{never:,} of {len(tables.catalog):,} items have no event; they are recommended by their texts alone"


# ----------------------------------------------------------------------------------------------------------- writing


def _parts(tables: _Tables, target: Path, family: str, remarks: tuple[str, ...]) -> Iterator[str]:
    """Yield the experiment file, paragraph by paragraph."""
    n_items, n_users, n_events = len(tables.catalog), len(tables.events), len(tables.events.sequences.items)
    names = f"{tables.items.name} and {tables.interactions.name}"
    yield _comment(f"{names}: {n_items:,} items, {n_users:,} users, {n_events:,} events.")
    for remark in remarks:
        yield _comment(f"{remark[0].upper()}{remark[1:]}.")
    yield f'extends = "{RECIPES[family]}"\n'
    proposed = "".join(f"# where = {as_toml(condition)}\n" for condition in tables.guess.proposed)
    yield _table("data", _data(tables, target)) + proposed
    for name, format in (("items", tables.guess.formats.items), ("interactions", tables.guess.formats.interactions)):
        if given := format.model_dump(exclude_defaults=True):
            yield _table(f"data.formats.{name}", given)
    if tables.guess.published_split:
        yield _table("data.split", {"kind": "published"})
    sizes = _sizes(family, n_items, len(tables.split.train.items))
    if sizes:
        yield "# Sizes for this amount of data; the rest is as in the recipe."
    for name, values in sizes.items():
        yield _table(name, values)
    yield from _large(family, tables)
    chosen_on = unseen_cases(tables.split)
    unlike = bool(chosen_on.size and chosen_on.mean() > _UNLIKE)
    if unlike and len(tables.split.train) >= DistillationSettings().folds:
        # better where data are split by time (docs/decisions/0013); slightly worse under leave-last-out
        yield "# Many histories end with events outside training: the memory (item co-occurrence) is distilled."
        yield _table("model.training.distillation", {"share": 0.3, "rehearsal": 2})
    if len(chosen_on):
        yield "# Serve an ensemble of model and memory, with weights chosen on validation by bins of training coverage."
        yield _table("ensemble", _fusion(family, unlike=unlike))


def _comment(text: str) -> str:
    """Return one line of comment: a value or file name in it may hold line ends."""
    return f"# {printable(' '.join(text.split()))}"


def _data(tables: _Tables, target: Path) -> dict[str, Any]:
    guess = tables.guess
    data: dict[str, Any] = {
        "kind": "tables",
        "items": _place(tables.items, target),
        "interactions": _place(tables.interactions, target),
        "text": list(guess.text),
        "item_columns": guess.item_columns,
        "interaction_columns": guess.interaction_columns,
    }
    if guess.time_unit != "s":
        data["time_unit"] = guess.time_unit
    if guess.order == "time" and tables.times.format is not None:
        data["time_format"] = tables.times.format
    if guess.order == "time" and tables.times.zone != "UTC":
        data["time_zone"] = tables.times.zone
    if guess.where:
        data["where"] = guess.where
    if guess.match_ids:
        data["match_ids"] = list(guess.match_ids)
    if tables.rejected:
        data["on_bad_row"] = "reject"
    if tables.repeats:
        data["drop_repeats"] = True
    return {name: value for name, value in data.items() if value}


def _sizes(family: str, n_items: int, n_events: int) -> dict[str, dict[str, Any]]:
    """Return the settings tables that depend on the size of the data, where they differ from the recipe's."""
    if family == "tsrec":
        return {"codes": {"branching": 64}} if n_items <= 3_000 else {}
    tables: dict[str, dict[str, Any]] = {}
    if n_items <= 1_500:  # as the toy shop
        tables["codes"] = {"branching": 16, "levels": 4}
        tables["backbone"] = {"vocabulary_size": 2000}
    elif n_items <= 6_000:  # as Office Products
        tables["codes"] = {"branching": 64, "levels": 5}
    if n_events < 100_000:
        tables["model.training"] = {"epochs": 8, "batch_targets": 200}
    elif n_events > 500_000:  # a guess: more data, fewer epochs
        tables["model.training"] = {"epochs": 3}
    return tables


def _large(family: str, tables: _Tables) -> Iterator[str]:
    """Yield what a large catalogue needs: baselines left out or trained on samples, and a sample of cases."""
    n_items, cases = len(tables.catalog), len(tables.split.test)
    baselines = load_experiment(RECIPES[family]).baselines
    for name, why in too_large(baselines, n_items, len(tables.split.train)).items():
        if isinstance(baselines[name], FullSoftmaxSettings):
            yield f"# A softmax over all items is too much ({why.partition(':')[2].strip()}): negatives are sampled."
            yield _table(f"baselines.{name}.training", {"negatives": 256})
        else:
            yield _comment(f"Left out: {why}.")
            yield _table(f"baselines.{name}", {})
    if cases * n_items > _SCORES:
        yield _comment(f"Every case scores {n_items:,} items, so a sample of the {cases:,} cases is evaluated.")
        yield _table("evaluation", {"sample_users": _CASES})


def _fusion(family: str, *, unlike: bool) -> dict[str, Any]:
    table: dict[str, Any] = {"of": ["model", "memory"], "rule": "per-case"}
    if family == "tsrec":
        table["seen"] = "included"  # as its recipe measures
    if unlike:
        table["choose_on"] = "unseen"
    return table


def _place(path: Path, target: Path) -> str:
    """Return a path as written into the file: relative if it lies in or below the file's folder."""
    folder, resolved = target.parent.resolve(), path.resolve()
    return resolved.relative_to(folder).as_posix() if resolved.is_relative_to(folder) else os.fspath(resolved)


def _table(name: str, values: dict[str, Any]) -> str:
    return "\n".join([f"[{name}]", *(f"{key} = {as_toml(value)}" for key, value in values.items())]) + "\n"
