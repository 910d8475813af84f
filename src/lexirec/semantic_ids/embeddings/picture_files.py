"""Picture files of items: which file each item names, and the pixels in it.

Pictures come from anywhere, so nothing in a file is trusted: only formats of pixels are opened (Pillow would hand an
EPS file to Ghostscript), Pillow's limit on decompressed pixels is an error, and whatever a decoder raises makes that
one picture unusable, not the run.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import stat
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lexirec.core.errors import DataError, SettingsError, did_you_mean

if TYPE_CHECKING:
    from PIL.Image import Image

    from lexirec.data.catalog import Catalog

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""Formats that are opened, as Pillow names them; those that the installed Pillow knows."""
_MOST_BYTES = 1 << 28
_ADDRESS = re.compile(r"^(?:[a-z][a-z0-9+.-]*:)?//|^data:", re.IGNORECASE)


class UnusablePictureError(Exception):
    """A picture that gives no vector; the text says why, in a few words."""


def picture_names(catalog: Catalog, column: str) -> list[str]:
    """Return the name of every item's picture file as the catalogue has it, "" where it has none.

    Of a list the first name counts.

    Raises:
        DataError: there is no such column, or it holds addresses instead of files.
    """
    names = catalog.table.column_names
    if column not in names:
        raise DataError(
            f'column = "{column}": the table of items has no such column; it has {", ".join(names)}.'
            f"{did_you_mean(column, names)}"
        )
    values = [_first(value) for value in catalog.table.column(column).to_pylist()]
    addresses = [row for row, value in enumerate(values) if _ADDRESS.match(value)]
    if addresses:
        item, address = catalog.item_ids[addresses[0]], values[addresses[0]]
        raise DataError(
            f"column '{column}' holds addresses for {len(addresses):,} of {len(values):,} items, such as item '{item}' "
            f"({address[:80]}); download the pictures first and give a column with the names of the files"
        )
    return values


def picture_paths(names: Sequence[str], folder: Path | None) -> list[Path | None]:
    """Return the paths of picture files, relative ones below `folder`; None where there is no name.

    Raises:
        SettingsError: a path is relative, and there is no folder.
    """
    relative = next((name for name in names if name and not Path(name).is_absolute()), None)
    if folder is None and relative is not None:
        raise SettingsError(
            f"'{relative[:80]}' is relative; give `folder`, the folder that the paths of the pictures start from"
        )
    return [(folder or Path()) / name if name else None for name in names]


def why_not(path: Path | None) -> str:
    """Return why a path cannot be read as a picture, in a few words, without opening it; "" where it can."""
    if path is None:
        return "no file is named"
    try:
        found = path.stat()
    except FileNotFoundError:
        return "there is no such file"
    except (OSError, ValueError) as error:
        return f"the file cannot be read ({getattr(error, 'strerror', None) or error})"
    if not stat.S_ISREG(found.st_mode):
        return "this is no file"
    return f"the file is larger than {_MOST_BYTES >> 20} MiB" if found.st_size > _MOST_BYTES else ""


def read_content(path: Path | None) -> bytes:
    """Return the bytes of a picture file.

    Raises:
        UnusablePictureError: it cannot be read.
    """
    reason = why_not(path)
    if reason or path is None:
        raise UnusablePictureError(reason)
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnusablePictureError(f"the file cannot be read ({error.strerror})") from None


def digest_of_all(digests: Sequence[str]) -> str:
    """Return one digest of the digests of all items' pictures, in order; "" stands for a picture that is missing."""
    return hashlib.sha256(json.dumps(list(digests)).encode()).hexdigest()


def decode(content: bytes) -> Image:
    """Return the first frame of a picture: RGB, upright by its EXIF orientation, transparent parts on white.

    Raises:
        UnusablePictureError: it is damaged, truncated, of no format in `FORMATS`, or has more pixels than Pillow allows
            (`PIL.Image.MAX_IMAGE_PIXELS`).
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=formats) as opened:
                opened.load()
                return _as_rgb(ImageOps.exif_transpose(opened))
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise UnusablePictureError(f"it has more than {Image.MAX_IMAGE_PIXELS:,} pixels") from None
    except UnidentifiedImageError:
        raise UnusablePictureError(f"it is no picture (formats: {', '.join(formats)})") from None
    except MemoryError:
        raise
    except Exception as error:  # decoders raise nearly anything on damaged files
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UnusablePictureError(f"it is broken ({reason[:100]})") from None


def check_pillow() -> None:
    """Check that Pillow is installed.

    Raises:
        SettingsError: it is not.
    """
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        raise SettingsError(
            "vectors of kind 'images' need the package pillow: pip install 'lexirec[images]', or choose another kind"
        ) from None


def _first(value: Any) -> str:
    if isinstance(value, list):
        value = next((each for each in value if each), None)
    return "" if value is None else str(value).strip()


def _as_rgb(picture: Image) -> Image:
    from PIL import Image

    if picture.mode.startswith(("I", "F")):  # grey of more than 8 bits, which Pillow would clip
        grey = np.nan_to_num(np.asarray(picture, dtype=np.float64))
        low, high = min(grey.min(), 0.0), max(grey.max(), 1.0)
        limit = high if picture.mode == "F" else next(each for each in (255, 65_535, 2**32) if high <= each)
        return Image.fromarray(np.uint8(255 * (grey - low) / (limit - low))).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture).convert("RGB")
    return picture.convert("RGB")
