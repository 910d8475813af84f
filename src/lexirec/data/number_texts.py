"""Numbers written as text: decimal points and commas, thousands, currencies, percent, signs.

`1.234` is 1234 where commas stand before decimals, and a little more than 1 elsewhere. Every text is therefore read
both ways. Where both readings exist and differ, these rules decide, in this order:

1. The convention of the column: if at least one text can only be read with a decimal point ("12.50", "1,234.5") and
   none can only be read with a decimal comma ("12,50", "1.234,5"), it is the point; and the other way round.
2. Beside a currency, three digits after the only separator are thousands: amounts of money have two decimals.
3. Otherwise the text is ambiguous and has no number.

Signs and codes of currencies and percent signs are dropped, nothing is converted. Whatever else stands in a text
(words, units, ranges such as "$10 - $20") makes it no number: nothing is guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Convention: TypeAlias = Literal["point", "comma"]

# blanks include non-breaking and narrow ones, and the invisible marks of writing direction that web pages put in prices
_BLANKS = "\t\n\v\f\r \x85\xa0\u1680\u205f\u3000\ufeff" + "".join(
    chr(code)
    for first, last in ((0x2000, 0x200F), (0x2028, 0x202F), (0x2060, 0x2069))
    for code in range(first, last + 1)
)
BLANK = rf"[\s{_BLANKS[6:]}]"
"""One blank, as a character class of RE2."""
_SIGNS = "$¢£¤¥฿৳﷼﹩＄￡￥￦円元원" + "".join(map(chr, range(0x20A0, 0x20C1)))
_CODES = (
    "USD EUR GBP JPY CNY RMB INR CHF SEK NOK DKK ISK PLN CZK HUF RON BGN RUB UAH TRY BRL MXN ARS CLP COP PEN CAD "
    "AUD NZD HKD SGD TWD KRW THB IDR MYR PHP VND ZAR NGN EGP AED SAR ILS EURO EUROS DOLLAR DOLLARS POUND POUNDS "
    "YEN KR KČ ZŁ FT LEI RS FR SFR РУБ"
)
_CURRENCY = rf"(?i:[A-Z]{{0,2}}[{_SIGNS}]|(?:{'|'.join(sorted(_CODES.split(), key=len, reverse=True))})\.?)"
_MINUS = "[-‐‑‒–—−﹣－]"
_QUOTE = "['’‘ʼ´`]"
_NUMBER = rf"[.,]?\d(?:(?:[.,]|{_QUOTE}|{BLANK})?\d)*(?:[.,]{_MINUS}{{0,2}})?(?:[eE][+-]?\d+)?"
_SIGNED = (
    rf"(?:(?:{_MINUS}|\+){BLANK}*(?:{_CURRENCY}{BLANK}*)?|{_CURRENCY}{BLANK}*(?:{_MINUS}|\+)?{BLANK}*)?"
    rf"{_NUMBER}(?:{BLANK}*{_CURRENCY})?"
)
_WRITTEN = rf"^{BLANK}*(?:{_SIGNED}|\({BLANK}*{_SIGNED}{BLANK}*\)|{_SIGNED}{BLANK}*%){BLANK}*$"


def _grammar(decimal: str, thousands: str) -> str:
    """Return the numbers whose decimal sign and thousands separator these are; the first group never begins with 0."""
    groups = "|".join(rf"(?:{separator}\d{{3}})+" for separator in (thousands, _QUOTE, BLANK))
    indian = rf"[1-9]\d?(?:{thousands}\d{{2}})+{thousands}\d{{3}}"
    whole = rf"(?:\d+|[1-9]\d{{0,2}}(?:{groups})|{indian})"
    trailing = r"\d*" if decimal == r"\." else r"\d+"
    exponent = rf"(?:\d+(?:{decimal}\d+)?|{decimal}\d+)[eE][+-]?\d+"
    return rf"^[+-]?(?:{whole}(?:{decimal}(?:{trailing}|{_MINUS}{{1,2}}))?|{decimal}\d+|{exponent})$"


_POINT, _COMMA = _grammar(r"\.", ","), _grammar(",", r"\.")


@dataclass(frozen=True)
class NumberTexts:
    """What texts say as numbers; arrays (n,), in the order of the texts.

    Attributes:
        point: The number read with a decimal point, NaN where it cannot be read so.
        comma: The number read with a decimal comma, NaN likewise.
        money: Whether a currency stands beside the number.
    """

    point: NDArray[np.float64]
    comma: NDArray[np.float64]
    money: NDArray[np.bool_]

    @cached_property
    def convention(self) -> Convention | None:
        """The decimal sign of the column, None where its texts do not say or contradict each other."""
        no_point, no_comma = np.isnan(self.point), np.isnan(self.comma)
        point, comma = bool((no_comma & ~no_point).any()), bool((no_point & ~no_comma).any())
        return None if point == comma else "point" if point else "comma"

    @cached_property
    def two_readings(self) -> NDArray[np.bool_]:
        """Where the two readings exist and differ."""
        different: NDArray[np.bool_] = (self.point != self.comma) & ~np.isnan(self.point) & ~np.isnan(self.comma)
        return different

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """The numbers, NaN where a text holds none or is ambiguous."""
        return self.read_as(self.convention)

    def read_as(self, convention: Convention | None) -> NDArray[np.float64]:
        """Return the numbers where texts with two readings follow a convention; without one, see the module."""
        if convention is not None:
            chosen = self.point if convention == "point" else self.comma
        else:
            chosen = np.where(self.money, np.fmax(self.point, self.comma), np.nan)
        only = np.where(np.isnan(self.point), self.comma, self.point)
        values: NDArray[np.float64] = np.where(self.two_readings, chosen, only)
        return values

    @cached_property
    def ambiguous(self) -> NDArray[np.bool_]:
        """Where a text has two readings and no rule decides."""
        return self.two_readings & np.isnan(self.values)


def read_numbers(texts: pa.Array) -> NumberTexts:
    """Read texts as numbers.

    Args:
        texts: string array (n,); null holds no number. Give distinct values where texts repeat.
    """
    texts = texts.cast(pa.string())
    money = _matching(texts, f"[{_SIGNS}]")
    # most prices are numbers once the signs of currencies around them are gone; only the others are taken apart
    point, comma = _both_readings(pc.utf8_trim(texts, f"{_BLANKS}{_SIGNS}%"))
    rest = np.flatnonzero(np.isnan(point) & np.isnan(comma) & _matching(texts, _WRITTEN))
    if rest.size:
        written = texts.take(pa.array(rest))
        sign = np.where(_matching(written, rf"^[^0-9]*(?:{_MINUS}|\()"), -1.0, 1.0)
        money[rest] |= _matching(written, r"\p{L}{2}")
        bare = pc.replace_substring_regex(written, rf"{_CURRENCY}|[%()]|{BLANK}+$", "")
        bare = pc.replace_substring_regex(bare, rf"^(?:{_MINUS}|\+|{BLANK})+|{BLANK}+$", "")
        point[rest], comma[rest] = (sign * each for each in _both_readings(bare))
    return NumberTexts(point, comma, money)


def _both_readings(texts: pa.Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return texts of digits and separators read with a decimal point and with a comma, NaN where impossible."""
    point = pc.if_else(pc.match_substring_regex(texts, _POINT), texts, None)
    comma = pc.if_else(pc.match_substring_regex(texts, _COMMA), texts, None)
    comma = pc.replace_substring(pc.replace_substring(comma, ".", ""), ",", ".")
    return _as_floats(pc.replace_substring(point, ",", "")), _as_floats(comma)


def _matching(texts: pa.Array, pattern: str) -> NDArray[np.bool_]:
    found = pc.fill_null(pc.match_substring_regex(texts, pattern), False)
    return np.asarray(found, dtype=np.bool_)


def _as_floats(texts: pa.Array) -> NDArray[np.float64]:
    """Return texts that are floats but for separators as float64; NaN for null and beyond the range of floats."""
    try:
        floats = texts.cast(pa.float64())
    except pa.ArrowInvalid:  # blanks or quotes between thousands, or a price such as "12.-"
        floats = pc.replace_substring_regex(texts, r"[^0-9.eE+-]|-+$", "").cast(pa.float64())
    values = np.array(pc.fill_null(floats, np.nan), dtype=np.float64)
    values[np.isinf(values)] = np.nan
    return values
