"""User prompts of GRAM as token ids: the identifiers of a history, newest first, in one sentence.

Legend: `I` items, `K` tokens of an identifier with its separator, `B` users, `H` history, `L` tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from lexirec.core.errors import SettingsError
from lexirec.models.gram.settings import HISTORY, PromptSettings
from lexirec.nn.tokenizer import continuation, encode


@dataclass(frozen=True)
class UserCensus:
    """Cost of the limit on user prompts: number of prompts, prompts that lose items, identifiers lost or cut."""

    prompts: int
    cut: int
    dropped: int

    @property
    def warning(self) -> str | None:
        """A one-line warning; None when every history fits."""
        if not self.cut:
            return None
        return (
            f"{self.cut:,} of {self.prompts:,} user prompts ({self.cut / self.prompts:.1%}) exceed the limit and lose"
            f" their oldest items, {self.dropped:,} in all; raise prompts.user_max_length (layout budgets) to keep them"
        )


class UserPrompts:
    """Builds the user prompts of a batch from identifiers, without a loop over users or items (spec section 6.1)."""

    def __init__(
        self, identifiers: NDArray[np.integer], tokenizer: PreTrainedTokenizerBase, settings: PromptSettings
    ) -> None:
        """Spell the template and every item once.

        Args:
            identifiers: int (n_items, longest), −1 padded, ids of the tokenizer's pieces.
            tokenizer: The backbone's.
            settings: Template, layout and limits.

        Raises:
            SettingsError: the limit is too small for the template and one identifier.
        """
        before, after = settings.user_template.split(HISTORY)
        end = [*continuation(tokenizer, after), tokenizer.eos_token_id]
        separator = torch.tensor(continuation(tokenizer, " ;"), dtype=torch.int32)
        table_IK = torch.from_numpy(np.ascontiguousarray(identifiers, dtype=np.int32))
        self._separator = len(separator)
        self._spelled_IK = torch.cat([separator.expand(len(table_IK), -1), table_IK], 1)
        self._lengths_I = (self._spelled_IK >= 0).sum(1)
        self._before = torch.tensor(encode(tokenizer, before.strip()), dtype=torch.int32)
        self._after = torch.tensor(end, dtype=torch.int32)
        self._pad, self._end = tokenizer.pad_token_id, tokenizer.eos_token_id
        self._cuts = settings.layout == "paper"
        self._limit = settings.max_length if self._cuts else settings.user_max_length
        longest = int(self._lengths_I.max()) - self._separator if len(table_IK) else 0
        if not self._cuts and self._history_limit < longest:
            raise SettingsError(
                f"prompts.user_max_length is {self._limit}, too small for the template and one identifier;"
                f" set at least {self._limit - self._history_limit + longest}"
            )

    @property
    def _history_limit(self) -> int:
        return self._limit - len(self._before) - len(self._after)

    def to(self, device: torch.device | str) -> Self:
        """Move the tables to a device, in place."""
        for name in ("_spelled_IK", "_lengths_I", "_before", "_after"):
            setattr(self, name, getattr(self, name).to(device))
        return self

    def __call__(self, histories_BH: Tensor) -> tuple[Tensor, Tensor]:
        """Build the prompts of a batch.

        Args:
            histories_BH: int (B, H), item numbers, newest first, −1 beyond the history's end.

        Returns:
            Ids, int64 (B, L), padded on the right, and mask, bool (B, L); L is the longest prompt of the batch.
        """
        users = len(histories_BH)
        kept_BH = histories_BH >= 0 if self._cuts else (histories_BH >= 0) & self._fits(histories_BH)
        spelled_BHK = self._spelled_IK[histories_BH.clamp(min=0)].masked_fill(~kept_BH[..., None], -1)
        spelled_BHK[:, :1, : self._separator] = -1  # no separator before the newest item
        pieces = torch.cat(
            [self._before.expand(users, -1), spelled_BHK.flatten(1), self._after.expand(users, -1)], dim=1
        )
        ids, mask = self._closed_up(pieces)
        return self._cut(ids, mask) if self._cuts else (ids, mask)

    def census(self, histories_BH: Tensor) -> UserCensus:
        """Count the items that these histories (newest first, −1 padded) lose to the limit."""
        lost_BH = (histories_BH >= 0) & ~self._fits(histories_BH)
        if self._cuts:  # the end token takes one position, and the words after the history are cut before any item is
            lost_BH = (histories_BH >= 0) & (self._reach(histories_BH) > self._limit - 1 - len(self._before))
        return UserCensus(len(histories_BH), int(lost_BH.any(1).sum()), int(lost_BH.sum()))

    def _fits(self, histories_BH: Tensor) -> Tensor:
        return self._reach(histories_BH) <= self._history_limit

    def _reach(self, histories_BH: Tensor) -> Tensor:
        """Return the tokens up to and including each item of the history: int64 (B, H)."""
        lengths_BH = self._lengths_I[histories_BH.clamp(min=0)].masked_fill(histories_BH < 0, 0)
        return lengths_BH.cumsum(1) - self._separator

    def _closed_up(self, pieces: Tensor) -> tuple[Tensor, Tensor]:
        """Move every row's ids to the left over its gaps (negative entries)."""
        kept = pieces >= 0
        lengths = kept.sum(1)
        longest = int(lengths.max()) if len(lengths) else 0
        # dropped entries all scatter into one column beyond the longest row, which is cut off afterwards
        targets = torch.where(kept, kept.cumsum(1) - 1, longest)
        ids = torch.full((len(pieces), longest + 1), self._pad, dtype=torch.int64, device=pieces.device)
        ids.scatter_(1, targets, pieces.long().masked_fill(~kept, self._pad))
        return ids[:, :longest], torch.arange(longest, device=pieces.device) < lengths[:, None]

    def _cut(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Cut at the limit with the end token in the last position, as the reference does."""
        if ids.shape[1] <= self._limit:
            return ids, mask
        too_long = mask[:, self._limit]
        ids, mask = ids[:, : self._limit].clone(), mask[:, : self._limit]
        ids[too_long, -1] = self._end
        return ids, mask
