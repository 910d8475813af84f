from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lexirec.core.errors import SettingsError
from lexirec.models.gram.settings import PromptSettings
from lexirec.models.gram.user_prompts import UserPrompts
from lexirec.nn.tokenizer import train_tokenizer

TOKENIZER = train_tokenizer(["alpha beta gamma delta 0 1 2"] * 10)
SPELLED = ["alpha beta", "gamma", "delta alpha 1", "beta"]
ROWS = [TOKENIZER(text, add_special_tokens=False).input_ids for text in SPELLED]
IDENTIFIERS = np.array([row + [-1] * (6 - len(row)) for row in ROWS])
BEFORE = TOKENIZER("What would user purchase after", add_special_tokens=False).input_ids
AFTER = TOKENIZER("?").input_ids
SEPARATOR = TOKENIZER(";", add_special_tokens=False).input_ids

histories = st.lists(st.lists(st.integers(0, 3), max_size=6), min_size=1, max_size=5)


def padded(rows: list[list[int]]) -> torch.Tensor:
    longest = max(map(len, rows))
    return torch.tensor([row + [-1] * (longest - len(row)) for row in rows], dtype=torch.int64).reshape(
        len(rows), longest
    )


def reference(history: list[int]) -> list[int]:
    middle: list[int] = []
    for number, item in enumerate(history):
        middle += [*(SEPARATOR if number else []), *ROWS[item]]
    return BEFORE + middle + AFTER


def built(prompts: UserPrompts, rows: list[list[int]]) -> list[list[int]]:
    ids, mask = prompts(padded(rows))
    assert ids.dtype == torch.int64
    assert ids.shape[1] == mask.sum(1).max()
    assert (ids[~mask] == TOKENIZER.pad_token_id).all()
    return [line[kept].tolist() for line, kept in zip(ids, mask, strict=True)]


def test_prompt_reads_as_the_template_says():
    (ids,) = built(UserPrompts(IDENTIFIERS, TOKENIZER, PromptSettings()), [[2, 1]])
    assert TOKENIZER.decode(ids) == "what would user purchase after delta alpha 1 ; gamma ?</s>"
    (ids,) = built(UserPrompts(IDENTIFIERS, TOKENIZER, PromptSettings(user_template="{history}? Alpha:")), [[1]])
    assert TOKENIZER.decode(ids).replace(" ", "") == "gamma?alpha:</s>"
    assert "▁?" not in TOKENIZER.convert_ids_to_tokens(ids)


@settings(max_examples=60, deadline=None)
@given(histories)
def test_batches_equal_prompts_built_one_by_one(rows):
    prompts = UserPrompts(IDENTIFIERS, TOKENIZER, PromptSettings())
    assert built(prompts, rows) == [reference(row) for row in rows]
    assert prompts.census(padded(rows)).warning is None


@settings(max_examples=60, deadline=None)
@given(histories, st.integers(18, 40))
def test_whole_identifiers_are_dropped_oldest_first_and_counted(rows, limit):
    prompts = UserPrompts(IDENTIFIERS, TOKENIZER, PromptSettings(user_max_length=limit))
    kept = []
    for row in rows:
        told = len(row)
        while len(reference(row[:told])) > limit:
            told -= 1
        kept.append(row[:told])
    assert built(prompts, rows) == [reference(row) for row in kept]
    census = prompts.census(padded(rows))
    assert census.dropped == sum(map(len, rows)) - sum(map(len, kept))
    assert census.cut == sum(len(row) != len(told) for row, told in zip(rows, kept, strict=True))
    assert census.prompts == len(rows)


@settings(max_examples=60, deadline=None)
@given(histories, st.integers(8, 30))
def test_layout_paper_cuts_and_forces_the_end(rows, limit):
    prompts = UserPrompts(IDENTIFIERS, TOKENIZER, PromptSettings(layout="paper", max_length=limit))
    whole = [reference(row) for row in rows]
    assert built(prompts, rows) == [ids if len(ids) <= limit else [*ids[: limit - 1], 1] for ids in whole]
    census = prompts.census(padded(rows))
    ends = [[len(reference(row[:number])) - len(AFTER) for number in range(1, len(row) + 1)] for row in rows]
    lost = [
        sum(end > limit - 1 for end in row) if len(ids) > limit else 0 for row, ids in zip(ends, whole, strict=True)
    ]
    assert census.dropped == sum(lost)
    assert census.cut == sum(number > 0 for number in lost)


def test_a_cut_is_told_with_counts():
    warning = (
        UserPrompts(IDENTIFIERS, TOKENIZER, PromptSettings(user_max_length=18)).census(padded([[1], [1] * 6])).warning
    )
    assert warning is not None
    assert warning.startswith("1 of 2 user prompts (50.0%) exceed the limit and lose their oldest items, ")
    assert "prompts.user_max_length" in warning


def test_limit_that_holds_not_even_one_item_is_refused():
    with pytest.raises(SettingsError, match=r"user_max_length is 10, too small .* set at least \d+"):
        UserPrompts(IDENTIFIERS, TOKENIZER, PromptSettings(user_max_length=10))
    message = ""
    try:
        UserPrompts(IDENTIFIERS, TOKENIZER, PromptSettings(user_max_length=10))
    except SettingsError as error:
        message = str(error)
    UserPrompts(IDENTIFIERS, TOKENIZER, PromptSettings(user_max_length=int(message.split()[-1])))
