"""Downloads of the official files of public data sets, with resume and checksum.

Where a file cannot be downloaded, the message says which address to download by hand and where to put the file.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from lexirec.core.errors import DataError, did_you_mean
from lexirec.core.progress import Progress

_CHUNK = 2**20
_ATTEMPTS = 5
_PAUSE = 1.0  # seconds before the second attempt; doubles with each further one
_TIMEOUT = 60.0
_MD5 = re.compile(r"\b[0-9a-fA-F]{32}\b")

_MOVIELENS = "https://files.grouplens.org/datasets/movielens/"
_AMAZON_2014 = "https://snap.stanford.edu/data/amazon/productGraph/categoryFiles/"
_AMAZON = "https://mcauleylab.ucsd.edu/public_datasets/data/"

MOVIELENS = ("100k", "1m", "10m", "20m", "25m", "32m", "latest", "latest-small")
"""Releases of MovieLens: `movielens/<release>`."""

_WITHOUT_CHECKSUM = ("latest-small",)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


CATEGORIES: dict[str, tuple[str, ...]] = {
    "amazon-2014": _words(
        "Amazon_Instant_Video Apps_for_Android Automotive Baby Beauty Books CDs_and_Vinyl Cell_Phones_and_Accessories"
        " Clothing_Shoes_and_Jewelry Digital_Music Electronics Grocery_and_Gourmet_Food Health_and_Personal_Care"
        " Home_and_Kitchen Kindle_Store Movies_and_TV Musical_Instruments Office_Products Patio_Lawn_and_Garden"
        " Pet_Supplies Sports_and_Outdoors Tools_and_Home_Improvement Toys_and_Games Video_Games"
    ),
    "amazon-2018": _words(
        "AMAZON_FASHION All_Beauty Appliances Arts_Crafts_and_Sewing Automotive Books CDs_and_Vinyl"
        " Cell_Phones_and_Accessories Clothing_Shoes_and_Jewelry Digital_Music Electronics Gift_Cards"
        " Grocery_and_Gourmet_Food Home_and_Kitchen Industrial_and_Scientific Kindle_Store Luxury_Beauty"
        " Magazine_Subscriptions Movies_and_TV Musical_Instruments Office_Products Patio_Lawn_and_Garden Pet_Supplies"
        " Prime_Pantry Software Sports_and_Outdoors Tools_and_Home_Improvement Toys_and_Games Video_Games"
    ),
    "amazon-2023": _words(
        "All_Beauty Amazon_Fashion Appliances Arts_Crafts_and_Sewing Automotive Baby_Products"
        " Beauty_and_Personal_Care Books CDs_and_Vinyl Cell_Phones_and_Accessories Clothing_Shoes_and_Jewelry"
        " Digital_Music Electronics Gift_Cards Grocery_and_Gourmet_Food Handmade_Products Health_and_Household"
        " Health_and_Personal_Care Home_and_Kitchen Industrial_and_Scientific Kindle_Store Magazine_Subscriptions"
        " Movies_and_TV Musical_Instruments Office_Products Patio_Lawn_and_Garden Pet_Supplies Software"
        " Sports_and_Outdoors Subscription_Boxes Tools_and_Home_Improvement Toys_and_Games Unknown"
        " Video_Games"
    ),
}
"""Categories of each Amazon release: `amazon-2014/Beauty`."""


BY_HAND = {
    "mind": "MIND asks for consent to its terms: get MINDsmall_train.zip and MINDsmall_dev.zip (or MINDlarge_…)"
    " from https://msnews.github.io and put them into {folder}",
    "goodreads": "get goodreads_books….json.gz and goodreads_interactions….json.gz, all or of one genre, and if you"
    " like goodreads_book_authors.json.gz and goodreads_book_genres_initial.json.gz, from the UCSD Book Graph's page"
    " of data sets and put them into {folder}",
    "steam": "get steam_reviews.json.gz and steam_games.json.gz from the page of data sets of UCSD's McAuley Lab and"
    " put them into {folder}",
    "book-crossing": "get BX-CSV-Dump.zip, or BX-Book-Ratings.csv and BX-Books.csv, from a copy of Book-Crossing and"
    " put them into {folder}",
    "retailrocket": "Kaggle asks for an account: get archive.zip of 'Retailrocket recommender system dataset' and put"
    " it into {folder}",
    "yelp": "Yelp asks for consent to its terms: get yelp_academic_dataset_review.json and"
    " yelp_academic_dataset_business.json from https://www.yelp.com/dataset and put them into {folder}",
}
"""Data sets that are not downloaded here: where their files are and what to put where."""


@dataclass(frozen=True)
class RemoteFile:
    """One file to download: its address, its name on disk and, where the publisher has one, the address of its MD5."""

    url: str
    name: str
    checksum_url: str | None = None


class _LostError(Exception):
    """A failed connection; `again` says whether another attempt may help."""

    def __init__(self, reason: str, again: bool = True) -> None:
        super().__init__(reason)
        self.again = again


def files_of(dataset: str) -> tuple[RemoteFile, ...]:
    """Return the official files of a data set.

    Args:
        dataset: `movielens/<release>` or `amazon-<year>/<category>`. Of 2014 and 2018 these are the publishers' 5-core
            reviews; `amazon-2018/<category>/all` gives all of them (2023 has no 5-core reviews).

    Raises:
        DataError: There is no such data set; the message names the nearest.
    """
    family, _, rest = dataset.partition("/")
    name, _, part = rest.partition("/")
    names = MOVIELENS if family == "movielens" else CATEGORIES.get(family, ())
    if not names:
        raise DataError(
            f"There is no data set '{dataset}'; there are movielens/<release> and amazon-<2014|2018|2023>/<category>."
            f"{did_you_mean(family, ['movielens', *CATEGORIES, *BY_HAND])}"
        )
    if name not in names or part not in ("", "all") or (part and family in ("movielens", "amazon-2023")):
        raise DataError(f"There is no '{rest}' of {family}; there are {', '.join(names)}.{did_you_mean(name, names)}")
    if family == "movielens":
        archive = f"ml-{name}.zip"
        md5 = None if name in _WITHOUT_CHECKSUM else f"{_MOVIELENS}{archive}.md5"
        return (RemoteFile(_MOVIELENS + archive, archive, md5),)
    return tuple(RemoteFile(url, url.rsplit("/", 1)[1]) for url in _amazon_urls(family, name, part == "all"))


def _amazon_urls(family: str, category: str, everything: bool) -> tuple[str, str]:
    core = "" if everything else "_5"
    if family == "amazon-2014":
        return f"{_AMAZON_2014}reviews_{category}{core}.json.gz", f"{_AMAZON_2014}meta_{category}.json.gz"
    if family == "amazon-2018":
        folder = "categoryFiles" if everything else "categoryFilesSmall"
        base = f"{_AMAZON}amazon_v2/"
        return f"{base}{folder}/{category}{core}.json.gz", f"{base}metaFiles2/meta_{category}.json.gz"
    base = f"{_AMAZON}amazon_2023/raw/"
    return f"{base}review_categories/{category}.jsonl.gz", f"{base}meta_categories/meta_{category}.jsonl.gz"


def fetch(dataset: str, folder: Path | str, *, mirror: str | None = None) -> tuple[Path, ...]:
    """Download the official files of a data set into a folder, ready for `import_dataset`.

    Complete files are kept; an interrupted download is resumed. The data belong to their publishers; read their terms.

    Args:
        dataset: See `files_of`.
        folder: Destination; it is created if needed.
        mirror: Address of a folder that serves the same files under the same names.

    Raises:
        DataError: There is no such data set, a checksum differs, or a file cannot be downloaded; then the message
            names the files to download by hand and where to put them.
    """
    target = Path(folder)
    if (by_hand := BY_HAND.get(dataset.partition("/")[0])) is not None:
        advice = by_hand.format(folder=target)
        raise DataError(f"'{dataset}' cannot be fetched: {advice}, then run lexirec import {dataset} {target} TABLES.")
    files = files_of(dataset)
    if mirror is not None:
        base = mirror.rstrip("/") + "/"
        files = tuple(
            RemoteFile(base + file.name, file.name, file.checksum_url and base + file.name + ".md5") for file in files
        )
    target.mkdir(parents=True, exist_ok=True)
    for file in files:
        try:
            _download(file, target / file.name)
        except _LostError as error:
            missing = [left for left in files if not (target / left.name).exists()]
            by_hand = "; ".join(f"{left.url} -> {target / left.name}" for left in missing)
            raise DataError(f"{file.url}: {error}. Download by hand: {by_hand}") from None
    return tuple(target / file.name for file in files)


def _download(file: RemoteFile, target: Path) -> None:
    """Download one file to `<target>.part`, resuming what is there, and move it to `target` when it is complete."""
    if target.exists():
        return
    part = target.with_name(target.name + ".part")
    with Progress(f"Fetching {file.name}") as progress:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                _resume(file.url, part, progress)
                break
            except _LostError as error:
                if attempt == _ATTEMPTS or not error.again:
                    raise
                progress.update(f"retrying: {error}")
                time.sleep(_PAUSE * 2 ** (attempt - 1))
    if file.checksum_url is not None:
        _check(part, _published_md5(file.checksum_url), target.name)
    _tag(part).unlink(missing_ok=True)
    part.replace(target)


def _resume(url: str, part: Path, progress: Progress) -> None:
    """Request the missing rest of the part file and append it; the whole file where it has changed on the server."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "lexirec"}
    if have and _tag(part).exists():
        # With If-Range, a server whose file has changed sends all of it instead of a rest that does not fit.
        headers |= {"Range": f"bytes={have}-", "If-Range": _tag(part).read_text(encoding="utf-8")}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT) as answer:
            _receive(answer, part, have, progress)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # there is no rest: the part is complete, or too long and downloaded again
            if error.headers.get("Content-Range") == f"bytes */{have}":
                return
            part.unlink(missing_ok=True)
        raise _LostError(
            f"the server answers {error.code} {error.reason}", error.code >= 500 or error.code == 416
        ) from None
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise _LostError(f"the server cannot be reached ({reason})") from None


def _receive(answer: http.client.HTTPResponse, part: Path, have: int, progress: Progress) -> None:
    resumed = answer.status == 206
    length = answer.headers.get("Content-Length")
    total = None if length is None else int(length) + (have if resumed else 0)
    tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
    if tag and not tag.startswith("W/"):
        _tag(part).write_text(tag, encoding="utf-8")
    else:
        _tag(part).unlink(missing_ok=True)
    progress.total = total
    progress.advance((have if resumed else 0) - progress.done)
    with part.open("ab" if resumed else "wb") as out:
        while chunk := answer.read(_CHUNK):
            out.write(chunk)
            progress.advance(len(chunk))
    size = part.stat().st_size
    if total is not None and size != total:
        raise _LostError(f"the connection was cut after {size:,} of {total:,} bytes")


def _published_md5(url: str) -> str:
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers={"User-Agent": "lexirec"}), timeout=_TIMEOUT
        ) as answer:
            text = answer.read(4096).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException) as error:
        raise _LostError(f"its checksum {url} cannot be downloaded ({error})") from None
    match = _MD5.search(text)
    if match is None:
        raise DataError(f"{url}: the publisher's checksum file holds no MD5.")
    return match[0].lower()


def _check(part: Path, expected: str, name: str) -> None:
    with part.open("rb") as content:
        md5 = hashlib.file_digest(content, "md5").hexdigest()
    if md5 != expected:
        part.unlink()
        _tag(part).unlink(missing_ok=True)
        raise DataError(
            f"{name}: the MD5 is {md5}, the publisher's is {expected}; the file was removed, fetch it again."
        )


def _tag(part: Path) -> Path:
    return part.with_name(part.name + ".tag")
