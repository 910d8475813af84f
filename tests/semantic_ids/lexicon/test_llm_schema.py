import json

import pytest

from lexirec.semantic_ids.lexicon.llm_schema import CellLabel, MalformedError, answer_schema, read_answer

GOOD = '{"description": "Tools  of\\nsteel.", "keywords": ["Hammer", "steel nail", "hammer ", "drill"]}'


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"```json\n{GOOD}\n```",
        f'<think>perhaps {{"keywords": []}} or so</think>Here you are: {GOOD} Anything else?',
        GOOD.replace('"drill"]', '"drill",],'),
        f'{{"note": "first"}} {GOOD}',
    ],
)
def test_the_object_is_found_among_what_models_write_around_it(text):
    answer = read_answer(text, 3)
    assert answer == CellLabel(description="Tools of steel.", keywords=["hammer", "steel nail", "drill"])


def test_keywords_too_many_are_left_off():
    assert read_answer(GOOD, 2).keywords == ["hammer", "steel nail"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "there is no JSON object in it"),
        ("I cannot help.", "there is no JSON object in it"),
        (GOOD[:60], "its JSON is cut off or broken"),
        ('{"keywords": ["a", "b"]}', "'description': field required"),
        ('{"description": "x", "keywords": "a, b"}', "'keywords': should be a valid list"),
        ('{"description": "x", "keywords": ["a", 2]}', "'keywords.1': should be a valid string"),
        ('{"description": "x", "keywords": ["a"], "more": 1}', "'more': extra inputs"),
        ('{"description": " ", "keywords": ["a", "b"]}', "the description is empty"),
        ('{"description": "x", "keywords": ["a", "A", " a "]}', "1 different keywords of the 4 asked for"),
        ("{" * 5000, "its JSON is cut off or broken"),
    ],
)
def test_what_cannot_be_used_says_why(text, reason):
    with pytest.raises(MalformedError) as caught:
        read_answer(text, 4)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_schema_is_that_of_the_answer():
    ours, theirs = answer_schema(), CellLabel.model_json_schema()
    assert set(ours["properties"]) == set(theirs["properties"]) == set(ours["required"])
    assert ours["additionalProperties"] is theirs["additionalProperties"] is False
    assert json.loads(GOOD).keys() == ours["properties"].keys()
