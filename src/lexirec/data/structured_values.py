"""Names in structured values that a table holds as text: lists and objects of JSON, of Python, of NumPy.

`['Drama', 'Crime']`, `[{"id": 18, "name": "Drama"}]`, `[["Books", "Fiction"], ["Home"]]`, `{Drama,"Sci Fi"}` and
`array(['Drama'], dtype=object)` become lists of names. Nothing is evaluated: a scanner of brackets, quoted texts and
words reads what JSON's own parser does not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_LONGEST = 1_000_000
_DEEPEST = 20
_NAME_KEYS = ("name", "title", "label", "value", "text", "displayname", "en", "category", "genre", "tag")
"""Keys of an object that hold its name, likeliest first, without case and punctuation; then those that end so."""
_NAME_ENDINGS = ("name", "title", "label")
_NO_TEXT_KEYS = ("id", "url", "uri", "link", "href", "image", "img", "path", "key", "type", "date", "time")
_TOKEN = re.compile(
    r"""\s*+(?:
        (?P<mark>[\[\](){},:])
        | [bBrRuU]?(?P<quoted>'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.|"")*+")
        | (?P<call>(?:array|set|frozenset|tuple|list|Index)(?=\())
        | (?P<words>[^\[\](){},:\s'"][^\[\](){},:'"]*(?:'[^\[\](){},:'"]+)*)
    )""",
    re.VERBOSE | re.DOTALL,
)
_NESTED = re.compile(r"\[(?:\]|\s*[\[{'\"].*\])\Z|\{(?:\}|.*:.*\})\Z", re.DOTALL)
"""Lists and objects written as an entry of a list: with quotes or further brackets inside, unlike the film [REC]."""
_END = re.compile(r"\s*+\Z")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "", "\n": ""}
_NOTHING = ("None", "null", "nan", "NaN", "undefined", "...")
_TRUTH = ("True", "False", "true", "false")


class Truth(str):
    """A truth value, which is no name."""


def parse(text: str) -> Any:
    """Return the value that a text is written for: lists, dicts, texts (numbers, too, as written) and None.

    Raises:
        ValueError: the text is not one structured value, or is too long or too deep.
    """
    text = text.strip()
    if len(text) > _LONGEST:
        raise ValueError("too long")
    if text[:1] in ("[", "{"):
        try:
            return json.loads(text, parse_int=str, parse_float=str, parse_constant=lambda _: None)
        except (ValueError, RecursionError):
            pass
    return _Scanner(text).whole()


def names_in(text: str, *, loose: bool = False) -> list[str] | None:
    """Return the names in a structured value, in order, each once; None where the text is no structured value.

    A list gives the names of its entries, an object the value of its key `name`, `title`, `label`, … (or, with `loose`,
    where it has none, all its values that have letters).
    """
    try:
        value = parse(text)
    except ValueError:
        return None
    return list(dict.fromkeys(name for name in _names(value, loose, 0) if name))


def _names(value: Any, loose: bool, depth: int) -> Iterator[str]:
    if value is None or isinstance(value, (bool, Truth)) or depth > _DEEPEST:
        return
    if isinstance(value, str):
        yield from _names_of_text(value, loose, depth)
    elif isinstance(value, list):
        for entry in value:
            yield from _names(entry, loose, depth + 1)
    else:
        key = _name_key(value)
        if key is not None:
            yield from _names(value[key], loose, depth + 1)
        elif loose:
            for other, entry in value.items():
                if not _plain(other).endswith(_NO_TEXT_KEYS):
                    yield from (name for name in _names(entry, loose, depth + 1) if re.search(r"[^\W\d_]{2}", name))


def _names_of_text(text: str, loose: bool, depth: int) -> Iterator[str]:
    text = text.strip()
    if not _NESTED.match(text):
        yield text
        return
    try:
        value = parse(text)
    except ValueError:
        yield text
    else:
        yield from _names(value, loose, depth + 1)


def _name_key(value: dict[str, Any]) -> str | None:
    plain = {_plain(key): key for key in reversed(value)}
    found = next((plain[key] for key in _NAME_KEYS if key in plain), None)
    return found or next((key for key in value if _plain(key).endswith(_NAME_ENDINGS)), None)


def _plain(key: str) -> str:
    return re.sub(r"[\W_]", "", key.lower())


class _Scanner:
    """A parser of literals: lists, tuples, sets, dicts, quoted texts and bare words."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.mark = self.quoted = self.words = ""
        self.call = False
        self.next()

    def next(self) -> None:
        """Move to the next token."""
        self.mark = self.quoted = self.words = ""
        self.call = False
        if _END.match(self.text, self.position):
            return
        found = _TOKEN.match(self.text, self.position)
        if found is None:
            raise ValueError("no literal")
        self.position = found.end()
        self.mark, self.quoted = found["mark"] or "", found["quoted"] or ""
        self.words, self.call = (found["words"] or "").strip(), found["call"] is not None

    def whole(self) -> Any:
        """Return the value of the whole text, which has brackets around it."""
        if not (self.mark in ("[", "{", "(") or self.call):
            raise ValueError("no structured value")
        value = self.value(0)
        if self.mark or self.quoted or self.words or self.call:
            raise ValueError("text after the value")
        return value

    def value(self, depth: int) -> Any:
        """Return the value that starts here."""
        if depth > _DEEPEST:
            raise ValueError("too deep")
        if self.call:
            return self.arguments(depth)
        if self.quoted:
            text = _unquoted(self.quoted)
            self.next()
            return text
        if self.words:
            word = self.words
            self.next()
            return None if word in _NOTHING else Truth(word) if word in _TRUTH else word
        if self.mark not in ("[", "{", "("):
            raise ValueError("no value")
        return self.entries(depth)

    def arguments(self, depth: int) -> Any:
        """Return the first argument of `array(…)`, `set(…)` and the like."""
        self.next()
        entries = self.entries(depth, bare=True)
        return entries[0] if isinstance(entries, list) and entries else []

    def entries(self, depth: int, *, bare: bool = False) -> Any:
        """Return the list or dict that starts at this bracket; entries need no comma between them (NumPy)."""
        opening = self.mark
        closing = {"[": "]", "{": "}", "(": ")"}[opening]
        values: list[Any] = []
        keys: list[Any] = []
        self.next()
        while self.mark != closing:
            if self.words and opening == "(" and not bare and not _is_literal(self.words):
                raise ValueError("prose in parentheses")
            values.append(self.value(depth + 1))
            if self.mark == ":" and opening == "{":
                self.next()
                keys.append(values.pop())
                values.append(self.value(depth + 1))
            if self.mark == ",":
                self.next()
            elif self.mark != closing and not (opening == "[" and (self.quoted or self.mark == "[")):
                raise ValueError("no comma")
        self.next()
        if not keys:
            return _assigned(values) if opening == "{" else values
        if len(keys) != len(values):
            raise ValueError("keys without values")
        return {str(key): value for key, value in zip(keys, values, strict=True)}


def _assigned(values: list[Any]) -> Any:
    """Return the dict that Java writes as `{name=Drama, id=18}`; other sets as they are."""
    if values and all(isinstance(value, str) and re.match(r"\w+=", value) for value in values):
        return dict(value.split("=", 1) for value in values)
    return values


def _is_literal(word: str) -> bool:
    return word in _NOTHING or word in _TRUTH or re.fullmatch(r"[-+]?[\d._]+(?:[eE][-+]?\d+)?", word) is not None


def _unquoted(quoted: str) -> str:
    inner = quoted[1:-1]
    if quoted[0] == '"':
        inner = inner.replace('""', '"')
    return _ESCAPE.sub(_unescaped, inner) if "\\" in inner else inner


def _unescaped(escape: re.Match[str]) -> str:
    code = escape[1] or escape[2] or escape[3]
    if code is None:
        return _ESCAPED.get(escape[4], escape[4])
    number = int(code, 16)
    return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else "\ufffd"
