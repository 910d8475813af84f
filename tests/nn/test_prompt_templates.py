from __future__ import annotations

from lexirec.nn.prompt_templates import INSTRUCTION, ITEMS, PHRASES, QUESTIONS, RESPONSE, USER_INPUT


def test_questions_can_be_told_apart():
    assert len({question[:3] for question in QUESTIONS}) == len(QUESTIONS)
    assert all(question.cue.endswith(":") for question in QUESTIONS)


def test_phrases_hold_every_word_of_every_question():
    words = set(" ".join(PHRASES).split())
    for question in QUESTIONS:
        assert set(" ".join(question).replace(ITEMS, "items").split()) <= words
    assert {INSTRUCTION.split()[1], USER_INPUT.split()[1], RESPONSE.split()[1]} <= words
    assert ITEMS not in " ".join(PHRASES)
