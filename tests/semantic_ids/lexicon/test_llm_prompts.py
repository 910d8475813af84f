import numpy as np
import pyarrow as pa

from lexirec.data.catalog import Catalog
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.lexicon.llm_prompts import item_lines, prompt_of, questions_about
from lexirec.semantic_ids.lexicon.llm_settings import LLMLexicon

TITLES = ["claw hammer", "steel hammer", "hammer hammer", "drill", "steel drill", "paint"]
CODES = Codes(np.array([[4, 0], [4, 1], [4, 1], [1, 0], [1, 1], [1, 1]]), "residual")


def shop(**columns):
    return Catalog(pa.table({"item_id": list("abcdef"), "title": TITLES, **columns}), ("title",))


def test_there_is_one_question_per_token_whatever_the_other_tokens():
    questions = questions_about(shop(), CODES, LLMLexicon(keywords=7))
    assert [(q.about, q.level, q.cell, q.items) for q in questions] == [
        ("<a_1>", 0, 0, 3), ("<a_4>", 0, 1, 3), ("<b_0>", 1, 0, 2), ("<b_1>", 1, 1, 4),
    ]  # fmt: skip
    assert all(title in questions[1].prompt for title in TITLES[:3])
    assert not any(f"- {title}" in questions[1].prompt for title in TITLES[3:])
    assert '"keywords": 7 different' in questions[1].prompt


def test_of_large_cells_the_items_nearest_to_the_centre_are_shown():
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0.6, 0.8], [0.6, 0.8]], dtype=np.float32)
    prompt = questions_about(shop(), CODES, LLMLexicon(items_per_cell=2), vectors)[1].prompt
    assert "These are 2 of 3 items" in prompt
    assert "- claw hammer\n- steel hammer\n\n" in prompt
    by_text = questions_about(shop(), CODES, LLMLexicon(items_per_cell=1))[1].prompt
    assert "- hammer hammer\n\n" in by_text


def test_a_sample_follows_its_seed():
    def shown(seed):
        return [
            q.prompt for q in questions_about(shop(), CODES, LLMLexicon(items_per_cell=1, shown="sample", seed=seed))
        ]

    assert shown(0) == shown(0)
    assert len({tuple(shown(seed)) for seed in range(8)}) > 1


def test_conditioned_tokens_are_asked_about_under_each_parent_against_its_other_items():
    questions = questions_about(shop(), CODES, LLMLexicon(conditioned=True))
    below = [q for q in questions if q.level]
    assert [(q.about, q.cell, q.items) for q in below] == [
        ("<b_0> under <a_1>", 0, 1), ("<b_0> under <a_4>", 0, 1),
        ("<b_1> under <a_1>", 1, 2), ("<b_1> under <a_4>", 1, 2),
    ]  # fmt: skip
    own, around = below[3].prompt.split("wider family")
    assert "- steel hammer" in own
    assert "- claw hammer" in around
    assert "- steel hammer" not in around
    assert "drill" not in below[3].prompt


def test_only_the_largest_parts_of_a_token_are_asked_about():
    values = np.array([[parent, 0] for parent in range(12) for _ in range(parent + 1)])
    table = pa.table({"item_id": [str(n) for n in range(len(values))], "title": ["tool"] * len(values)})
    questions = questions_about(Catalog(table, ("title",)), Codes(values, "residual"), LLMLexicon(conditioned=True))
    assert [q.items for q in questions if q.level] == [12, 11, 10, 9, 8, 7, 6, 5]


def test_cells_of_trees_are_told_by_their_path_and_levels_can_be_left_out():
    questions = questions_about(shop(), Codes(CODES.values, "tree"), LLMLexicon())
    assert questions[-1].about == "<a_4><b_1>"
    assert {q.level for q in questions_about(shop(), CODES, LLMLexicon(levels=1))} == {0}


def test_lines_hold_title_and_cut_description_or_categories():
    long = "Drives nails into wood, all day long"
    catalog = shop(description=[long, "Short.", *[None] * 4], categories=[None, ["Tools"], *[["Tools", "Wood"]] * 4])
    lines = item_lines(catalog, 24)
    assert lines[:3] == [
        "claw hammer - Drives nails into wood …",
        "steel hammer - Short.",
        "hammer hammer - Tools, Wood",
    ]
    assert item_lines(catalog, 0)[0] == "claw hammer"
    assert item_lines(Catalog(pa.table({"item_id": ["x"], "name": ["saw"]}), ("name",)), 9) == ["saw"]


def test_a_prompt_without_others_speaks_of_no_family():
    assert "family" not in prompt_of(["saw"], 1, 20)
