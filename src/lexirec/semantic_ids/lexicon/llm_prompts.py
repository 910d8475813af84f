"""Prompts of the LLM lexicon: which items of a cell are shown, and the wording of the question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import normalize

from lexirec.data.catalog import Catalog
from lexirec.semantic_ids.codes import Codes, token_of
from lexirec.semantic_ids.lexicon.cell_samples import Rows, choose_items, distances_to_centre, title_field
from lexirec.semantic_ids.lexicon.tfidf import split_terms, tf_idf

if TYPE_CHECKING:
    from lexirec.data.sequences import Sequences
    from lexirec.semantic_ids.lexicon.llm_settings import LLMLexicon

Message = dict[str, str]
"""`{"role": "user" | "assistant", "content": …}`; some models' templates have no system role, so none is used."""

WORDS = (60, 110)
"""Least and most words of a description, as in TS-Rec's released ones."""

_PARENTS = 8
"""Most parents under which a token is described: those with most of its items."""
_OTHERS = 10
_TASK = """\
{shown}

Write down what these items have in common, as one JSON object with two fields:
- "description": one neutral paragraph of {least} to {most} words: which products these are, their shared materials, \
functions and uses. If they are of several kinds, say which. No brand names, no model names.
- "keywords": {keywords} different words or short phrases in lower case that characterise them, the most telling \
first. No brand names, no model names.

Answer with the JSON object only: {{"description": "…", "keywords": ["…", …]}}"""
_REPAIR = """\
That answer cannot be used: {reason}. Answer again, with nothing but one JSON object \
{{"description": "…", "keywords": ["…", …]}} with {keywords} keywords."""


@dataclass(frozen=True)
class Question:
    """A question about a cell, or about the part of a cell below one parent.

    Attributes:
        level: The cell's level.
        cell: The cell's number.
        items: Number of items of the cell or part.
        about: The token, for messages.
        prompt: Text of the question.
    """

    level: int
    cell: int
    items: int
    about: str
    prompt: str


def questions_about(
    catalog: Catalog, codes: Codes, settings: LLMLexicon, vectors: Rows | None = None
) -> list[Question]:
    """Return the questions about all cells, level by level: one per cell or, conditioned, one per cell and parent.

    Args:
        catalog: The items; prompts show `title` and `description`, or else the first text field and `categories`.
        codes: The items' codes.
        settings: Of the prompts.
        vectors: L2-normalised vectors (n_items, d) for the distance to the cell's centre; by default TF-IDF of texts.
    """
    lines = item_lines(catalog, settings.description_length)
    if settings.shown == "sample":
        vectors = None
    elif vectors is None:
        vectors = normalize(tf_idf(split_terms(catalog.texts())))
    questions: list[Question] = []
    for level in range(min(codes.levels, settings.levels or codes.levels)):
        conditioned = settings.conditioned and level > 0
        groups = codes.prefixes(level) if conditioned else codes.cells(level)
        shown = choose_items(groups, _rank(groups, settings.seed, vectors), settings.items_per_cell)
        parts = _largest_parts(codes, level, _PARENTS) if conditioned else np.arange(len(shown))
        others = _others(codes, level, settings.seed) if conditioned else None
        members = np.unique(groups, return_index=True)[1]
        sizes = np.bincount(groups)
        for part in parts.tolist():
            first = int(members[part])
            listed = [lines[item] for item in shown.row(part)]
            around = [lines[item] for item in others.row(part)] if others else []
            questions.append(
                Question(
                    level,
                    int(codes.cells(level)[first]),
                    int(sizes[part]),
                    _about(codes, level, first, conditioned),
                    prompt_of(listed, int(sizes[part]), settings.keywords, around),
                )
            )
    return questions


def item_lines(catalog: Catalog, description_length: int) -> list[str]:
    """Return one line per item: its title, and its description (cut at a blank) or else its categories."""
    names = catalog.table.column_names
    empty = [""] * len(catalog)
    title = title_field(catalog)
    descriptions = catalog.field("description") if "description" in names and title != "description" else empty
    categories = catalog.field("categories") if "categories" in names and title != "categories" else empty
    rows = zip(catalog.field(title), descriptions, categories)
    return [_line(name, text or kinds, description_length) for name, text, kinds in rows]


def prompt_of(items: Sequence[str], size: int, keywords: int, others: Sequence[str] = ()) -> str:
    """Return the question about `items` of a group of `size`, in contrast to `others` of the wider family."""
    what = f"These are {len(items)} of {size} items" if size > len(items) else f"These {size} items"
    shown = f"{what} that a shop's catalogue puts into one group:\n{_bullets(items)}"
    if others:
        shown += f"\n\nThe group is part of a wider family with other items, such as:\n{_bullets(others)}"
        shown += "\n\nTell what sets the group apart within that family, not what the whole family has."
    return _TASK.format(shown=shown, least=WORDS[0], most=WORDS[1], keywords=keywords)


def repair_of(reason: str, keywords: int) -> str:
    """Return the follow-up message about an unusable answer."""
    return _REPAIR.format(reason=reason, keywords=keywords)


def _line(title: str, text: str, longest: int) -> str:
    if len(text) > longest:
        text = text[:longest].rsplit(" ", 1)[0].rstrip(" ,;:.") + " …" if longest else ""
    return " - ".join(part for part in (title, text) if part)


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _about(codes: Codes, level: int, item: int, conditioned: bool) -> str:
    tokens = [token_of(depth, int(codes.values[item, depth])) for depth in range(level + 1)]
    if codes.kind == "tree":
        return "".join(tokens)
    return f"{tokens[-1]} under {''.join(tokens[:-1])}" if conditioned else tokens[-1]


def _rank(groups: NDArray[np.int64], seed: int, rows: Rows | None) -> NDArray[np.float64]:
    return np.random.default_rng(seed).random(len(groups)) if rows is None else distances_to_centre(rows, groups)


def _largest_parts(codes: Codes, level: int, most: int) -> NDArray[np.int64]:
    """Return the parts of each cell below its parents, the largest first, as prefix numbers."""
    groups = codes.prefixes(level)
    cells = codes.cells(level)[np.unique(groups, return_index=True)[1]]
    return choose_items(cells, -np.bincount(groups).astype(np.float64), most).items.astype(np.int64)


def _others(codes: Codes, level: int, seed: int) -> Sequences:
    """Sample for each prefix of a level some items of its parent that are not its own."""
    groups, parents = codes.prefixes(level), codes.prefixes(level - 1)
    rank = np.random.default_rng(seed).random(len(codes))
    siblings = choose_items(parents, rank, 8 * _OTHERS).take(parents[np.unique(groups, return_index=True)[1]])
    own = np.repeat(np.arange(len(siblings)), siblings.lengths)
    return siblings.where(groups[siblings.items] != own).last(_OTHERS)
