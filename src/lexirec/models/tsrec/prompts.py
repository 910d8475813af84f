"""Prompts of TS-Rec as token ids: one builder for fine-tuning, reinforcement, evaluation and serving.

Identifiers enter prompts as token ids and are never tokenised again. Words are tokenised apart from them and from each
other, so equal prompts are equal ids whatever surrounds them.

Legend: `I` items, `S` tokens of an identifier, `R` rows, `N` values in all, `E` events of all histories.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from lexirec.core.errors import SettingsError
from lexirec.data.sequences import Sequences
from lexirec.models.tsrec.settings import TSRecPromptSettings
from lexirec.nn.prompt_templates import INSTRUCTION, ITEMS, NEXT_ITEM, PREAMBLE, RESPONSE, USER_INPUT, Question
from lexirec.nn.ragged import Ragged, side_by_side
from lexirec.nn.tokenizer import continuation, encode, encode_all


@dataclass(frozen=True)
class HistoryCensus:
    """Cost of the limit on prompts: number of prompts, prompts that lose items, items lost, and how to lose fewer."""

    prompts: int
    cut: int
    dropped: int
    advice: str = "raise prompts.max_length"

    @property
    def warning(self) -> str | None:
        """A one-line warning; None when every history fits up to `max_history`."""
        if not self.cut:
            return None
        return (
            f"{self.cut:,} of {self.prompts:,} prompts ({self.cut / self.prompts:.1%}) exceed the limit and lose their"
            f" oldest items, {self.dropped:,} in all; {self.advice} to keep them"
        )


class _Frame(NamedTuple):
    """The ids before and after the variable part of a prompt."""

    before: list[int]
    after: list[int]


class PromptBuilder:
    """Builds prompts from histories and from texts, without a loop over rows or items.

    Attributes:
        tokenizer: The backbone's.
        settings: Frame and limits.
        items: The identifiers, one row of ids per item.
        positions: Tokens that the model can hold, prompt and answer together; None for no limit.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        identifiers: NDArray[np.integer],
        settings: TSRecPromptSettings | None = None,
        positions: int | None = None,
    ) -> None:
        """Tokenise the parts that every prompt shares.

        Args:
            tokenizer: The backbone's.
            identifiers: int (I, S), −1 padded, ids of the tokenizer's pieces.
            settings: Frame and limits.
            positions: Tokens that the model can hold; prompts leave room for the longest identifier behind them.

        Raises:
            SettingsError: the limit is too small for the question and one identifier.
        """
        self.tokenizer, self.positions = tokenizer, positions
        self.settings = settings or TSRecPromptSettings()
        self.items = Ragged.from_padded(torch.from_numpy(np.ascontiguousarray(identifiers, dtype=np.int32)))
        self._separator = [] if self.settings.frame == "plain" else continuation(tokenizer, ",")
        self._frames: dict[Question, _Frame] = {}
        self._longest = int(self.items.lengths.max()) if len(self.items) else 0
        self._content_limit(NEXT_ITEM, self._longest)

    @property
    def max_length(self) -> int:
        """Tokens of a prompt: as set, or fewer where the model cannot hold as many and an answer."""
        limit = self.settings.max_length
        return limit if self.positions is None else min(limit, self.positions - self._longest)

    @property
    def cut_by_positions(self) -> bool:
        """Whether the model's positions, not the settings, limit the prompts."""
        return self.max_length < self.settings.max_length

    @property
    def limit_in_words(self) -> str:
        """The limit and where it comes from."""
        return (
            f"prompts are cut to {self.max_length} tokens, not prompts.max_length = {self.settings.max_length}: the "
            f"backbone has {self.positions} positions, answer included"
        )

    def frame_of(self, question: Question) -> tuple[list[int], list[int], list[int]]:
        """Return the ids before and after the items of a question's prompts, and between two items."""
        return *self._frame(question), self._separator

    def next_item(self, histories: Sequences) -> Ragged:
        """Build next-item prompts: one row of ids per history.

        Args:
            histories: Item numbers, oldest first; rows may be empty and of any length.
        """
        return self.about_histories(NEXT_ITEM, histories)

    def about_histories(self, question: Question, histories: Sequences, units: Ragged | None = None) -> Ragged:
        """Build prompts from histories, oldest item first, with the newest `max_history` items that fit.

        Args:
            question: The question of the prompts.
            histories: Item numbers, oldest first.
            units: The text of each item, one row of ids per item; by default its identifier.
        """
        limit = self._content_limit(question)
        units = self.items if units is None else units.head(torch.full((len(units),), limit))
        kept, table = self._fitting(histories, units, limit)
        return self._framed(question, _joined(kept, table, len(self._separator)))

    def ask(self, question: Question, user: Ragged | Sequence[str]) -> Ragged:
        """Build prompts from texts or rows of ids, which are cut at their end to fit.

        Args:
            question: The question of the prompts.
            user: One row or text per prompt.

        Raises:
            SettingsError: the limit is too small for the question.
        """
        if not isinstance(user, Ragged):
            user = encode_all(self.tokenizer, user, "tokenising texts")
        return self._framed(question, user.head(torch.full((len(user),), self._content_limit(question))))

    def census(self, histories: Sequences) -> HistoryCensus:
        """Count the items that the limit drops from these histories; those beyond `max_history` are not counted."""
        capped = histories.last(self.settings.max_history)
        kept, _ = self._fitting(capped, self.items, self._content_limit(NEXT_ITEM))
        lost = capped.lengths - kept.lengths
        kept_by = "take a backbone with more positions" if self.cut_by_positions else "raise prompts.max_length"
        return HistoryCensus(len(lost), int((lost > 0).sum()), int(lost.sum()), kept_by)

    def quoted(self, texts: Ragged) -> Ragged:
        """Put quotation marks around texts; empty ones stay empty."""
        present = texts.lengths > 0
        opening, closing = encode(self.tokenizer, '"'), continuation(self.tokenizer, '"')
        return side_by_side([Ragged.repeated(opening, present), texts, Ragged.repeated(closing, present)])

    def _fitting(self, histories: Sequences, units: Ragged, limit: int) -> tuple[Sequences, Sequences]:
        """Drop items that do not fit, and return the histories with a table of separator and unit per item."""
        everywhere = torch.ones(len(units), dtype=torch.bool)
        table = as_sequences(side_by_side([Ragged.repeated(self._separator, everywhere), units]))
        newest = histories.last(self.settings.max_history)
        ends = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(table.lengths[newest.items])])
        # tokens from each event to the end of its row, without the separator that the first kept event loses
        reach_E = np.repeat(ends[newest.offsets[1:]], newest.lengths) - ends[:-1] - len(self._separator)
        return newest.where(reach_E <= limit), table

    def _framed(self, question: Question, user: Ragged) -> Ragged:
        frame, everywhere = self._frame(question), torch.ones(len(user), dtype=torch.bool)
        return side_by_side([Ragged.repeated(frame.before, everywhere), user, Ragged.repeated(frame.after, everywhere)])

    def _content_limit(self, question: Question, least: int = 1) -> int:
        frame, limit = self._frame(question), self.max_length
        content = limit - len(frame.before) - len(frame.after)
        if content < least and self.cut_by_positions:
            raise SettingsError(
                f"the backbone has {self.positions} positions, too few for the question, its content and an identifier,"
                f' which take {limit - content + least + self._longest}; set prompts.frame = "plain", or take a '
                "backbone with more positions"
            )
        if content < least:
            raise SettingsError(
                f"prompts.max_length is {limit}, too small for the question and its content;"
                f' set at least {limit - content + least}, or frame = "plain"'
            )
        return content

    def _frame(self, question: Question) -> _Frame:
        if question not in self._frames:
            self._frames[question] = self._encoded(question)
        return self._frames[question]

    def _encoded(self, question: Question) -> _Frame:
        tokenizer = self.tokenizer
        begin = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        if self.settings.frame == "plain":
            return _Frame(begin, continuation(tokenizer, f" {question.cue}"))
        items = f"{self.settings.category} items".strip()
        before, after = (words.replace(ITEMS, items) for words in (question.before, question.after))
        head = f"{PREAMBLE}\n\n{INSTRUCTION}\n{question.instruction}\n\n{USER_INPUT}\n{before}"
        return _Frame([*begin, *encode(tokenizer, head)], _encoded_behind_text(tokenizer, f"{after}\n\n{RESPONSE}\n"))


def as_sequences(rows: Ragged) -> Sequences:
    """Return the same rows as numpy arrays, not copied."""
    return Sequences(rows.values.numpy(), rows.offsets.numpy())


def as_ragged(rows: Sequences) -> Ragged:
    """Return the same rows as tensors, not copied."""
    return Ragged(torch.from_numpy(rows.items), torch.from_numpy(rows.offsets))


def take_rows(rows: Ragged, numbers: NDArray[np.integer]) -> Ragged:
    """Return the given rows, in the given order; repeats are allowed."""
    return as_ragged(as_sequences(rows).take(numbers))


def first_rows(rows: Ragged) -> NDArray[np.int64]:
    """Return the first of each set of equal rows, in order."""
    offsets, values = pa.py_buffer(rows.offsets.numpy() * 4), pa.py_buffer(rows.values.numpy())
    as_bytes = pa.Array.from_buffers(pa.large_binary(), len(rows), [None, offsets, values])
    _, first = np.unique(as_bytes.dictionary_encode().indices.to_numpy(), return_index=True)
    return np.sort(first).astype(np.int64)


def _joined(histories: Sequences, table: Sequences, separator: int) -> Ragged:
    """Concatenate the tokens of each row's items; a row's first item loses its separator."""
    skipped_E = np.zeros(len(histories.items), dtype=np.int64)
    skipped_E[histories.offsets[:-1][histories.lengths > 0]] = separator
    starts_E = table.offsets[:-1][histories.items] + skipped_E
    spelled = table.windows(starts_E, table.lengths[histories.items] - skipped_E)
    return as_ragged(Sequences(spelled.items, spelled.offsets[histories.offsets]))


def _encoded_behind_text(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Encode text as it is tokenised behind other text, line breaks included."""
    word, encoded = encode(tokenizer, "item"), encode(tokenizer, f"item{text}")
    return encoded[len(word) :] if encoded[: len(word)] == word else encode(tokenizer, text)
