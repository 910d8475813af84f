"""Fine-tuning tasks of TS-Rec: one function per task, from plain data to `Examples`.

The table of tasks is `registry.TASKS`; a task takes by name what it needs of what `mixture.make_examples` has.

Everything about users comes from training sequences alone; prompts may be about every item of the catalogue. T1 to T7
and TA are the names of the specification (sections 6.3 and 7.1; MiniOneRec, TS-Rec).

| task | prompt -> answer |
|---|---|
| next_item | T1: history -> item |
| sid_title | T2: item -> title, title -> item |
| history_title | T3: history -> title of the next item |
| title_history_title | T4: titles of the history -> title of the next item |
| title_history_sid | T5: titles of the history -> next item |
| sid_description | T6: item -> description, description -> item |
| preference | T7: history -> a text about the user |
| ts_align | TA: token -> its meaning, meaning -> the token |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexirec.core.errors import DataError, SettingsError
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases, prefix_cases
from lexirec.models.tsrec.examples import Examples
from lexirec.models.tsrec.keywords import TokenWords
from lexirec.models.tsrec.prompts import PromptBuilder, first_rows, take_rows
from lexirec.models.tsrec.settings import DESCRIPTION_TOKENS, TITLE_TOKENS
from lexirec.nn.prompt_templates import (
    DESCRIPTION_ITEM,
    ITEM_DESCRIPTION,
    ITEM_TITLE,
    MEANING_TOKEN,
    NEXT_TITLE,
    PREFERENCE,
    TITLE_ITEM,
    TITLES_NEXT_ITEM,
    TITLES_NEXT_TITLE,
    TOKEN_MEANING,
    Question,
)
from lexirec.nn.ragged import Ragged, one_below_other, side_by_side
from lexirec.nn.tokenizer import encode_all

NO_TEXT, ASKED_BEFORE = "no text", "asked before"
"""Reasons to leave a prompt out: there is no text, or an earlier item has the same text and another answer."""


def next_item(builder: PromptBuilder, train: Sequences) -> Examples:
    """T1: predict every training event from the history before it (prefix augmentation)."""
    cases = prefix_cases(train, builder.settings.max_history)
    examples = _items(builder, builder.next_item(cases.histories), cases, "next_item")
    return replace(examples, sources=_numbers(cases.users))


def rehearsal(builder: PromptBuilder, rehearsed: Sequences, *, first: int) -> Examples:
    """Predict the events of rehearsed rows as in T1; the rows are numbered from `first` on."""
    examples = replace(next_item(builder, rehearsed), task="rehearsal")
    assert examples.sources is not None
    return replace(examples, sources=examples.sources + first)


def history_title(
    builder: PromptBuilder, train: Sequences, titles: Sequence[str], *, title_tokens: int = TITLE_TOKENS
) -> Examples:
    """T3: predict the title of the item that follows a history."""
    answers = _cut(builder, titles, title_tokens)
    cases, dropped = _with_text(prefix_cases(train, builder.settings.max_history), answers)
    prompts = builder.about_histories(NEXT_TITLE, cases.histories)
    return _texts(builder, prompts, take_rows(answers, cases.targets), cases.histories, "history_title", dropped)


def title_history_title(
    builder: PromptBuilder, train: Sequences, titles: Sequence[str], *, title_tokens: int = TITLE_TOKENS
) -> Examples:
    """T4: predict the title of the item that follows a history of titles; items without a title are left out."""
    answers = _cut(builder, titles, title_tokens)
    cases, dropped = _with_text(_titled(prefix_cases(train, builder.settings.max_history), answers), answers)
    prompts = builder.about_histories(TITLES_NEXT_TITLE, cases.histories, builder.quoted(answers))
    return _texts(builder, prompts, take_rows(answers, cases.targets), cases.histories, "title_history_title", dropped)


def title_history_sid(
    builder: PromptBuilder, train: Sequences, titles: Sequence[str], *, title_tokens: int = TITLE_TOKENS
) -> Examples:
    """T5: predict the item that follows a history of titles; items without a title are left out."""
    texts = _cut(builder, titles, title_tokens)
    cases = _titled(prefix_cases(train, builder.settings.max_history), texts)
    prompts = builder.about_histories(TITLES_NEXT_ITEM, cases.histories, builder.quoted(texts))
    return _items(builder, prompts, cases, "title_history_sid")


def sid_title(builder: PromptBuilder, titles: Sequence[str], *, title_tokens: int = TITLE_TOKENS) -> Examples:
    """T2: predict the title of every item that has one, and the item of every title.

    Where several items share a title (after tokenising and cutting), only the first is the answer to it.
    """
    return _both_ways(builder, _cut(builder, titles, title_tokens), (ITEM_TITLE, TITLE_ITEM), "sid_title")


def sid_description(
    builder: PromptBuilder, descriptions: Sequence[str], *, description_tokens: int = DESCRIPTION_TOKENS
) -> Examples:
    """T6: predict the description of every item that has one, and the item of every description; like `sid_title`."""
    questions = (ITEM_DESCRIPTION, DESCRIPTION_ITEM)
    return _both_ways(builder, _cut(builder, descriptions, description_tokens), questions, "sid_description")


def preference(
    builder: PromptBuilder,
    train: Sequences,
    preferences: Sequence[str],
    *,
    description_tokens: int = DESCRIPTION_TOKENS,
) -> Examples:
    """T7: predict a text about a user's preferences from the training sequence.

    Args:
        builder: Of the prompts.
        train: Training sequences.
        preferences: A text about each sequence's user, written from training events alone; empty where there is none.
        description_tokens: Tokens of an answer.

    Raises:
        DataError: there are not as many texts as sequences.
    """
    if len(preferences) != len(train):
        raise DataError(
            f"preferences has {len(preferences)} texts for {len(train)} training sequences; give one for each"
        )
    answers = _cut(builder, preferences, description_tokens)
    kept = ((answers.lengths.numpy() > 0) & (train.lengths > 0)).nonzero()[0]
    histories = train.take(kept).last(builder.settings.max_history)
    prompts = builder.about_histories(PREFERENCE, histories)
    dropped = {NO_TEXT: len(train) - len(kept)}
    return _texts(builder, prompts, take_rows(answers, kept), histories, "preference", dropped)


def ts_align(
    builder: PromptBuilder, words: Sequence[TokenWords], *, description_tokens: int = DESCRIPTION_TOKENS
) -> Examples:
    """TA: predict the meaning of every token, and the token of every meaning; one row each per token (TS-Align).

    Tokens without a description are left out; where several share one, only the first is the answer to it.

    Raises:
        SettingsError: a token is not in the tokenizer's vocabulary.
    """
    vocabulary = builder.tokenizer.get_vocab()
    unknown = next((word.token for word in words if word.token not in vocabulary), None)
    if unknown is not None:
        raise SettingsError(f"token '{unknown}' is not in the tokenizer's vocabulary; add it with `add_tokens` first")
    tokens = Ragged.from_lists([[vocabulary[word.token]] for word in words])
    meanings = _cut(builder, [word.description for word in words], description_tokens)
    described = np.flatnonzero(meanings.lengths.numpy())
    by_token = builder.ask(TOKEN_MEANING, take_rows(tokens, described))
    by_meaning = builder.ask(MEANING_TOKEN, take_rows(meanings, described))
    once = first_rows(by_meaning)
    prompts = one_below_other([by_token, take_rows(by_meaning, once)])
    answers = one_below_other([take_rows(meanings, described), take_rows(tokens, described[once])])
    dropped = {NO_TEXT: 2 * (len(words) - len(described)), ASKED_BEFORE: len(described) - len(once)}
    return _texts(builder, prompts, answers, _no_histories(len(answers)), "ts_align", dropped)


def _both_ways(
    builder: PromptBuilder,
    texts: Ragged,
    questions: tuple[Question, Question],
    task: str,
) -> Examples:
    """Predict the text of each item that has one, and the item of each text (the first item that has it)."""
    with_text = np.flatnonzero(texts.lengths.numpy())
    by_item = builder.ask(questions[0], take_rows(builder.items, with_text))
    by_text = builder.ask(questions[1], take_rows(texts, with_text))
    once = first_rows(by_text)
    prompts = one_below_other([by_item, take_rows(by_text, once)])
    answers = [_with_end(builder, take_rows(texts, with_text)), take_rows(builder.items, with_text[once])]
    items = np.concatenate([np.full(len(with_text), -1), with_text[once]])
    dropped = {NO_TEXT: 2 * (len(texts) - len(with_text)), ASKED_BEFORE: len(with_text) - len(once)}
    histories = _no_histories(len(prompts))
    return Examples(prompts, one_below_other(answers), _numbers(items), histories, task, dropped=dropped)


def _items(builder: PromptBuilder, prompts: Ragged, cases: Cases, task: str) -> Examples:
    targets = take_rows(builder.items, cases.targets)
    return Examples(prompts, targets, _numbers(cases.targets), cases.histories, task)


def _texts(
    builder: PromptBuilder, prompts: Ragged, answers: Ragged, histories: Sequences, task: str, dropped: dict[str, int]
) -> Examples:
    items = torch.full((len(prompts),), -1)
    return Examples(prompts, _with_end(builder, answers), items, histories, task, dropped=dropped)


def _cut(builder: PromptBuilder, texts: Sequence[str], most: int) -> Ragged:
    rows = encode_all(builder.tokenizer, [text.strip() for text in texts], "tokenising texts")
    return rows.head(torch.full((len(rows),), most))


def _with_end(builder: PromptBuilder, texts: Ragged) -> Ragged:
    everywhere = torch.ones(len(texts), dtype=torch.bool)
    return side_by_side([texts, Ragged.repeated([builder.tokenizer.eos_token_id], everywhere)])


def _with_text(cases: Cases, answers: Ragged) -> tuple[Cases, dict[str, int]]:
    """Leave out cases whose target has no text; return how many they were."""
    kept = np.flatnonzero(answers.lengths.numpy()[cases.targets])
    return cases.take(kept), {NO_TEXT: len(cases) - len(kept)}


def _titled(cases: Cases, titles: Ragged) -> Cases:
    """Leave items without a title out of the histories, and then cases with an empty history."""
    histories = cases.histories.where(titles.lengths.numpy()[cases.histories.items] > 0)
    return Cases(cases.users, cases.targets, histories).take(np.flatnonzero(histories.lengths))


def _no_histories(rows: int) -> Sequences:
    return Sequences(np.empty(0, dtype=np.int32), np.zeros(rows + 1, dtype=np.int64))


def _numbers(items: NDArray[np.integer]) -> Tensor:
    return torch.from_numpy(items.astype(np.int64))
