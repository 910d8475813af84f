"""Prompt templates of causal models: one `Question` per task, shared by training, evaluation and serving.

The structure (preamble, instruction, user input, response) follows MiniOneRec's prompts (spec section 7.2); the wording
is ours. The frame "plain" uses the cue alone: small models with random weights need no sentences.
"""

from __future__ import annotations

from typing import NamedTuple

PREAMBLE = "An instruction says what is asked, and an input says about what. Write the answer and nothing else."
INSTRUCTION, USER_INPUT, RESPONSE = "### Instruction:", "### User Input:", "### Response:"
ITEMS = "{items}"
"""Placeholder for "items", or for items of the category, such as "office items"."""


class Question(NamedTuple):
    """Template of one task's prompt, around a subject (a list of items, a text).

    Attributes:
        instruction: The task.
        before: User input before the subject.
        after: User input after the subject.
        cue: The only words of the frame "plain", after the subject.
    """

    instruction: str
    before: str
    after: str
    cue: str


NEXT_ITEM = Question(
    "Tell which item the user will take next.",
    f"From first to last, the user took these {ITEMS}:",
    ". Which item comes next?",
    "next:",
)
ITEM_TITLE = Question("Answer a question about which item is meant.", "What is the title of the item", "?", "title:")
TITLE_ITEM = Question("Answer a question about which item is meant.", 'Which item has the title "', '"?', "item:")
NEXT_TITLE = Question(
    "Name the item the user will take next by its title.",
    f"From first to last, the user took these {ITEMS}:",
    ". What is the title of the item that comes next?",
    "next title:",
)
TITLES_NEXT_TITLE = Question(
    "Name the item the user will take next by its title.",
    f"From first to last, the user took {ITEMS} with these titles:",
    ". What is the title of the item that comes next?",
    "next title:",
)
TITLES_NEXT_ITEM = Question(
    "Tell which item the user will take next.",
    f"From first to last, the user took {ITEMS} with these titles:",
    ". Which item comes next?",
    "next:",
)
ITEM_DESCRIPTION = Question(
    "Answer a question about which item is meant.", "How is the item", " described?", "description:"
)
DESCRIPTION_ITEM = Question(
    "Answer a question about which item is meant.", 'Which item is described as "', '"?', "item:"
)
PREFERENCE = Question(
    "Say what the user likes.",
    f"From first to last, the user took these {ITEMS}:",
    ". What does the user prefer?",
    "preference:",
)
TOKEN_MEANING = Question(
    "Answer a question about the tokens that items are made of.",
    "What do items have in common, and what are they for, when they contain the token",
    "?",
    "meaning:",
)
MEANING_TOKEN = Question(
    "Answer a question about the tokens that items are made of.",
    'Which token do items contain that are described as "',
    '"?',
    "token:",
)

QUESTIONS = (
    NEXT_ITEM,
    ITEM_TITLE,
    TITLE_ITEM,
    NEXT_TITLE,
    TITLES_NEXT_TITLE,
    TITLES_NEXT_ITEM,
    ITEM_DESCRIPTION,
    DESCRIPTION_ITEM,
    PREFERENCE,
    TOKEN_MEANING,
    MEANING_TOKEN,
)

PHRASES = (
    " ".join([PREAMBLE, INSTRUCTION, USER_INPUT, RESPONSE]),
    *(" ".join([*question, "items"]).replace(ITEMS, "items") for question in QUESTIONS),
)
"""Extra text for tokenizers trained on a catalogue, whose texts may lack the words of the templates."""
