"""The training mixture of TS-Rec: the examples of all weighted tasks, each repeated by its weight, in random order."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexirec.core.errors import SettingsError
from lexirec.core.registry import parameters
from lexirec.data.catalog import Catalog
from lexirec.data.sequences import Sequences
from lexirec.models.tsrec.examples import Examples
from lexirec.models.tsrec.keywords import TokenWords
from lexirec.models.tsrec.prompts import PromptBuilder
from lexirec.models.tsrec.registry import TASKS
from lexirec.models.tsrec.settings import TaskSettings
from lexirec.models.tsrec.tasks import rehearsal
from lexirec.nn.ragged import one_below_other

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TaskTexts:
    """Texts that the tasks need.

    Attributes:
        titles: One per item, empty where unknown.
        descriptions: One per item, empty where unknown; or None.
        words: Keywords and descriptions of tokens, from a lexicon.
        preferences: One per training sequence, empty where unknown; or None.
    """

    titles: Sequence[str]
    descriptions: Sequence[str] | None = None
    words: Sequence[TokenWords] = ()
    preferences: Sequence[str] | None = None

    @classmethod
    def of(
        cls, catalog: Catalog, words: Sequence[TokenWords] = (), preferences: Sequence[str] | None = None
    ) -> TaskTexts:
        """Read the fields `title` and `description` of a catalogue; without titles, the first text field."""
        names = catalog.table.column_names
        titles = catalog.field("title" if "title" in names else catalog.text_fields[0])
        descriptions = catalog.field("description") if "description" in names else None
        return cls(titles, descriptions, words, preferences)


def make_examples(
    builder: PromptBuilder,
    train: Sequences,
    texts: TaskTexts,
    settings: TaskSettings,
    *,
    rehearsed: Sequences | None = None,
    seed: int = 0,
) -> Examples:
    """Build the examples of every task whose weight is above 0, and mix them.

    Args:
        builder: Of the prompts, and the items' identifiers.
        train: Training sequences, oldest first; nothing else about users is read.
        texts: Titles, descriptions, keywords and preferences.
        settings: Weights and lengths.
        rehearsed: Rows learned beside the training sequences, numbered after them (`models.distillation_teacher`).
        seed: Of the mixture.

    Raises:
        SettingsError: a task has a weight but its texts are missing, or every weight is 0.
    """
    weights = settings.weights()
    weights["ts_align"] = float(bool(texts.words)) if settings.ts_align is None else settings.ts_align
    columns = {
        "builder": builder,
        "train": train,
        "titles": texts.titles,
        "descriptions": texts.descriptions,
        "preferences": texts.preferences,
        "words": texts.words or None,
        "title_tokens": settings.title_tokens,
        "description_tokens": settings.description_tokens,
    }
    tasks = {name: TASKS[name] for name, weight in weights.items() if weight}
    for name, task in tasks.items():
        missing = [column for column in parameters(task) if columns[column] is None]
        if missing:
            raise SettingsError(f"tasks.{name} is {weights[name]:g}, but {_MISSING[missing[0]]}, or set it to 0")
    parts = [task(**{column: columns[column] for column in parameters(task)}) for task in tasks.values()]
    if not parts:
        raise SettingsError(f"tasks: every weight is 0; set one of {', '.join(TASKS)} above 0, such as 1")
    if rehearsed is not None and len(rehearsed):
        parts.append(rehearsal(builder, rehearsed, first=len(train)))
        weights["rehearsal"] = 1.0
    return _held(mixture(parts, weights, seed=seed), builder.positions)


def _held(examples: Examples, positions: int | None) -> Examples:
    """Cut answers to what the model can hold; those that are items always fit, because prompts leave room for them."""
    room_R = None if positions is None else positions - examples.prompts.lengths
    if room_R is None or not bool((examples.targets.lengths > room_R).any()):
        return examples
    cut = int((examples.targets.lengths > room_R).sum())
    _log.warning("%d of %d answers are cut: the backbone has %d positions", cut, len(examples), positions)
    return replace(examples, targets=examples.targets.head(room_R))


_MISSING = {
    "descriptions": "the catalogue has no field 'description'; add it",
    "preferences": "there are no texts about users; give them",
    "words": "there is no lexicon that describes the tokens; give one",
}


def mixture(tasks: Sequence[Examples], weights: Mapping[str, float], *, seed: int | Sequence[int] = 0) -> Examples:
    """Mix the examples of several tasks: each task repeated by its weight, all rows in one random order.

    A weight of 1 takes every row once, 2.5 each row twice and a random half of them once more, 0.1 a random tenth;
    0 leaves the task out.

    Args:
        tasks: Examples of one task each.
        weights: Task -> weight; 1 for tasks that are not named.
        seed: Of choice and order; equal seeds give equal mixtures.
    """
    random = np.random.default_rng(seed)
    rows = [_rows(len(task), weights.get(task.task, 1.0), random) for task in tasks]
    parts = [task.take(chosen) for task, chosen in zip(tasks, rows, strict=True) if len(chosen)]
    lengths = [len(part) for part in parts]
    kinds = torch.repeat_interleave(torch.arange(len(parts)), torch.tensor(lengths, dtype=torch.int64))
    together = Examples(
        one_below_other([part.prompts for part in parts]),
        one_below_other([part.targets for part in parts]),
        torch.cat([part.items for part in parts]) if parts else torch.empty(0, dtype=torch.int64),
        Sequences.concatenate([part.histories for part in parts]),
        "+".join(part.task for part in parts),
        kinds,
        _total([part.dropped for part in parts]),
        _sources(parts),
    )
    return together.take(random.permutation(len(together)))


def _rows(count: int, weight: float, random: np.random.Generator) -> NDArray[np.int64]:
    """Return every row `floor(weight)` times, and a random share of them once more for the fraction."""
    whole = int(weight)
    extra = random.permutation(count)[: round((weight - whole) * count)]
    return np.concatenate([np.tile(np.arange(count), whole), extra]).astype(np.int64)


def _sources(parts: Sequence[Examples]) -> Tensor | None:
    if all(part.sources is None for part in parts):
        return None
    return torch.cat([torch.full((len(part),), -1) if part.sources is None else part.sources for part in parts])


def _total(dropped: Sequence[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for counts in dropped:
        for reason, count in counts.items():
            total[reason] = total.get(reason, 0) + count
    return total
