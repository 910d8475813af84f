from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lexirec.core.config import validate_settings
from lexirec.core.errors import SettingsError
from lexirec.models.gram.item_prompts import item_prompts, share_tokens
from lexirec.models.gram.settings import PromptSettings
from lexirec.nn.tokenizer import train_tokenizer

TITLES = ["Red Soap", "Blue Soap", "Green Candle", "Plain Candle"]
BRANDS = ["Acme", "", "Zenith", "Acme"]
STORIES = ["", "a long story of soap " * 12, "short story", ""]
TEXTS = {"title": TITLES, "brand": BRANDS, "sales_story": STORIES}
NEIGHBORS = np.array([[1, 2], [0, -1], [-1, -1], [0, 1]])


@pytest.fixture(scope="module")
def tokenizer():
    texts = [f"title: {t}; brand: {b}; sales story: {s}" for t, b, s in zip(TITLES, BRANDS, STORIES, strict=True)]
    return train_tokenizer([*texts * 5, "soap 0 1 red blue"])


@pytest.fixture(scope="module")
def identifiers(tokenizer):
    words = [["▁soap", "▁red"], ["▁soap", "▁blue", "1"], ["▁candle", "▁green"], ["▁candle", "▁plain"]]
    table = np.full((4, 3), -1)
    for row, pieces in zip(table, words, strict=True):
        row[: len(pieces)] = tokenizer.convert_tokens_to_ids(pieces)
    assert tokenizer.unk_token_id not in table
    return table


@pytest.fixture
def build(tokenizer, identifiers):
    def build(texts=None, neighbors=NEIGHBORS, **given):
        chosen = TEXTS if texts is None else texts
        prompts, census = item_prompts(chosen, identifiers, neighbors, tokenizer, PromptSettings(**given))
        pieces = [tokenizer.convert_ids_to_tokens(prompts.row(item)) for item in range(len(prompts))]
        return pieces, census

    return build


def said(pieces: list[str]) -> str:
    return "".join(pieces).replace("▁", " ").strip()


@pytest.mark.parametrize("layout", ["budgets", "paper"])
def test_prompts_name_the_item_its_neighbours_and_its_metadata(build, layout):
    pieces, _ = build(layout=layout)
    assert said(pieces[0]) == (
        "item: soap red; similar items: soap blue1, candle green; title: red soap; brand: acme</s>"
    )
    assert said(pieces[2]) == "item: candle green; title: green candle; brand: zenith; sales story: short story</s>"


def test_identifiers_are_put_in_as_ids(build, identifiers, tokenizer):
    pieces, _ = build()
    spelled = tokenizer.convert_ids_to_tokens(identifiers[1].tolist())
    assert pieces[1][2:5] == spelled
    assert pieces[0][8:11] == spelled


def test_metadata_is_tokenised_as_one_text_would_be(build, tokenizer):
    pieces, _ = build(parts=["metadata"], layout="paper", max_length=1000)
    whole = tokenizer(f"title: {TITLES[1]}; sales story: {STORIES[1]}").input_ids
    assert pieces[1] == tokenizer.convert_ids_to_tokens(whole)


@pytest.mark.parametrize(
    ("given", "prompt"),
    [
        (
            {"parts": ["similar_items", "metadata"]},
            "similar items: soap red, soap blue1; title: plain candle; brand: acme",
        ),
        ({"parts": ["item", "metadata"]}, "item: candle plain; title: plain candle; brand: acme"),
        ({"similar_items": 0}, "item: candle plain; title: plain candle; brand: acme"),
        ({"parts": ["item", "similar_items"]}, "item: candle plain; similar items: soap red, soap blue1"),
        ({"similar_items": 1, "fields": []}, "item: candle plain; similar items: soap red"),
        ({"parts": []}, ""),
        ({"parts": ["metadata"], "fields": ["title"]}, "title: plain candle"),
        (
            {"parts": ["metadata", "item"], "fields": ["brand", "title"]},
            "brand: acme; title: plain candle; item: candle plain",
        ),
    ],
)
def test_every_ablation_and_order_of_the_parts(build, given, prompt):
    assert said(build(**given)[0][3]) == prompt + "</s>"


def test_layout_paper_cuts_the_whole_and_forces_the_end(build):
    whole, _ = build(layout="paper", max_length=1000)
    cut, census = build(layout="paper", max_length=16)
    assert [len(row) for row in cut] == [min(len(row), 16) for row in whole]
    assert cut[1] == [*whole[1][:15], "</s>"]
    # item 0: "item : ▁soap ▁red ; ▁similar ▁items : ▁soap ▁blue 1 , ▁candle ▁green ; </s>"
    assert {part.name: (part.visible, part.total, part.items, part.cut) for part in census.parts}["similar_items"] == (
        6 + 2 + 6,
        6 + 2 + 6,
        3,
        0,
    )
    assert census.longest == 16


def test_census_of_the_layout_paper_counts_what_stands_before_the_cut(build):
    for limit in (4, 9, 13, 17, 21, 40):
        pieces, census = build(layout="paper", max_length=limit, parts=["item", "metadata"])
        visible = {part.name: part.visible for part in census.parts}
        stories = [said(row[:-1]).partition("sales story:")[2].split() for row in pieces]
        assert visible["sales_story"] == sum(map(len, stories))
        assert visible["item"] == sum(len(row[2 : 3 + (item == 1) + 1][: limit - 3]) for item, row in enumerate(pieces))
        assert census.mean_length == sum(map(len, pieces)) / 4


def test_layout_budgets_never_lets_one_part_push_out_another(build):
    pieces, census = build(metadata_tokens=20, similar_tokens=3, identifier_tokens=2)
    assert said(pieces[1]) == (
        "item: soap blue; similar items: soap red; title: blue soap;"
        " sales story: a long story of soap a long story of soap a</s>"
    )
    assert said(pieces[0]).startswith("item: soap red; similar items: soap blue1; title")
    parts = {part.name: part for part in census.parts}
    assert (parts["item"].visible, parts["item"].total, parts["item"].cut) == (8, 9, 1)
    assert (parts["similar_items"].visible, parts["similar_items"].total, parts["similar_items"].cut) == (7, 14, 2)
    assert parts["title"].share == 1.0
    assert (parts["sales_story"].visible, parts["sales_story"].items, parts["sales_story"].cut) == (13, 2, 1)


def test_weights_move_metadata_tokens_and_labels_without_content_are_left_out(build):
    long = {"title": ["soap " * 30] * 4, "brand": ["acme " * 30] * 4}
    pieces, _ = build(long, parts=["metadata"], metadata_tokens=24, field_weights={"title": 2.5})
    assert said(pieces[0]).count("soap") == 17
    assert said(pieces[0]).count("acme") == 1
    pieces, _ = build(long, parts=["metadata"], metadata_tokens=24, field_weights={"title": 4.5})
    assert "brand" not in said(pieces[0])


@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(st.integers(0, 40), min_size=3, max_size=3), min_size=1, max_size=5), st.integers(0, 80))
def test_shares_use_the_whole_budget_or_fill_every_need(needed, total):
    needed_FI = torch.tensor(needed)
    weights = torch.tensor([1.0 + field for field in range(len(needed))])
    shares = share_tokens(needed_FI, weights, total)
    assert (shares >= 0).all()
    assert (shares <= needed_FI).all()
    assert torch.equal(shares.sum(0), needed_FI.sum(0).clamp(max=total))


def test_equal_needs_get_equal_shares():
    assert share_tokens(torch.tensor([[50], [2], [50]]), torch.ones(3), 42).flatten().tolist() == [20, 2, 20]


def test_neighbours_with_gaps_and_none_at_all(build):
    pieces, census = build(neighbors=np.array([[-1, 2], [-1, -1], [-1, -1], [-1, -1]]), parts=["similar_items"])
    assert [said(row) for row in pieces] == ["similar items: candle green</s>", "</s>", "</s>", "</s>"]
    assert census.parts[0].items == 1


def test_mistakes_are_said_in_one_line(build):
    with pytest.raises(SettingsError, match=r"prompts\.fields names 'titel'.*Did you mean 'title'"):
        build(fields=["titel"])
    with pytest.raises(SettingsError, match=r"prompts\.field_weights names 'price'"):
        build(field_weights={"price": 2.0})
    with pytest.raises(SettingsError, match="there are no neighbours"):
        build(neighbors=None)
    for wrong, message in [
        ({"parts": ["item", "item"]}, "'parts' should name each part once"),
        ({"user_template": "What next?"}, "'user_template' should hold {history} once"),
        ({"field_weights": {"title": 0.0}}, "'field_weights' should hold weights above 0"),
    ]:
        with pytest.raises(SettingsError, match=message):
            validate_settings(wrong, PromptSettings)
