"""What a causal model learns to answer: one function per task, each from plain data to `Examples`.

The table of tasks is `registry.TASKS`; a task takes by name what it needs of what `make_examples` has.

Everything about users comes from training sequences alone; of the catalogue every item may be asked about. T1 to T7
and TA are the names of the specification (sections 6.3 and 7.1; MiniOneRec, TS-Rec).

| task | question -> answer |
|---|---|
| next_item | T1: history -> item |
| sid_title | T2: item -> title, title -> item |
| history_title | T3: history -> title of the next item |
| title_history_title | T4: titles of the history -> title of the next item |
| title_history_sid | T5: titles of the history -> next item |
| sid_description | T6: item -> description, description -> item |
| preference | T7: history -> a text about the user |
| ts_align | TA: token -> what it means, the meaning -> the token |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lexirec.core.errors import DataError, SettingsError
from lexirec.core.registry import parameters
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases, prefix_cases
from lexirec.models.tsrec.examples import Examples, TaskTexts, mixture
from lexirec.models.tsrec.keywords import TokenWords
from lexirec.models.tsrec.prompts import PromptBuilder, first_rows, take_rows
from lexirec.models.tsrec.registry import TASKS
from lexirec.models.tsrec.settings import DESCRIPTION_TOKENS, TITLE_TOKENS, TaskSettings
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
"""Why questions are left out: nothing is known, or an earlier item has the same text, so the answer would differ."""


def make_examples(
    builder: PromptBuilder,
    train: Sequences,
    texts: TaskTexts,
    settings: TaskSettings,
    *,
    rehearsed: Sequences | None = None,
    seed: int = 0,
) -> Examples:
    """Build every task whose weight is above 0 and mix them.

    Args:
        builder: Of the prompts, and the items' identifiers.
        train: Training sequences, oldest first; nothing else of any user is looked at.
        texts: What is asked and answered beside items.
        settings: Weights and lengths.
        rehearsed: Rows to be learned beside the training sequences, numbered after them (`training.distilling`).
        seed: Of the mixture.

    Raises:
        SettingsError: a task is wanted whose texts are not there, or no task at all.
    """
    weights = settings.weights()
    weights["ts_align"] = float(bool(texts.words)) if settings.ts_align is None else settings.ts_align
    given = {
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
        for column in parameters(task):
            if given[column] is None:
                raise SettingsError(
                    f"tasks.{name} is {weights[name]}, but {_MISSING[column]}; give them, or set it to 0"
                )
    wanted = [task(**{column: given[column] for column in parameters(task)}) for task in tasks.values()]
    if not wanted:
        raise SettingsError(f"every task has the weight 0; give one of {', '.join(TASKS)} a weight, such as 1")
    if rehearsed is not None and len(rehearsed):
        wanted.append(rehearsal(builder, rehearsed, first=len(train)))
        weights["rehearsal"] = 1.0
    return mixture(wanted, weights, seed=seed)


_MISSING = {
    "descriptions": "the catalogue has no field 'description'",
    "preferences": "there are no texts about users",
    "words": "there is no lexicon that says what tokens mean",
}


def next_item(builder: PromptBuilder, train: Sequences) -> Examples:
    """T1: ask for every training event that has a history, from the history before it (prefix augmentation)."""
    cases = prefix_cases(train, builder.settings.max_history)
    examples = _items(builder, builder.next_item(cases.histories), cases, "next_item")
    return replace(examples, sources=_numbers(cases.users))


def rehearsal(builder: PromptBuilder, rehearsed: Sequences, *, first: int) -> Examples:
    """Ask as in T1 for the events of rehearsed rows, which are numbered from `first` on."""
    examples = replace(next_item(builder, rehearsed), task="rehearsal")
    assert examples.sources is not None
    return replace(examples, sources=examples.sources + first)


def history_title(
    builder: PromptBuilder, train: Sequences, titles: Sequence[str], *, title_tokens: int = TITLE_TOKENS
) -> Examples:
    """T3: ask for the title of the item that follows a history."""
    answers = _cut(builder, titles, title_tokens)
    cases, dropped = _with_text(prefix_cases(train, builder.settings.max_history), answers)
    prompts = builder.about_histories(NEXT_TITLE, cases.histories)
    return _texts(builder, prompts, take_rows(answers, cases.targets), cases.histories, "history_title", dropped)


def title_history_title(
    builder: PromptBuilder, train: Sequences, titles: Sequence[str], *, title_tokens: int = TITLE_TOKENS
) -> Examples:
    """T4: ask for the title of the item that follows a history which is told by titles; items without are not told."""
    answers = _cut(builder, titles, title_tokens)
    cases, dropped = _with_text(_titled(prefix_cases(train, builder.settings.max_history), answers), answers)
    prompts = builder.about_histories(TITLES_NEXT_TITLE, cases.histories, builder.quoted(answers))
    return _texts(builder, prompts, take_rows(answers, cases.targets), cases.histories, "title_history_title", dropped)


def title_history_sid(
    builder: PromptBuilder, train: Sequences, titles: Sequence[str], *, title_tokens: int = TITLE_TOKENS
) -> Examples:
    """T5: ask for the item that follows a history which is told by titles; items without are not told."""
    told = _cut(builder, titles, title_tokens)
    cases = _titled(prefix_cases(train, builder.settings.max_history), told)
    prompts = builder.about_histories(TITLES_NEXT_ITEM, cases.histories, builder.quoted(told))
    return _items(builder, prompts, cases, "title_history_sid")


def sid_title(builder: PromptBuilder, titles: Sequence[str], *, title_tokens: int = TITLE_TOKENS) -> Examples:
    """T2: ask for the title of every item that has one, and for the item of every title.

    Where several items have a title (after tokenising and cutting), it asks for the first of them only.
    """
    return _both_ways(builder, _cut(builder, titles, title_tokens), (ITEM_TITLE, TITLE_ITEM), "sid_title")


def sid_description(
    builder: PromptBuilder, descriptions: Sequence[str], *, description_tokens: int = DESCRIPTION_TOKENS
) -> Examples:
    """T6: ask for the description of every item that has one, and for the item of every description; as `sid_title`."""
    questions = (ITEM_DESCRIPTION, DESCRIPTION_ITEM)
    return _both_ways(builder, _cut(builder, descriptions, description_tokens), questions, "sid_description")


def preference(
    builder: PromptBuilder,
    train: Sequences,
    preferences: Sequence[str],
    *,
    description_tokens: int = DESCRIPTION_TOKENS,
) -> Examples:
    """T7: ask what a user likes, from the user's training sequence.

    Args:
        builder: Of the prompts.
        train: Training sequences.
        preferences: What was written about each sequence's user, from training events alone; empty where nothing was.
        description_tokens: Tokens of an answer.

    Raises:
        DataError: not as many texts as sequences.
    """
    if len(preferences) != len(train):
        raise DataError(
            f"{len(preferences)} preferences were given for {len(train)} training sequences; give one for each"
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
    """TA: ask what every token means, and for the token with that meaning; one row each per token (TS-Align).

    Tokens without a description are left out; where several have the same, it asks for the first of them only.

    Raises:
        SettingsError: a token is not in the tokenizer's vocabulary.
    """
    known = builder.tokenizer.get_vocab()
    unknown = next((word.token for word in words if word.token not in known), None)
    if unknown is not None:
        raise SettingsError(f"the token '{unknown}' is not in the tokenizer's vocabulary; add it first (add_tokens)")
    tokens = Ragged.from_lists([[known[word.token]] for word in words])
    meanings = _cut(builder, [word.description for word in words], description_tokens)
    asked = np.flatnonzero(meanings.lengths.numpy())
    by_token = builder.ask(TOKEN_MEANING, take_rows(tokens, asked))
    by_meaning = builder.ask(MEANING_TOKEN, take_rows(meanings, asked))
    once = first_rows(by_meaning)
    prompts = one_below_other([by_token, take_rows(by_meaning, once)])
    answers = one_below_other([take_rows(meanings, asked), take_rows(tokens, asked[once])])
    dropped = {NO_TEXT: 2 * (len(words) - len(asked)), ASKED_BEFORE: len(asked) - len(once)}
    return _texts(builder, prompts, answers, _no_histories(len(answers)), "ts_align", dropped)


def _both_ways(
    builder: PromptBuilder,
    texts: Ragged,
    questions: tuple[Question, Question],
    task: str,
) -> Examples:
    """Ask for the text of each item that has one, and for the item of each text (the first item that has it)."""
    known = np.flatnonzero(texts.lengths.numpy())
    by_item = builder.ask(questions[0], take_rows(builder.items, known))
    by_text = builder.ask(questions[1], take_rows(texts, known))
    once = first_rows(by_text)
    prompts = one_below_other([by_item, take_rows(by_text, once)])
    answers = [_with_end(builder, take_rows(texts, known)), take_rows(builder.items, known[once])]
    items = np.concatenate([np.full(len(known), -1), known[once]])
    dropped = {NO_TEXT: 2 * (len(texts) - len(known)), ASKED_BEFORE: len(known) - len(once)}
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
    """Leave out cases whose target has no text."""
    kept = np.flatnonzero(answers.lengths.numpy()[cases.targets])
    return cases.take(kept), {NO_TEXT: len(cases) - len(kept)}


def _titled(cases: Cases, told: Ragged) -> Cases:
    """Leave items without a title out of the histories, and cases whose history is empty then."""
    histories = cases.histories.where(told.lengths.numpy()[cases.histories.items] > 0)
    return Cases(cases.users, cases.targets, histories).take(np.flatnonzero(histories.lengths))


def _no_histories(rows: int) -> Sequences:
    return Sequences(np.empty(0, dtype=np.int32), np.zeros(rows + 1, dtype=np.int64))


def _numbers(items: NDArray[np.integer]) -> Tensor:
    return torch.from_numpy(items.astype(np.int64))
