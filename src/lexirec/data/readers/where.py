"""The language of `[data] where`: conditions on the columns of a file, such as "rating >= 4 and event = 'purchase'".

It has comparisons of a column with numbers, texts in single quotes, true and false (=, !=, <, <=, >, >=, in, between),
`is null`, and, or, not and parentheses: no functions, no queries and no arithmetic. `parse` makes a tree of it, which
`lexirec.data.readers.where_sql` turns into SQL.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from lexirec.core.errors import DataError

Value = float | str | bool
Operator = Literal["=", "<>", "<", "<=", ">", ">="]

MAX_LENGTH = 2_000
MAX_DEPTH = 50

_TOKEN = re.compile(
    r"""(?P<blank>\s+)
    |(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.])
    |(?P<text>'(?:[^']|'')*')
    |(?P<quoted>"(?:[^"]|"")*"|`[^`]+`)
    |(?P<word>[^\W\d]\w*)
    |(?P<mark><=|>=|<>|!=|==|=|<|>|\(|\)|,)""",
    re.VERBOSE,
)
KEYWORDS = frozenset({"and", "or", "not", "in", "is", "null", "between", "true", "false"})
_OPERATORS: dict[str, Operator] = {
    "=": "=",
    "==": "=",
    "!=": "<>",
    "<>": "<>",
    "<": "<",
    "<=": "<=",
    ">": ">",
    ">=": ">=",
}
_TURNED: dict[Operator, Operator] = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_ALLOWED = (
    "a condition compares columns with numbers, 'texts' in single quotes, true or false (=, !=, <, <=, >, >=, in (...),"
    " between ... and ...), or is column is null; and, or, not and parentheses join conditions"
)


@dataclass(frozen=True)
class Compare:
    """A comparison of a column with a value; unknown where the column has none."""

    column: str
    operator: Operator
    value: Value


@dataclass(frozen=True)
class IsNull:
    """Whether a column has no value."""

    column: str


@dataclass(frozen=True)
class Not:
    """The opposite of a condition; unknown where that is unknown."""

    part: Node


@dataclass(frozen=True)
class Join:
    """Conditions that must all hold ("and") or of which one must ("or")."""

    word: Literal["and", "or"]
    parts: tuple[Node, ...]


Node = Compare | IsNull | Not | Join


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int

    @property
    def keyword(self) -> str:
        """The keyword in lower case, or the mark; "" for anything else."""
        if self.kind == "mark":
            return self.text
        return self.text.lower() if self.kind == "word" and self.text.lower() in KEYWORDS else ""


def parse(text: str) -> Node:
    """Return the tree of a condition.

    Raises:
        DataError: the text is no condition; one line with the place and what is allowed.
    """
    if len(text) > MAX_LENGTH:
        raise DataError(f"where has {len(text):,} characters; allowed are {MAX_LENGTH:,}.")
    parser = _Parser(text)
    node = parser.either(0)
    if parser.next.kind != "end":
        raise parser.error("and, or, or the end")
    return node


class _Parser:
    """Recursive descent over the tokens of a condition."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = _tokens(text)
        self.at = 0

    @property
    def next(self) -> _Token:
        return self.tokens[self.at]

    def take(self, *keywords: str) -> str:
        """Skip the next token and return its keyword if it is one of these, else return ""."""
        if self.next.keyword and self.next.keyword in keywords:
            self.at += 1
            return self.tokens[self.at - 1].keyword
        return ""

    def expect(self, keyword: str) -> None:
        if not self.take(keyword):
            raise self.error(keyword)

    def error(self, expected: str) -> DataError:
        given = repr(self.next.text) if self.next.text else "the end"
        return _error(self.text, self.next.start, f"expected is {expected}, not {given}")

    def either(self, depth: int) -> Node:
        parts = [self.both(depth)]
        while self.take("or"):
            parts.append(self.both(depth))
        return parts[0] if len(parts) == 1 else Join("or", tuple(parts))

    def both(self, depth: int) -> Node:
        parts = [self.single(depth)]
        while self.take("and"):
            parts.append(self.single(depth))
        return parts[0] if len(parts) == 1 else Join("and", tuple(parts))

    def single(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise _error(self.text, self.next.start, f"parentheses and not may be {MAX_DEPTH} deep")
        if self.take("not"):
            return Not(self.single(depth + 1))
        if self.take("("):
            inner = self.either(depth + 1)
            self.expect(")")
            return inner
        return self.predicate()

    def predicate(self) -> Node:
        if self.next.kind in ("number", "text") or self.next.keyword in ("true", "false"):
            value = self.value()
            operator = _TURNED[self.operator()]
            return Compare(self.column(), operator, value)
        column = self.column()
        if self.take("is"):
            negated = bool(self.take("not"))
            self.expect("null")
            return Not(IsNull(column)) if negated else IsNull(column)
        negated = bool(self.take("not"))
        if self.take("in"):
            found: Node = self.listed(column)
        elif self.take("between"):
            low = self.value()
            self.expect("and")
            found = Join("and", (Compare(column, ">=", low), Compare(column, "<=", self.value())))
        elif negated:
            raise self.error("in or between")
        else:
            return Compare(column, self.operator(), self.value())
        return Not(found) if negated else found

    def listed(self, column: str) -> Node:
        self.expect("(")
        values = [self.value()]
        while self.take(","):
            values.append(self.value())
        self.expect(")")
        parts = tuple(Compare(column, "=", value) for value in values)
        return parts[0] if len(parts) == 1 else Join("or", parts)

    def operator(self) -> Operator:
        if self.next.text not in _OPERATORS:
            raise self.error("a comparison, in, between or is null")
        self.at += 1
        return _OPERATORS[self.tokens[self.at - 1].text]

    def column(self) -> str:
        token = self.next
        if token.kind == "quoted":
            self.at += 1
            return token.text[1:-1].replace('""', '"') if token.text[0] == '"' else token.text[1:-1]
        if token.kind != "word" or token.keyword:
            raise self.error("a column")
        self.at += 1
        return token.text

    def value(self) -> Value:
        token = self.next
        if token.kind == "quoted":
            raise _error(self.text, token.start, f"texts stand in single quotes, not {token.text}")
        if token.keyword == "null":
            raise _error(self.text, token.start, 'missing values are found by "is null"')
        if token.kind not in ("number", "text") and token.keyword not in ("true", "false"):
            raise self.error("a number, a 'text' in single quotes, true or false")
        self.at += 1
        if token.kind == "text":
            return token.text[1:-1].replace("''", "'")
        if token.kind == "number":
            if sum(letter.isdigit() for letter in re.split("[eE]", token.text)[0].strip("+-0")) > 15:
                raise _error(self.text, token.start, "numbers have 15 digits at most; compare longer ids as texts")
            return float(token.text)
        return token.keyword == "true"


def _tokens(text: str) -> list[_Token]:
    tokens, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            hint = "a quote is not closed" if text[at] in "'\"`" else f"{text[at]!r} has no meaning here"
            raise _error(text, at, hint)
        if match.lastgroup != "blank":
            tokens.append(_Token(match.lastgroup, match[0], at))
        at = match.end()
    return [*tokens, _Token("end", "", len(text))]


def _error(text: str, at: int, problem: str) -> DataError:
    around = " ".join(text[max(at - 20, 0) : at + 20].split())
    return DataError(f"where, character {at + 1} (near {around!r}): {problem}; {_ALLOWED}.")
