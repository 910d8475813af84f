"""LLM lexicon: keywords and a description of each cell, written by a language model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lexirec.core.errors import DataError, SettingsError
from lexirec.data.catalog import Catalog
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.lexicon.contrastive_lexicon import contrastive_lexicon
from lexirec.semantic_ids.lexicon.lexicon import Lexicon
from lexirec.semantic_ids.lexicon.llm_clients import connect
from lexirec.semantic_ids.lexicon.llm_prompts import Question, questions_about
from lexirec.semantic_ids.lexicon.llm_requests import request_labels
from lexirec.semantic_ids.lexicon.llm_schema import CellLabel
from lexirec.semantic_ids.lexicon.llm_settings import ContrastiveLexicon, LLMLexicon

_MERGED = 3
"""Most descriptions in the merged one of a token that was described under several parents."""


def llm_lexicon(
    catalog: Catalog,
    codes: Codes,
    settings: LLMLexicon | ContrastiveLexicon | None = None,
    *,
    folder: str | Path | None = None,
    vectors: NDArray[np.float32] | None = None,
) -> Lexicon:
    """Let a language model write keywords and a description of every cell of every level.

    Source: TS-Rec (arXiv 2602.22632), whose teacher describes the items that have a token at its level, whatever their
    other tokens; neither its prompt nor its model was published. With `settings.conditioned`, a token from the second
    level on is described per parent prefix, in contrast to other items of that prefix. The merged keywords are ranked
    by their rank in each part, weighted by the part's items; the descriptions of up to three largest parts are joined.

    Args:
        catalog: The items.
        codes: The items' codes, trees or residual.
        settings: Client, model and prompt; by default `ContrastiveLexicon`, which asks no model.
        folder: Folder of the answer cache, so that nothing is asked twice; required for a language model.
        vectors: L2-normalised vectors (n_items, d) for `shown = "nearest"`; by default TF-IDF of the texts.

    Raises:
        LabelingError: some cells have no usable answer after all retries; answers are cached, run again for the rest.
        SettingsError: the model is unavailable, or a setting does not fit the codes.
        DataError: catalogue, codes and vectors are of different items, or the folder cannot be written.
    """
    settings = settings or ContrastiveLexicon()
    _check(catalog, codes, settings, vectors)
    if isinstance(settings, ContrastiveLexicon):
        return contrastive_lexicon(catalog, codes, settings)
    if folder is None:
        raise SettingsError(
            f"answers of the client '{settings.client}' cost time or money; give a folder to keep them in"
        )
    questions = questions_about(catalog, codes, settings, vectors)
    answers = request_labels(questions, connect, settings, Path(folder))
    return Lexicon.written(_merged(questions, answers, codes, settings.keywords))


def _check(
    catalog: Catalog,
    codes: Codes,
    settings: LLMLexicon | ContrastiveLexicon,
    vectors: NDArray[np.float32] | None,
) -> None:
    if len(catalog) != len(codes):
        raise DataError(f"the catalog has {len(catalog):,} items, the codes {len(codes):,}; give codes of this catalog")
    if vectors is not None and len(vectors) != len(codes):
        raise DataError(f"there are {len(vectors):,} vectors for {len(codes):,} items; give one per item")
    if settings.conditioned and codes.kind == "tree":
        raise SettingsError("'conditioned' is for residual codes; cells of a tree are prefixes already: leave it out")


def _merged(
    questions: Sequence[Question], answers: Sequence[CellLabel], codes: Codes, most: int
) -> list[list[tuple[list[str], str]]]:
    """Return keywords and description per level and cell, from the answers per cell or per part of a cell."""
    parts: dict[tuple[int, int], list[tuple[int, CellLabel]]] = defaultdict(list)
    for question, answer in zip(questions, answers):
        parts[question.level, question.cell].append((question.items, answer))
    levels = range(questions[-1].level + 1)
    return [[_merge(parts[level, cell], most) for cell in range(len(codes.counts(level)))] for level in levels]


def _merge(parts: Sequence[tuple[int, CellLabel]], most: int) -> tuple[list[str], str]:
    """Merge the answers about the parts of a cell; each part is its number of items and its answer."""
    weights: dict[str, float] = defaultdict(float)
    for items, answer in parts:
        for rank, word in enumerate(answer.keywords):
            weights[word] += items * (1 - rank / len(answer.keywords))
    largest = sorted(parts, key=lambda part: -part[0])[:_MERGED]
    keywords = sorted(weights, key=lambda word: -weights[word])[:most]
    return keywords, " ".join(dict.fromkeys(answer.description for _, answer in largest))
