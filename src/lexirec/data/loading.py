"""Settings of an experiment's data, and the functions that read the tables and split the interactions."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from lexirec.core.config import DataPath, Settings, usual_kind
from lexirec.core.errors import DataError
from lexirec.core.renamed import StoredAsBefore
from lexirec.data.catalog import Catalog
from lexirec.data.event_types import EventTypes
from lexirec.data.interactions import Interactions
from lexirec.data.readers.events import EventOptions
from lexirec.data.readers.id_spelling import IdSpelling
from lexirec.data.readers.text_format import TextFormats
from lexirec.data.readers.time_recognition import TimeUnit
from lexirec.data.readers.validation import OnBadRow, Rejects
from lexirec.data.readers.where import parse
from lexirec.data.splits import Split, global_temporal, leave_last_out, predefined_split

Moment = float | datetime.date | datetime.datetime


class LeaveLastOut(Settings):
    """Split by user: the last event is the test target, the second last the validation target."""

    kind: Literal["leave-last-out"] = "leave-last-out"
    hold_back: float = Field(default=0.0, ge=0, le=1)
    """Share of the users whose newest training event is held back: it stays in their histories, but nothing is trained
    on it. Their validation histories then end, as test histories do, with an event no model was trained on
    (`ensemble.choose_on = "unseen"`); 0.2 of the users is some 3 % of the training events."""


class GlobalTemporal(Settings):
    """Split by time: all users' events are cut at the same two moments."""

    kind: Literal["global-temporal"] = "global-temporal"
    validation: float = Field(default=0.1, ge=0, lt=1)
    """Share of the targets that are validation cases."""
    test: float = Field(default=0.1, ge=0, lt=1)
    """Share of the targets that are test cases."""
    cuts: tuple[Moment, Moment] | None = None
    """Start of validation and start of test, as seconds since 1970 or dates; overrides the shares."""


class Published(Settings):
    """Predefined split: read from the column `split` of the interactions."""

    kind: Literal["published"] = "published"


SplitSettings = Annotated[
    LeaveLastOut | GlobalTemporal | Published, Field(discriminator="kind"), usual_kind("leave-last-out")
]


class DataSettings(StoredAsBefore, Settings):
    """Tables of items and interactions (and optionally of user texts), how to read them and how to split them."""

    later: ClassVar[tuple[str, ...]] = ("events",)
    items: DataPath
    """Items: Parquet, CSV/TSV or JSON Lines, also .gz/.zst."""
    interactions: DataPath
    """Interactions: the same kinds of files."""
    users: DataPath | None = None
    """Texts about users, for the task `preference`: the same kinds of files, with `user_id` and `preference`; written
    from training events alone."""
    text: tuple[str, ...] = Field(default=("title",), min_length=1)
    """Text fields of the items, in the order in which texts present them."""
    item_columns: dict[str, str] = Field(default_factory=dict)
    """Our names -> names in the items file, such as {item_id = "asin", title = "name"}."""
    interaction_columns: dict[str, str] = Field(default_factory=dict)
    """Our names (user_id, item_id, time, position, split) -> names in the interactions file."""
    user_columns: dict[str, str] = Field(default_factory=dict)
    """Our names (user_id, preference) -> names in the users file."""
    time_unit: TimeUnit = "s"
    """Unit of numeric times: seconds ("s"), "ms", "us" or "ns" since 1970."""
    time_format: str | None = None
    """Format of times in text or digits, as `strptime` has it, such as "%d.%m.%Y %H:%M", or "spreadsheet" for days as
    spreadsheets count them; by default the usual ones are recognised and ambiguous ones refused."""
    time_zone: str = "UTC"
    """Zone of times that name none, such as "Europe/Berlin" or "+02:00"."""
    where: str | None = None
    """Condition that an event must meet to count, over the file's own columns: "rating >= 4 and event = 'purchase'"."""
    events: EventTypes | None = None
    """Types of events: which are trained on, which count as seen, and which forbid; by default every row is read."""
    match_ids: tuple[IdSpelling, ...] = ()
    """Differences in spelling that ids of the tables may have and still agree: "blanks" around them, upper and lower
    "case", "decimals" (100.0 and 100), "leading-zeros" (0042 and 42), "hyphens" (also underscores and blanks inside)
    and "unicode" (composed and decomposed letters)."""
    formats: TextFormats = TextFormats()
    """How delimited text files are written, where their names and first lines do not say it."""
    on_bad_row: OnBadRow = "error"
    """Whether a bad row stops the reading ("error") or is skipped and kept with its reason ("reject")."""
    drop_repeats: bool = False
    """Drop repeated events of the same user, item and time, as in logs that were written twice; needs times."""
    k_core: int | None = Field(default=None, ge=2)
    """Minimum number of events of every user and item, applied until it holds; none by default."""
    split: SplitSettings = LeaveLastOut()
    """How events are divided into training, validation and test."""
    max_history: int = Field(default=20, ge=1)
    """Number of newest items kept of a history."""

    @field_validator("where")
    @classmethod
    def _readable_condition(cls, where: str | None) -> str | None:
        try:
            if where is not None:
                parse(where)
        except DataError as error:
            raise ValueError(str(error).rstrip(".")) from None
        return where


def event_options(settings: DataSettings) -> EventOptions:
    """Return the settings that say how the table of events is read."""
    return EventOptions(
        time_unit=settings.time_unit,
        time_format=settings.time_format,
        time_zone=settings.time_zone,
        where=_condition(settings),
        match_ids=settings.match_ids,
        format=settings.formats.interactions,
    )


def _condition(settings: DataSettings) -> str | None:
    """Return the condition that rows must meet to be read: of `where`, and of the types of events."""
    types = None if settings.events is None else settings.events.condition
    if settings.where is None or types is None:
        return settings.where or types
    return f"({settings.where}) and {types}"


def read_data(
    settings: DataSettings, base: Path | str = "", *, rejects: Path | str | None = None
) -> tuple[Catalog, Interactions]:
    """Read both tables; drop repeated events and reduce to the k-core where the settings ask for it.

    Args:
        settings: Files and how to read them.
        base: Folder that relative paths start from.
        rejects: Parquet file for the rejected rows of both tables (only with `on_bad_row = "reject"`).

    Raises:
        DataError: A file or row cannot be used.
    """
    bad_rows = Rejects(settings.on_bad_row)
    catalog = Catalog.read(
        Path(base) / settings.items,
        text=settings.text,
        columns=settings.item_columns,
        rejects=bad_rows,
        format=settings.formats.items,
    )
    interactions = Interactions.read(
        Path(base) / settings.interactions,
        catalog,
        columns=settings.interaction_columns,
        rejects=bad_rows,
        options=event_options(settings),
    )
    if rejects is not None and settings.on_bad_row == "reject":
        bad_rows.save(rejects)
    if settings.drop_repeats:
        interactions = interactions.without_repeats()
    if settings.k_core is not None:
        interactions, catalog = interactions.k_core(settings.k_core, catalog)
    facts: dict[str, Any] = {"rejected_items": catalog.rejected, "catalog": catalog.digest}
    if settings.events is not None:
        facts["event_types"] = settings.events.model_dump(mode="json")
    return catalog, replace(interactions, protocol={**interactions.protocol, **facts})


def split_data(settings: DataSettings, interactions: Interactions) -> Split:
    """Split interactions as the settings say.

    Raises:
        DataError: The interactions lack what the split needs (times, or a column of parts).
    """
    match settings.split:
        case GlobalTemporal(validation=validation, test=test, cuts=moments):
            cuts = None if moments is None else (_seconds(moments[0]), _seconds(moments[1]))
            return global_temporal(
                interactions, validation=validation, test=test, cuts=cuts, max_history=settings.max_history
            )
        case Published():
            return predefined_split(interactions, max_history=settings.max_history)
        case LeaveLastOut():
            hold_back = settings.split.hold_back
            return leave_last_out(interactions, max_history=settings.max_history, hold_back=hold_back)


def _seconds(moment: Moment) -> float:
    if isinstance(moment, (int, float)):
        return float(moment)
    if not isinstance(moment, datetime.datetime):
        moment = datetime.datetime(moment.year, moment.month, moment.day)
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
