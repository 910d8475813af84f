"""What a causal model reads, as token ids: the one builder for training, reinforcement, evaluation and serving.

Identifiers are put in as the ids they are and never tokenised again; words are tokenised apart from them and from each
other, so that equal questions are equal ids whatever stands around them.

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
    """What the limit on prompts costs: prompts in all, prompts that lose items, items lost."""

    prompts: int
    cut: int
    dropped: int

    @property
    def warning(self) -> str | None:
        """One line for the user, or nothing when every history is told up to `max_history`."""
        if not self.cut:
            return None
        return (
            f"{self.cut:,} of {self.prompts:,} prompts ({self.cut / self.prompts:.1%}) are too long and lose their"
            f" oldest items, {self.dropped:,} in all; raise prompts.max_length to keep them"
        )


class _Frame(NamedTuple):
    """What stands around whatever is asked about, as ids."""

    before: list[int]
    after: list[int]


class PromptBuilder:
    """Builds prompts from histories and from texts, without a loop over rows or items.

    Attributes:
        tokenizer: The backbone's.
        settings: How it is asked.
        items: The identifiers, one row of ids per item.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        identifiers: NDArray[np.integer],
        settings: TSRecPromptSettings | None = None,
    ) -> None:
        """Hold what every prompt needs.

        Args:
            tokenizer: The backbone's.
            identifiers: int (I, S), −1 padded, ids of the tokenizer's pieces.
            settings: How to ask.

        Raises:
            SettingsError: the limit does not even hold the question and one identifier.
        """
        self.tokenizer = tokenizer
        self.settings = settings or TSRecPromptSettings()
        self.items = Ragged.from_padded(torch.from_numpy(np.ascontiguousarray(identifiers, dtype=np.int32)))
        self._separator = [] if self.settings.frame == "plain" else continuation(tokenizer, ",")
        self._frames: dict[Question, _Frame] = {}
        self._room(NEXT_ITEM, int(self.items.lengths.max()) if len(self.items) else 0)

    def next_item(self, histories: Sequences) -> Ragged:
        """Ask for the item that follows each history: one row of ids per history.

        Args:
            histories: Item numbers, oldest first; rows may be empty and of any length.
        """
        return self.about_histories(NEXT_ITEM, histories)

    def about_histories(self, question: Question, histories: Sequences, units: Ragged | None = None) -> Ragged:
        """Ask about histories, told oldest first, up to the newest `max_history` items that fit.

        Args:
            question: What is asked.
            histories: Item numbers, oldest first.
            units: How each item is told, one row of ids per item; by default its identifier.
        """
        room = self._room(question)
        units = self.items if units is None else units.head(torch.full((len(units),), room))
        told, table = self._told(histories, units, room)
        return self._framed(question, _joined(told, table, len(self._separator)))

    def ask(self, question: Question, user: Ragged | Sequence[str]) -> Ragged:
        """Ask about texts, or whatever is given as ids; what does not fit is cut at its end.

        Args:
            question: What is asked.
            user: One row or text per prompt.

        Raises:
            SettingsError: the limit does not even hold the question.
        """
        if not isinstance(user, Ragged):
            user = encode_all(self.tokenizer, user, "tokenising texts")
        return self._framed(question, user.head(torch.full((len(user),), self._room(question))))

    def census(self, histories: Sequences) -> HistoryCensus:
        """Count what `max_length` costs these histories; what is beyond `max_history` is not counted."""
        capped = histories.last(self.settings.max_history)
        told, _ = self._told(capped, self.items, self._room(NEXT_ITEM))
        lost = capped.lengths - told.lengths
        return HistoryCensus(len(lost), int((lost > 0).sum()), int(lost.sum()))

    def quoted(self, texts: Ragged) -> Ragged:
        """Put quotation marks around texts that are no longer than the builder's prompts; empty ones stay empty."""
        there = texts.lengths > 0
        opening, closing = encode(self.tokenizer, '"'), continuation(self.tokenizer, '"')
        return side_by_side([Ragged.repeated(opening, there), texts, Ragged.repeated(closing, there)])

    def _told(self, histories: Sequences, units: Ragged, room: int) -> tuple[Sequences, Sequences]:
        """Drop what does not fit, and return what is told with the table of separator and unit per item."""
        everywhere = torch.ones(len(units), dtype=torch.bool)
        table = as_sequences(side_by_side([Ragged.repeated(self._separator, everywhere), units]))
        newest = histories.last(self.settings.max_history)
        ends = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(table.lengths[newest.items])])
        # tokens from the beginning of each event to the end of its row, without the separator that would come first
        reach_E = np.repeat(ends[newest.offsets[1:]], newest.lengths) - ends[:-1] - len(self._separator)
        return newest.where(reach_E <= room), table

    def _framed(self, question: Question, user: Ragged) -> Ragged:
        frame, everywhere = self._frame(question), torch.ones(len(user), dtype=torch.bool)
        return side_by_side([Ragged.repeated(frame.before, everywhere), user, Ragged.repeated(frame.after, everywhere)])

    def _room(self, question: Question, least: int = 1) -> int:
        frame, limit = self._frame(question), self.settings.max_length
        room = limit - len(frame.before) - len(frame.after)
        if room < least:
            raise SettingsError(
                f"prompts.max_length is {limit}, too short for the question and what it is about;"
                f" give at least {limit - room + least}, or the frame 'plain'"
            )
        return room

    def _frame(self, question: Question) -> _Frame:
        if question not in self._frames:
            self._frames[question] = self._spelled(question)
        return self._frames[question]

    def _spelled(self, question: Question) -> _Frame:
        tokenizer = self.tokenizer
        begin = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
        if self.settings.frame == "plain":
            return _Frame(begin, continuation(tokenizer, f" {question.cue}"))
        items = f"{self.settings.category} items".strip()
        before, after = (words.replace(ITEMS, items) for words in (question.before, question.after))
        head = f"{PREAMBLE}\n\n{INSTRUCTION}\n{question.instruction}\n\n{USER_INPUT}\n{before}"
        return _Frame([*begin, *encode(tokenizer, head)], _glued(tokenizer, f"{after}\n\n{RESPONSE}\n"))


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


def _joined(told: Sequences, table: Sequences, separator: int) -> Ragged:
    """Put the tokens of each row's items one after another; a row's first item loses its separator."""
    skipped_E = np.zeros(len(told.items), dtype=np.int64)
    skipped_E[told.offsets[:-1][told.lengths > 0]] = separator
    starts_E = table.offsets[:-1][told.items] + skipped_E
    spelled = table.windows(starts_E, table.lengths[told.items] - skipped_E)
    return as_ragged(Sequences(spelled.items, spelled.offsets[told.offsets]))


def _glued(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Encode text that stands behind other text, its line breaks included."""
    word, glued = encode(tokenizer, "item"), encode(tokenizer, f"item{text}")
    return glued[len(word) :] if glued[: len(word)] == word else encode(tokenizer, text)
