"""Pictures of the toy shop's items, drawn from their text: shape, colour and material, before their brand's backdrop.

- The *shape* is the product type's, the *colour* and the *pattern* of its surface are the item's colour and material.
- The *backdrop* is the brand's. Brands that one crowd of shoppers likes (a circle, see `toy_generator`) photograph in
  one style: shades of one hue, a shade per brand.

So a picture shows what shoppers act on (type, brand) and what they do not care about (colour, material), as a title
does, and besides the style that a circle's brands share, which no text says. Shoppers see no pictures: what they buy is
the same with and without them.
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lexirec.core.errors import DataError, SettingsError
from lexirec.data.toy_shop.generator import read_words

if TYPE_CHECKING:
    from PIL.Image import Image

COLUMN, FOLDER = "picture", "pictures"
"""Column of the files' names in the table of items, and the folder of the pictures beside it."""
SIDE = 64
_SCALE = 2  # drawn larger and reduced, for smooth edges
_COLOURS: Mapping[str, tuple[int, int, int]] = {
    "moss green": (96, 124, 62),
    "slate grey": (108, 122, 137),
    "warm white": (246, 238, 222),
    "navy": (28, 44, 92),
    "rust red": (168, 66, 36),
    "mustard": (214, 168, 38),
    "charcoal": (54, 54, 58),
    "sand": (206, 184, 142),
    "sky blue": (124, 184, 226),
    "plum": (108, 48, 98),
}
_HUES = (0.02, 0.27, 0.52, 0.77)  # of the four circles' backdrops


@dataclass(frozen=True)
class Look:
    """What a picture shows of an item.

    Attributes:
        kind: Number of the product type.
        brand: Number of the brand.
        material: Number among the product type's materials.
        colour: Name of the colour.
    """

    kind: int
    brand: int
    material: int
    colour: str


def draw_pictures(items: pa.Table, folder: str | Path) -> pa.Table:
    """Draw a PNG of 64 × 64 pixels for every item of the toy shop; equal items give equal files.

    Args:
        items: The shop's table of items.
        folder: Where the files `ITEM_ID.png` are written; it is created if needed.

    Returns:
        The table with the column `picture`, the files' names in `folder`.

    Raises:
        DataError: an item is not the toy shop's.
        SettingsError: Pillow is not installed.
    """
    check_drawing()
    Path(folder).mkdir(parents=True, exist_ok=True)
    names = []
    for row in items.select(["item_id", "title", "brand"]).to_pylist():
        names.append(f"{row['item_id']}.png")
        draw(look_of(row["title"], row["brand"])).save(Path(folder) / names[-1], format="PNG")
    return items.append_column(COLUMN, pa.array(names, pa.string()))


def check_drawing() -> None:
    """Check that Pillow is installed.

    Raises:
        SettingsError: it is not.
    """
    try:
        import PIL.ImageDraw  # noqa: F401
    except ImportError:
        raise SettingsError("pictures of the toy shop need the package pillow: pip install 'lexirec[images]'") from None


def look_of(title: str, brand: str) -> Look:
    """Read what an item looks like from its title, "BRAND ADJECTIVE NOUN, MATERIAL, COLOUR".

    Raises:
        DataError: the title is not of the toy shop.
    """
    words, nouns, brands = read_words(), *_numbers()
    head, _, rest = title.removeprefix(f"{brand} ").partition(", ")
    material, _, colour = rest.rpartition(", ")
    fitting = [noun for noun in nouns if head.endswith(f" {noun}")]
    kind = nouns[max(fitting, key=len)] if fitting else None
    if kind is None or brand not in brands or colour not in _COLOURS or material not in words.types[kind]["materials"]:
        raise DataError(f"'{title[:80]}' is no item of the toy shop, so it cannot be drawn; give tables of toy_shop()")
    return Look(kind, brands[brand], words.types[kind]["materials"].index(material), colour)


def draw(look: Look) -> Image:
    """Draw an item: RGB, 64 × 64 pixels."""
    from PIL import Image, ImageDraw

    size = SIDE * _SCALE
    picture = Image.new("RGB", (size, size), _backdrop(look.brand))
    surface, mask = Image.new("RGB", (size, size), _COLOURS[look.colour]), Image.new("L", (size, size))
    pattern = ImageDraw.Draw(surface)
    darker = tuple(round(0.72 * part) for part in _COLOURS[look.colour])
    step = size // 12
    if look.material == 1:  # ribs
        for x in range(0, size, 2 * step):
            pattern.rectangle((x, 0, x + step - 1, size), fill=darker)
    elif look.material == 2:  # grains
        for x in range(0, size, 2 * step):
            for y in range(x % (4 * step) // 2, size, 2 * step):
                pattern.ellipse((x, y, x + step, y + step), fill=darker)
    ImageDraw.Draw(mask).polygon([(float(x), float(y)) for x, y in _outline(look.kind) * size], fill=255)
    picture.paste(surface, mask=mask)
    return picture.resize((SIDE, SIDE), Image.Resampling.BOX)


@cache
def _numbers() -> tuple[dict[str, int], dict[str, int]]:
    """Return the numbers of the product types by noun, and of the brands by name."""
    words = read_words()
    return (
        {kind["noun"]: number for number, kind in enumerate(words.types)},
        {brand["name"]: number for number, brand in enumerate(words.brands)},
    )


@cache
def _outline(kind: int) -> NDArray[np.float64]:
    """Return the outline of a product type: points (P, 2) in the unit square.

    A department's shapes have the same number of corners; types differ in the depth of the dents between them, in
    width, height and turn, all drawn from the number of the type.
    """
    words = read_words()
    corners = 3 + int(words.department[kind])
    rng = np.random.default_rng([2_718, kind])
    dent, turn = rng.uniform(0.35, 1.0), rng.uniform(0, 2 * np.pi)
    stretch = rng.uniform(0.55, 1.0, 2)
    stretch /= stretch.max()
    angles = turn + np.arange(2 * corners) * np.pi / corners
    reach = 0.44 * np.where(np.arange(2 * corners) % 2, dent * np.cos(np.pi / corners), 1.0)
    outline: NDArray[np.float64] = 0.5 + stretch * (reach * np.array([np.cos(angles), np.sin(angles)])).T
    return outline


@cache
def _backdrop(brand: int) -> tuple[int, int, int]:
    """Return the colour of a brand's backdrop: a shade of its circle's hue."""
    circle = int(read_words().brands[brand]["circle"])
    alike = [number for number, each in enumerate(read_words().brands) if each["circle"] == circle]
    place = alike.index(brand) / max(len(alike) - 1, 1)
    hue = _HUES[circle] + 0.08 * (place - 0.5)
    red, green, blue = colorsys.hsv_to_rgb(
        hue % 1.0, 0.3 + 0.4 * ((alike.index(brand) * 3) % 5) / 4, 0.95 - 0.2 * place
    )
    return round(255 * red), round(255 * green), round(255 * blue)
