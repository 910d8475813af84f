"""Examples: questions and answers that a causal model learns from, as token ids, and their mixture.

Legend: `R` rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexirec.data.catalog import Catalog
from lexirec.data.sequences import Sequences
from lexirec.models.tsrec.keywords import TokenWords
from lexirec.models.tsrec.prompts import take_rows
from lexirec.nn.ragged import Ragged, one_below_other


@dataclass(frozen=True)
class TaskTexts:
    """The texts that tasks ask for.

    Attributes:
        titles: One per item, empty where unknown.
        descriptions: One per item, empty where unknown; or None.
        words: What a lexicon says about each token.
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
        """Take the fields `title` and `description` of a catalogue; without titles the first text field stands in."""
        names = catalog.table.column_names
        titles = catalog.field("title" if "title" in names else catalog.text_fields[0])
        descriptions = catalog.field("description") if "description" in names else None
        return cls(titles, descriptions, words, preferences)


@dataclass(frozen=True, eq=False)
class Examples:
    """Prompts and their answers, row by row.

    Attributes:
        prompts: Ids of the questions, all that a model reads before it answers.
        targets: Ids of the answers: the tokens of an item, or text and its end.
        items: int64 (R,), the number of the item that is the answer, −1 where the answer is text.
        histories: The items, oldest first, that the question tells of; empty where it tells of none.
        task: Name of the task; of a mixture the names of all, joined by "+".
        kinds: int64 (R,), each row's task as its place among `names`; None where there is one task.
        dropped: Reason -> number of questions that were left out.
        sources: int64 (R,), the training row that a case is of, −1 where it is of none; None where all are of none.
    """

    prompts: Ragged
    targets: Ragged
    items: Tensor
    histories: Sequences
    task: str
    kinds: Tensor | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)
    sources: Tensor | None = None

    def __post_init__(self) -> None:
        lengths = [len(part) for part in (self.prompts, self.targets, self.items, self.histories)]
        if len(set(lengths)) > 1:
            raise ValueError(f"prompts, targets, items and histories must be as many, not {lengths}")

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tasks."""
        return tuple(self.task.split("+"))

    @property
    def counts(self) -> dict[str, int]:
        """Rows of each task."""
        kinds = torch.zeros(len(self), dtype=torch.int64) if self.kinds is None else self.kinds
        return dict(zip(self.names, kinds.bincount(minlength=len(self.names)).tolist(), strict=True))

    def take(self, rows: NDArray[np.integer]) -> Examples:
        """Return the given rows, in the given order; repeats are allowed."""
        numbers = torch.from_numpy(np.ascontiguousarray(rows, dtype=np.int64))
        return Examples(
            take_rows(self.prompts, rows),
            take_rows(self.targets, rows),
            self.items[numbers],
            self.histories.take(rows),
            self.task,
            None if self.kinds is None else self.kinds[numbers],
            self.dropped,
            None if self.sources is None else self.sources[numbers],
        )


def mixture(tasks: Sequence[Examples], weights: Mapping[str, float], *, seed: int | Sequence[int] = 0) -> Examples:
    """Mix tasks: each task's rows as often as its weight says, everything in one random order.

    A weight of 1 takes every row once, 2.5 each row twice and a random half of them once more, 0.1 a random tenth;
    0 leaves the task out.

    Args:
        tasks: Examples of one task each.
        weights: Task -> weight; 1 for tasks that are not named.
        seed: Of choice and order; equal seeds give equal mixtures.
    """
    random = np.random.default_rng(seed)
    rows = [_rows(len(task), weights.get(task.task, 1.0), random) for task in tasks]
    used = [(task, chosen) for task, chosen in zip(tasks, rows, strict=True) if len(chosen)]
    parts = [task.take(chosen) for task, chosen in used]
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
    """Return every row `floor(weight)` times, and as many others as the rest of the weight says."""
    whole = int(weight)
    rest = round((weight - whole) * count)
    more = random.permutation(count)[:rest]
    return np.concatenate([np.tile(np.arange(count), whole), more]).astype(np.int64)


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
