"""How a delimited text file is written: settings for files that do not follow the usual rules."""

from __future__ import annotations

import codecs
from typing import Self

from pydantic import Field, field_validator, model_validator

from lexirec.core.config import Settings

NULL_WORDS = (
    *("nan", "NaN", "NAN", "-nan", "-NaN", "None", "none", "NONE", "null", "Null", "NULL", "nil", "NIL", "undefined"),
    *("NA", "na", "N/A", "n/a", "N.A.", "n.a.", "#N/A", "#NA", "<NA>", "NaT", "(null)", "<null>", "[null]", "\\N"),
    *("-", "--", "---", "?"),
)
"""What programs and people write for a missing value, as they write it."""


class TextFormat(Settings):
    """How one delimited text file is written; what is not set is taken from the file's name and first line."""

    delimiter: str | None = Field(default=None, min_length=1, max_length=4)
    """What separates the fields, such as ";" or "::"; by default a tab in .tsv files, else the one of , ; tab and |
    that is most frequent in the first line."""
    quote: str | None = Field(default=None, max_length=1)
    """Character around fields that hold the delimiter; "" for none. By default the double quote, and none in files
    separated by tabs."""
    escape: str | None = Field(default=None, max_length=1)
    """Character before a quote inside a quoted field, such as a backslash; by default the quote itself, doubled."""
    encoding: str = "utf-8"
    """Encoding of the text, such as "latin-1" or "utf-16"."""
    header: bool = True
    """Whether the first line names the columns; without one they are called column1, column2, ..."""
    null_words: tuple[str, ...] = NULL_WORDS
    """Values that stand for a missing one, in files of every kind and in exactly this spelling; [] for none."""

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, name: str) -> str:
        try:
            return codecs.lookup(name).name
        except LookupError:
            raise ValueError("should be the name of an encoding, such as utf-8, latin-1 or utf-16") from None

    @field_validator("delimiter", "quote", "escape")
    @classmethod
    def _no_line_ends(cls, mark: str | None) -> str | None:
        if mark is not None and set(mark) & {"\n", "\r", "\0"}:
            raise ValueError("should not hold line ends")
        return mark

    @model_validator(mode="after")
    def _marks_differ(self) -> Self:
        if self.delimiter is not None and self.delimiter in (self.quote, self.escape):
            raise ValueError("delimiter, quote and escape should differ")
        return self


class TextFormats(Settings):
    """How the text files of the tables are written, where they need it said."""

    items: TextFormat = TextFormat()
    """The table of items."""
    interactions: TextFormat = TextFormat()
    """The table of interactions."""
    users: TextFormat = TextFormat()
    """The table of texts about users."""
