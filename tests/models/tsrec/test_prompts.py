from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lexirec.core.errors import SettingsError
from lexirec.data.sequences import Sequences
from lexirec.models.tsrec.prompts import PromptBuilder, first_rows, take_rows
from lexirec.models.tsrec.settings import TSRecPromptSettings
from lexirec.nn.prompt_templates import NEXT_ITEM, PHRASES, QUESTIONS, TITLE_ITEM, TITLES_NEXT_ITEM
from lexirec.nn.ragged import Ragged
from lexirec.nn.tokenizer import train_tokenizer

TOKENIZER = train_tokenizer(["red soap", "blue soap", "office items", "a green towel"] * 10, phrases=PHRASES)
TOKENIZER.add_tokens([f"<{level}_{code}>" for level in "abcd" for code in range(3)])
SPELLED = ["<a_0><b_1><c_2>", "<a_0><b_2><c_1>", "<a_1><b_1><c_1><d_0>", "<a_1><b_1><c_1><d_1>"]
ROWS = [TOKENIZER(text, add_special_tokens=False).input_ids for text in SPELLED]
IDENTIFIERS = np.array([row + [-1] * (4 - len(row)) for row in ROWS])
COMMA = TOKENIZER("soap,", add_special_tokens=False).input_ids[-1:]

histories = st.lists(st.lists(st.integers(0, 3), max_size=7), min_size=1, max_size=5)


def builder(**options) -> PromptBuilder:
    return PromptBuilder(TOKENIZER, IDENTIFIERS, TSRecPromptSettings(**options))


def rows(ragged: Ragged) -> list[list[int]]:
    return [ragged.row(number) for number in range(len(ragged))]


def ids(text: str) -> list[int]:
    return TOKENIZER(text, add_special_tokens=False).input_ids


def test_prompts_read_as_they_should():
    (prompt,) = rows(builder(category="office").next_item(Sequences.from_lists([[2, 0]])))
    assert TOKENIZER.decode(prompt) == (
        "an instruction says what is asked, and an input says about what. write the answer and nothing else."
        " ### instruction: tell which item the user will take next."
        " ### user input: from first to last, the user took these office items:"
        "<a_1><b_1><c_1><d_0>,<a_0><b_1><c_2>. which item comes next? ### response:"
    )
    assert prompt[-2:] == ids("### response:")[-2:]
    (short,) = rows(builder(frame="plain").next_item(Sequences.from_lists([[2, 0]])))
    assert TOKENIZER.decode(short) == "<a_1><b_1><c_1><d_0><a_0><b_1><c_2> next:"
    assert short == [*ROWS[2], *ROWS[0], *ids("next:")]
    (asked,) = rows(builder().ask(TITLE_ITEM, ["Red soap"]))
    assert TOKENIZER.decode(asked).endswith('### user input: which item has the title " red soap"? ### response:')
    assert TOKENIZER.unk_token_id not in prompt + asked


def test_every_question_of_a_frame_is_another():
    for frame in ("alpaca", "plain"):
        asked = builder(frame=frame).ask
        seen = {tuple(asked(question, ["red soap"]).row(0)) for question in QUESTIONS}
        assert len(seen) == (len(QUESTIONS) if frame == "alpaca" else len({question.cue for question in QUESTIONS}))


def test_a_beginning_is_put_in_front_where_the_tokenizer_has_one():
    TOKENIZER.bos_token = "<a_0>"
    try:
        assert rows(builder(frame="plain").next_item(Sequences.from_lists([[2]])))[0][:2] == [ROWS[0][0], ROWS[2][0]]
    finally:
        TOKENIZER.bos_token = None


BUILDERS = [
    builder(frame=frame, max_history=most, max_length=len(builder(frame=frame).ask(NEXT_ITEM, [""]).row(0)) + room)
    for frame in ("alpaca", "plain")
    for most, room in ((1, 6), (3, 9), (7, 13), (7, 99))
]


@settings(max_examples=20, deadline=None)
@given(histories, st.sampled_from(BUILDERS))
def test_prompts_equal_those_built_one_by_one_and_drop_whole_oldest_items(lists, made):
    comma = COMMA if made.settings.frame == "alpaca" else []
    before, after = made._frame(NEXT_ITEM)
    expected, dropped = [], 0
    for history in lists:
        told = history[-made.settings.max_history :]
        while True:
            middle = [token for place, item in enumerate(told) for token in [*(comma if place else []), *ROWS[item]]]
            if len(before) + len(middle) + len(after) <= made.settings.max_length:
                break
            told, dropped = told[1:], dropped + 1
        expected.append([*before, *middle, *after])
    assert rows(made.next_item(Sequences.from_lists(lists))) == expected
    census = made.census(Sequences.from_lists(lists))
    assert (census.prompts, census.dropped) == (len(lists), dropped)
    assert (census.warning is None) == (dropped == 0)


def test_a_cut_is_told_with_counts():
    made = builder(frame="plain", max_length=13)
    assert made.census(Sequences.from_lists([[0, 1, 2, 3], [1]])).warning == (
        "1 of 2 prompts (50.0%) exceed the limit and lose their oldest items, 1 in all; raise prompts.max_length to"
        " keep them"
    )


def test_limits_that_hold_no_item_are_refused_with_one_that_does():
    with pytest.raises(SettingsError, match=r"max_length is 20, too small .* set at least \d+, or frame") as caught:
        builder(max_length=20)
    enough = int(str(caught.value).split("at least ")[1].split(",")[0])
    longest = builder(max_length=enough).next_item(Sequences.from_lists([[0, 2]])).row(0)
    assert len(longest) == enough
    with pytest.raises(SettingsError):
        builder(max_length=enough - 1)


def test_histories_can_be_told_in_other_words():
    made = builder(max_length=80)
    titles = Ragged.from_lists([ids("red soap"), [], ids("a green towel"), ids("towel " * 99)])
    quoted = made.quoted(titles)
    assert quoted.lengths.tolist()[1] == 0
    prompts = made.about_histories(TITLES_NEXT_ITEM, Sequences.from_lists([[0, 2], [3]]), quoted)
    assert 'these titles: " red soap", " a green towel". which item' in TOKENIZER.decode(prompts.row(0))
    assert len(prompts.row(1)) == 80
    assert made.ask(TITLE_ITEM, ["towel " * 99, ""]).lengths.tolist()[0] == 80


def test_rows_are_taken_and_first_of_equals_found():
    ragged = Ragged.from_lists([[5, 6], [], [5], [5, 6], [6, 5], []])
    assert rows(take_rows(ragged, np.array([4, 0, 0]))) == [[6, 5], [5, 6], [5, 6]]
    assert first_rows(ragged).tolist() == [0, 1, 2, 4]
    assert first_rows(Ragged.from_lists([])).tolist() == []


def test_empty_catalogue_and_no_histories_give_nothing():
    assert len(builder().next_item(Sequences.from_lists([]))) == 0
    assert torch.equal(builder().items.lengths, torch.tensor([3, 3, 4, 4]))


@settings(deadline=None, max_examples=25)
@given(histories, st.integers(20, 60), st.sampled_from([30, 512]))
def test_prompts_leave_room_for_an_identifier_in_the_model_s_positions(told, positions, max_length):
    chosen = TSRecPromptSettings(frame="plain", max_length=max_length)
    held = PromptBuilder(TOKENIZER, IDENTIFIERS, chosen, positions)
    walks = Sequences.from_lists(told)
    limit = min(positions - 4, max_length)
    assert held.max_length == limit
    assert held.cut_by_positions == (positions - 4 < max_length)
    assert rows(held.next_item(walks)) == rows(builder(frame="plain", max_length=limit).next_item(walks))
    texts = ["red soap " * 30, "red"]
    assert rows(held.ask(TITLE_ITEM, texts)) == rows(builder(frame="plain", max_length=limit).ask(TITLE_ITEM, texts))


def test_a_model_with_too_few_positions_is_refused_and_the_advice_is_about_it():
    with pytest.raises(
        SettingsError, match=r'has 64 positions, too few .*, which take \d+; set prompts\.frame = "plain"'
    ):
        PromptBuilder(TOKENIZER, IDENTIFIERS, TSRecPromptSettings(), 64)
    chosen = TSRecPromptSettings(frame="plain", max_history=9)
    held, longer = PromptBuilder(TOKENIZER, IDENTIFIERS, chosen, 20), PromptBuilder(TOKENIZER, IDENTIFIERS, chosen, 400)
    walks = Sequences.from_lists([[0, 1, 2, 3, 0, 1, 2]])
    assert "take a backbone with more positions to keep them" in (held.census(walks).warning or "")
    assert held.limit_in_words == (
        "prompts are cut to 16 tokens, not prompts.max_length = 512: the backbone has 20 positions, answer included"
    )
    assert longer.census(walks).warning is None
