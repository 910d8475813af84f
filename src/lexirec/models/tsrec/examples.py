"""Examples: prompts with their answers as token ids, the rows that a causal language model is fine-tuned on.

Legend: `R` rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexirec.data.sequences import Sequences
from lexirec.models.tsrec.prompts import take_rows
from lexirec.nn.ragged import Ragged


@dataclass(frozen=True, eq=False)
class Examples:
    """Prompts and their answers, row by row.

    Attributes:
        prompts: Ids of the prompts, all that the model reads before the answer.
        targets: Ids of the answers: the tokens of an item, or text and its end.
        items: int64 (R,), the number of the item that is the answer, −1 where the answer is text.
        histories: The items in the prompt, oldest first; empty where there are none.
        task: Name of the task; of a mixture the names of all, joined by "+".
        kinds: int64 (R,), each row's task as an index into `names`; None where there is one task.
        dropped: Reason -> number of prompts that were left out.
        sources: int64 (R,), the training row of each example, −1 for none; None where no example has one.
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
            raise ValueError(f"prompts, targets, items and histories have {lengths} rows; they must be equally many")

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
