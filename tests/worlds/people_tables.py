"""Tables as people have them, whose truth is known by construction: a generator for tests of `init` and of the readers.

A `Shape` says how one pair of tables is written: names of columns, form of ids, times, texts and categories, missing
values, rows out of order, and the file around them. `write` makes the files and returns the truth; `outcome` runs
`init`, `plan` and `run --until data` on them and says whether what was read is right, refused in one line, or wrong.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import logging
import random
import re
from collections import Counter
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st
from typer.testing import CliRunner

from lexirec.cli import app
from lexirec.core.errors import LexirecError
from lexirec.data.catalog import Catalog
from lexirec.data.interactions import Interactions
from lexirec.data.loading import DataSettings, read_data
from lexirec.pipeline.experiment import load_experiment

WORDS = tuple(
    "red blue river moon oak table wild honey lamp stone garden night silver cotton tea violin bridge paper winter"  # noqa: SIM905
    " train café Größe señor naïve".split()
)
GENRES = ["Drama", "Comedy", "Home & Garden", "Sci-Fi", "Books", "Kids' Toys"]
HELPERS = ["bad", "unreadable", "first_row", "lexirec_row", "rating", "Brand", "*", "item", "Unnamed: 0", "note"]

Row = dict[str, object]
Event = tuple[datetime, str, str]
"""Moment, user and item of one event."""

# Every form is certain (the file says what it means) or doubtful: the reading may refuse it, and must not be wrong.
TIMES = (
    "seconds", "milliseconds", "microseconds", "nanoseconds", "float seconds", "iso", "iso T", "iso Z", "iso offset",
    "iso zones", "iso microseconds", "iso comma", "iso minutes", "date", "slashed ymd", "us", "us ampm", "eu dot",
    "eu slash", "ambiguous", "month name", "day month name", "goodreads", "ctime", "rfc 2822", "ymd", "ymdhms",
    "amazon", "none",
)  # fmt: skip
IDS = ("plain", "number", "zeros", "uuid", "float events", "zeros lost", "blanks", "case", "exponent")
NOISE = ("none", "html", "entities", "quotes", "null words", "blank", "spaces", "emoji", "formula")
CATEGORIES = ("none", "text", "pipe", "json", "python", "objects", "list", "path")
FILES = (
    "csv", "tsv", "semicolon", "pipe", "csv.gz", "jsonl", "json array", "parquet", "index", "trailing", "sep",
    "comment", "latin-1", "utf-16", "bom", "crlf", "blanks", "gzip unsaid", "odd path", "backslash",
)  # fmt: skip
ORDERS = ("shuffled", "newest first", "by user", "oldest first")
ITEM_NAMES = ("item_id", "asin", "movieId", "sku", "Product ID", "ISBN", "id", "artnr", "item")
TITLE_NAMES = (
    "title", "name", "Book-Title", "product_name", "item_title", "movieTitle", "Titel", "headline", "label", "NAME",
)  # fmt: skip
USER_NAMES = ("user_id", "userId", "User-ID", "customer_id", "reviewerID", "visitorid", "member", "username")
TIME_NAMES = (
    "time", "timestamp", "date_added", "order_date", "event_timestamp", "time_ms", "Review Time", "when", "created",
    "purchase date", "ts", "played_at", "dt", "Date",
)  # fmt: skip
EXTRAS = ("none", "brand", "publisher", "description", "price", "url", "helpers")


@dataclass(frozen=True)
class Shape:
    """How one pair of tables is written."""

    time: str
    ids: str
    noise: str
    categories: str
    items_file: str
    events_file: str
    order: str
    item_name: str
    title_name: str
    user_name: str
    time_name: str
    extra: str
    missing: Literal["none", "times", "users", "items"]
    seed: int


def shapes() -> st.SearchStrategy[Shape]:
    """Return a strategy of shapes."""
    pick = st.sampled_from
    return st.builds(
        Shape, pick(TIMES), pick(IDS), pick(NOISE), pick(CATEGORIES), pick(FILES), pick(FILES), pick(ORDERS),
        pick(ITEM_NAMES), pick(TITLE_NAMES), pick(USER_NAMES), pick(TIME_NAMES), pick(EXTRAS),
        pick(("none", "none", "times", "users", "items")), st.integers(0, 2**16),
    )  # fmt: skip


@dataclass(frozen=True)
class Truth:
    """What the two tables mean: the items of each user, oldest first, and the title of each item."""

    histories: dict[str, list[str]]
    titles: dict[str, str]
    items: Path
    events: Path


# ---------------------------------------------------------------------------------------------------------- writing


def write(shape: Shape, folder: Path) -> Truth:
    """Write the tables of a shape into a folder and return what they mean."""
    draw = random.Random(shape.seed)
    ids = [_item_id(shape.ids, n) for n in draw.sample(range(100, 100_000), draw.randint(8, 14))]
    titles = {item: _title(draw, n) for n, item in enumerate(ids)}
    rows: list[Row] = [{shape.item_name: item, **_extra(shape, draw, n)} for n, item in enumerate(ids)]
    for row, item in zip(rows, ids, strict=True):
        row[shape.title_name] = noisy = _noisy(shape.noise, titles[item], draw)
        if shape.noise == "formula":
            titles[item] = noisy
        if shape.categories != "none":
            row["genres"] = _categories(shape.categories, draw.sample(GENRES, 2))
    other_text = shape.categories != "none" or shape.extra in ("brand", "publisher", "description", "helpers")
    if (
        shape.noise in ("null words", "blank") and not other_text
    ):  # an item without any text is left out, and said to be
        nothing = draw.choice(["nan", "None", "NULL", "null", "N/A"]) if shape.noise == "null words" else " "
        rows[0][shape.title_name] = nothing
        del titles[ids[0]]
    histories, events = _events(shape, draw, ids)
    histories = {user: [item for item in history if item in titles] for user, history in histories.items()}
    histories = {user: history for user, history in histories.items() if history}
    items_path = _save(shape.items_file, folder, "items", rows)
    events_path = _save(shape.events_file, folder, "events", events)
    return Truth(histories, titles, items_path, events_path)


def _item_id(form: str, n: int) -> str:
    match form:
        case "number" | "float events" | "exponent":
            return str(n)
        case "zeros" | "zeros lost":
            return f"{n:08d}"
        case "uuid":
            return f"{n:08x}-1234-4abc-8def-{n:012x}"
        case _:
            return f"B{n:05d}x"


def _event_id(form: str, item: str) -> str:
    match form:
        case "float events":
            return f"{item}.0"
        case "zeros lost":
            return item.lstrip("0")
        case "blanks":
            return f"{item} "
        case "case":
            return item.upper()
        case "exponent":
            return f"{float(item):.6e}"
        case _:
            return item


def _title(draw: random.Random, n: int) -> str:
    return f"{draw.choice(WORDS).capitalize()} {draw.choice(WORDS)} {draw.choice(WORDS)} {_roman(n + 1)}"


def _roman(n: int) -> str:
    return "".join("XVI"[k] * c for k, c in ((0, n // 10), (1, n % 10 // 5), (2, n % 5)))


def _noisy(noise: str, title: str, draw: random.Random) -> str:
    match noise:
        case "html":
            return draw.choice([f"<b>{title}</b>", f"<p>{title}</p><br/>", f'<span class="t">{title}</span>'])
        case "entities":
            return title.replace(" ", "&nbsp;", 1)
        case "spaces":
            return f"  {title.replace(' ', '  ')} "
        case "quotes":
            return title
        case "formula":
            return f"{title} a < b, 3 > 2"
        case _:
            return title


def _extra(shape: Shape, draw: random.Random, n: int) -> Row:
    match shape.extra:
        case "brand":
            return {"brand": draw.choice(["Acme", "Borel", "Cato"])}
        case "publisher":
            return {"Publisher": draw.choice(["Oxford Press", "Penguin Books"])}
        case "description":
            return {"description": " ".join(draw.choices(WORDS, k=12)) + "."}
        case "price":
            return {"price": draw.choice(["12,50", "9,99", "3,00"])}
        case "url":
            return {"image": f"https://example.com/{n}.jpg"}
        case "helpers":
            return {name: "yes" if n % 2 else "no" for name in HELPERS if name.lower() != shape.item_name.lower()}
        case _:
            return {}


def _categories(form: str, names: list[str]) -> object:
    match form:
        case "pipe":
            return "|".join(names)
        case "json":
            return json.dumps(names)
        case "python":
            return repr(names)
        case "objects":
            return json.dumps([{"id": n, "name": name} for n, name in enumerate(names)])
        case "list":
            return names
        case "path":
            return " > ".join(names)
        case _:
            return names[0]


def _events(shape: Shape, draw: random.Random, ids: list[str]) -> tuple[dict[str, list[str]], list[Row]]:
    step = (
        timedelta(days=1)
        if shape.time in ("date", "slashed ymd", "ymd", "us", "eu dot", "eu slash", "amazon")
        else None
    )
    start = datetime(2018, 1, 20, 3, 10, tzinfo=UTC) + timedelta(days=draw.randrange(900))
    histories: dict[str, list[str]] = {}
    rows: list[Event] = []
    for n in range(draw.randint(6, 10)):
        user = f"u{n}" if shape.seed % 2 else str(1000 + n)
        moment = start + timedelta(days=draw.randrange(40))
        histories[user] = draw.sample(ids, draw.randint(4, 7))
        for item in histories[user]:
            rows.append((moment, user, item))
            whole = shape.time in ("day month name", "month name")
            moment += (
                (step or timedelta(days=1)) * draw.randint(1, 9)
                if step or whole
                else timedelta(minutes=draw.randint(61, 9000))
            )
    if shape.time == "ambiguous":  # every day and month fits both ways, and the two ways order events differently
        rows = [
            (datetime(2019, draw.randint(1, 12), draw.randint(1, 12), tzinfo=UTC), user, item) for _, user, item in rows
        ]
    written = [
        {shape.user_name: user, shape.item_name: _event_id(shape.ids, item), **_time(shape, moment, draw)}
        for moment, user, item in rows
    ]
    _leave_out(shape, written, rows, histories, draw)
    return histories, _ordered(shape.order, written, rows, draw)


def _leave_out(
    shape: Shape, written: list[Row], rows: list[Event], histories: dict[str, list[str]], draw: random.Random
) -> None:
    """Empty one cell; its event then counts no more."""
    key = {"times": shape.time_name, "users": shape.user_name, "items": shape.item_name}.get(shape.missing)
    if key is None or (key == shape.time_name and shape.time == "none"):
        return
    at = draw.randrange(len(written))
    written[at][key] = None if shape.events_file in ("jsonl", "parquet", "json array") else ""
    _, user, item = rows[at]
    histories[user].remove(item)


def _ordered(order: str, written: list[Row], rows: list[Event], draw: random.Random) -> list[Row]:
    pairs = list(zip(rows, written, strict=True))
    if order == "shuffled":
        draw.shuffle(pairs)
    elif order != "by user":
        pairs.sort(key=lambda pair: pair[0][0], reverse=order == "newest first")
    return [row for _, row in pairs]


def _time(shape: Shape, moment: datetime, draw: random.Random) -> Row:
    seconds = int(moment.timestamp())
    offset = moment.astimezone(timezone(timedelta(hours=draw.choice([-7, -3, 0, 2, 9]))))
    zone = moment.astimezone(ZoneInfo(draw.choice(["Europe/Berlin", "America/New_York", "Asia/Tokyo"])))
    forms = {
        "seconds": seconds, "milliseconds": seconds * 1000, "microseconds": seconds * 10**6,
        "nanoseconds": seconds * 10**9, "float seconds": seconds + 0.5,
        "iso": f"{moment:%Y-%m-%d %H:%M:%S}", "iso T": f"{moment:%Y-%m-%dT%H:%M:%S}",
        "iso Z": f"{moment:%Y-%m-%dT%H:%M:%SZ}", "iso offset": offset.isoformat(timespec="seconds"),
        "iso zones": f"{zone:%Y-%m-%d %H:%M:%S} {zone.tzinfo}",
        "iso microseconds": f"{moment:%Y-%m-%d %H:%M:%S}.123456", "iso comma": f"{moment:%Y-%m-%d %H:%M:%S},123",
        "iso minutes": f"{moment:%Y-%m-%d %H:%M}", "date": f"{moment:%Y-%m-%d}", "slashed ymd": f"{moment:%Y/%m/%d}",
        "us": f"{moment:%m/%d/%Y}", "us ampm": f"{moment:%m/%d/%Y %I:%M:%S %p}", "eu dot": f"{moment:%d.%m.%Y}",
        "eu slash": f"{moment:%d/%m/%Y}", "ambiguous": f"{moment:%d/%m/%Y}",
        "month name": f"{moment:%b} {moment.day}, {moment.year}", "day month name": f"{moment.day} {moment:%B %Y}",
        "goodreads": f"{offset:%a %b %d %H:%M:%S %z %Y}", "ctime": f"{moment:%a %b %d %H:%M:%S %Y}",
        "rfc 2822": f"{offset:%a, %d %b %Y %H:%M:%S %z}", "ymd": int(f"{moment:%Y%m%d}"),
        "ymdhms": int(f"{moment:%Y%m%d%H%M%S}"), "amazon": f"{moment:%m} {moment.day}, {moment.year}",
    }  # fmt: skip
    return {} if shape.time == "none" else {shape.time_name: forms[shape.time]}


# ------------------------------------------------------------------------------------------------------------- files


def _save(form: str, folder: Path, stem: str, rows: list[Row]) -> Path:
    names = list(rows[0])
    if form in ("jsonl", "json array"):
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        text = "\n".join(lines) + "\n" if form == "jsonl" else "[" + ", ".join(lines) + "]"
        return _put(folder / f"{stem}.{'jsonl' if form == 'jsonl' else 'json'}", text.encode())
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{stem}.parquet")
        return folder / f"{stem}.parquet"
    marks = {"tsv": "\t", "semicolon": ";", "pipe": "|"}
    out = io.StringIO()
    delimiter, end = marks.get(form, ","), "\r\n" if form == "crlf" else "\n"
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end)
    if form == "backslash":
        writer = csv.writer(out, lineterminator=end, doublequote=False, escapechar="\\", quoting=csv.QUOTE_ALL)
    index = [""] if form == "index" else []
    more = [""] if form == "trailing" else []
    writer.writerow([*index, *names, *more])
    for n, row in enumerate(rows):
        values = ["" if row.get(name) is None else _text(row[name]) for name in names]
        writer.writerow([*([n] if index else []), *values, *more])
    text = out.getvalue()
    if form == "blanks":
        text = re.sub(r",(?=(?:[^\"\n]*\"[^\"\n]*\")*[^\"\n]*$)", ", ", text, flags=re.MULTILINE)
    text = {"sep": "sep=,\n", "comment": "# exported by hand\n"}.get(form, "") + text
    encoding = {"latin-1": "latin-1", "utf-16": "utf-16", "bom": "utf-8-sig"}.get(form, "utf-8")
    content = text.encode(encoding, "replace")
    name = f"{stem}.{'tsv' if form == 'tsv' else 'csv'}"
    if form in ("csv.gz", "gzip unsaid"):
        return _put(folder / (f"{name}.gz" if form == "csv.gz" else name), gzip.compress(content))
    if form == "odd path":
        (folder / f"{stem}1.csv").write_text("item_id,title,user_id\nwrong,Wrong thing,u\n")
        return _put(folder / f"{stem}[1].csv", content)
    return _put(folder / name, content)


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, list) else str(value)


def _put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


# ----------------------------------------------------------------------------------------------------------- outcome


@dataclass(frozen=True)
class Outcome:
    """What became of one pair of tables: `right`, `refused` (one line), or what was wrong, and words on it."""

    kind: Literal["right", "refused", "said", "wrong order", "wrong text", "wrong ids", "crash"]
    words: str = ""


def outcome(truth: Truth, folder: Path) -> Outcome:
    """Run `init`, `plan` and `run --until data` on a pair of tables and compare what they read with the truth."""
    file = folder / "mine.toml"
    runner = CliRunner()
    commands = [
        ["init", str(truth.items), str(truth.events), "--out", str(file)],
        ["plan", str(file), "--store", str(folder / "store")],
        ["run", str(file), "--until", "data", "--store", str(folder / "store")],
    ]
    said = ""
    for command in commands:
        result = runner.invoke(app, command)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            words = str(result.exception)
            one = isinstance(result.exception, LexirecError) and "\n" not in words
            return Outcome("refused" if one else "crash", f"{command[0]}: {type(result.exception).__name__}: {words}")
        said += result.output
    logging.getLogger("lexirec").handlers.clear()  # they write to a stream that the runner has closed
    data = load_experiment(file).data
    assert isinstance(data, DataSettings)
    catalog, interactions = read_data(data, folder)
    return _compared(truth, catalog, interactions, said)


def _compared(truth: Truth, catalog: Catalog, interactions: Interactions, said: str) -> Outcome:
    numbers = interactions.sequences
    read = {
        str(user): [catalog.item_ids[n] for n in numbers.items[numbers.offsets[row] : numbers.offsets[row + 1]]]
        for row, user in enumerate(interactions.user_ids)
    }
    if interactions.times is None and "order of the file" in said:
        return Outcome("said", "the order of the file")
    wanted = truth.histories
    if Counter(e for h in read.values() for e in h) != Counter(e for h in wanted.values() for e in h) or set(
        read
    ) != set(wanted):
        return Outcome("wrong ids", f"{read} is not {wanted}")
    if read != wanted:
        return Outcome("wrong order", f"{read} is not {wanted}")
    titles = dict(zip(catalog.item_ids, catalog.texts(), strict=True))
    wrong = [
        f"{titles.get(item)!r} lacks {title!r}"
        for item, title in truth.titles.items()
        if title not in titles.get(item, "")
    ]
    noise = [text for text in titles.values() if re.search(r"</?(b|p|br|span)\b|&\w+;|[\[\]{}]|\"name\"", text)]
    if wrong or noise:
        return Outcome("wrong text", "; ".join([*wrong, *noise])[:300])
    return Outcome("right")


def certain(shape: Shape) -> bool:
    """Return whether nothing about a shape is doubtful, so that it should be read, not refused."""
    return shape.time not in ("ambiguous", "none") and shape.ids in ("plain", "number", "zeros", "uuid")


def kinds(shape: Shape) -> dict[str, str]:
    """Return the values of a shape by its kinds."""
    return {each.name: str(getattr(shape, each.name)) for each in fields(Shape) if each.name != "seed"}
