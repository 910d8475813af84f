from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from lexirec.core.errors import DataError, SettingsError
from lexirec.data.catalog import Catalog
from lexirec.data.interactions import Interactions
from lexirec.data.sequences import Sequences
from lexirec.data.splits import global_temporal, leave_last_out, predefined_split, prefix_cases
from lexirec.data.toy_shop.shop import mini_world
from lexirec.models.tsrec import tasks
from lexirec.models.tsrec.examples import Examples
from lexirec.models.tsrec.keywords import TokenWords
from lexirec.models.tsrec.mixture import TaskTexts, make_examples
from lexirec.models.tsrec.prompts import PromptBuilder
from lexirec.models.tsrec.settings import TaskSettings, TSRecPromptSettings
from lexirec.nn.prompt_templates import PHRASES
from lexirec.nn.tokenizer import train_tokenizer
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.identifiers.schemes import codes_as_tokens

EVERYTHING = TaskSettings(title_history_title=1, title_history_sid=1, sid_description=1, preference=1)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = mini_world(rounds=1).write(tmp_path_factory.mktemp("mini"))
    catalog = Catalog.read(folder / "items.parquet", text=["title", "brand", "description"])
    return catalog, Interactions.read(folder / "interactions.parquet", catalog)


def make_builder(codes: np.ndarray, texts: list[str], **options) -> PromptBuilder:
    tokenizer = train_tokenizer(texts, vocabulary_size=900, phrases=PHRASES)
    identifiers = codes_as_tokens(Codes(codes, kind="residual"))
    tokenizer.add_tokens(identifiers.new_pieces(tokenizer))
    return PromptBuilder(tokenizer, identifiers.in_vocabulary(tokenizer).tokens, TSRecPromptSettings(**options))


def words_of(builder: PromptBuilder) -> list[TokenWords]:
    tokens = sorted(token for token in builder.tokenizer.get_added_vocab() if token[1:2] in "abc" and token[2] == "_")
    return [
        TokenWords(token, "abc".index(token[1]), (), None, f"Things of kind number {n}.")
        for n, token in enumerate(tokens)
    ]


@pytest.fixture(scope="module", params=["alpaca", "plain"])
def builder(request, world):
    numbers = np.arange(24)
    codes = np.stack([numbers // 6, numbers % 6, numbers % 5], axis=1)
    return make_builder(codes, world[0].texts(), frame=request.param, max_history=3)


@pytest.fixture(scope="module")
def texts(world, builder):
    split = leave_last_out(world[1])
    labels = [f"The user {row} likes what a {row % 4} likes." for row in range(len(split.train))]
    return TaskTexts.of(world[0], words_of(builder), labels)


def inside(part: list[int], whole: list[int]) -> bool:
    return any(whole[place : place + len(part)] == part for place in range(len(whole) - len(part) + 1))


def ids(builder: PromptBuilder, text: str) -> list[int]:
    return builder.tokenizer(text, add_special_tokens=False).input_ids


def lines(examples: Examples) -> list[tuple[str, list[int], list[int], int, list[int]]]:
    kinds = [0] * len(examples) if examples.kinds is None else examples.kinds.tolist()
    return [
        (
            examples.names[kind],
            examples.prompts.row(row),
            examples.targets.row(row),
            int(examples.items[row]),
            examples.histories.row(row).tolist(),
        )
        for row, kind in enumerate(kinds)
    ]


def test_no_prompt_contains_its_answer(world, builder, texts):
    mixed = make_examples(builder, leave_last_out(world[1]).train, texts, EVERYTHING)
    assert set(mixed.names) == set(TaskSettings.model_fields) - {"title_tokens", "description_tokens"}
    end = builder.tokenizer.eos_token_id
    for task, prompt, target, item, _ in lines(mixed):
        answer = target if item >= 0 else target[:-1]
        assert answer, task
        assert not inside(answer, prompt), task
        assert (target[-1] == end) == (item < 0)
        if item >= 0:  # nor does the question spell the item in another form that only the answer's item has
            assert target == builder.items.row(item)


def test_text_of_the_target_is_told_only_where_it_is_the_question(world, builder, texts):
    mixed = make_examples(builder, leave_last_out(world[1]).train, texts, EVERYTHING)
    titles = [ids(builder, title) for title in texts.titles]
    for task, prompt, target, item, history in lines(mixed):
        if task in ("next_item", "history_title", "title_history_title", "title_history_sid"):
            goal = item if item >= 0 else titles.index(target[:-1])
            assert goal not in history  # walkers of the mini world never come back
            assert not inside(builder.items.row(goal), prompt)
            assert not inside(titles[goal], prompt)


HELD_OUT = {
    "leave-last-out": leave_last_out,
    "global-temporal": lambda interactions: global_temporal(interactions, validation=0.2, test=0.2),
}


@pytest.mark.parametrize("rule", HELD_OUT)
def test_no_row_about_users_holds_validation_or_test_events(rule, world, builder, texts):
    """Held-out events get items of their own, so that any trace of them would show."""
    _, interactions = world
    split = HELD_OUT[rule](interactions)
    kept = {}
    for user, row in zip(split.train_users.tolist(), range(len(split.train)), strict=True):
        kept[user] = len(split.train.row(row))
    sequences = interactions.sequences
    place = np.arange(len(sequences.items)) - np.repeat(sequences.offsets[:-1], sequences.lengths)
    held = place >= np.repeat([kept.get(user, 0) for user in range(len(sequences))], sequences.lengths)
    marked = Interactions(
        Sequences(sequences.items % 12 + 12 * held, sequences.offsets), interactions.user_ids, interactions.times, 24
    )
    again = HELD_OUT[rule](marked)
    assert set(again.train.items) <= set(range(12))
    assert set(again.test.targets) | set(again.validation.targets) <= set(range(12, 24))
    unseen = [[*builder.items.row(item)] for item in range(12, 24)]
    titles = [ids(builder, title) for title in texts.titles[12:]]
    labels = ["Somebody likes soap."] * len(again.train)
    settings = TaskSettings(sid_title=0, title_history_title=1, title_history_sid=1, preference=1, ts_align=0)
    mixed = make_examples(builder, again.train, TaskTexts(texts.titles, preferences=labels), settings)
    assert len(mixed) > 4 * len(again.train)
    for task, prompt, target, item, history in lines(mixed):
        assert item < 12, task
        assert max(history) < 12, task
        assert not any(inside(part, [*prompt, 0, *target]) for part in [*unseen, *titles]), task


def test_next_item_asks_for_every_prefix(world, builder):
    train = leave_last_out(world[1]).train
    examples, cases = tasks.next_item(builder, train), prefix_cases(train, 3)
    assert len(examples) == len(train.items) - len(train) == len(cases)
    assert examples.histories == cases.histories
    assert examples.items.tolist() == cases.targets.tolist()
    assert examples.sources.tolist() == cases.users.tolist()
    wanted = builder.next_item(cases.histories)
    assert examples.prompts.values.tolist() == wanted.values.tolist()
    assert [examples.targets.row(row) for row in range(9)] == [builder.items.row(item) for item in cases.targets[:9]]


def test_titles_are_answered_and_cut_with_an_end(world, builder, texts):
    train = leave_last_out(world[1]).train
    examples = tasks.history_title(builder, train, texts.titles, title_tokens=3)
    cases = prefix_cases(train, 3)
    for row in (0, 7, 50):
        title = texts.titles[cases.targets[row]]
        assert examples.targets.row(row) == [*ids(builder, title)[:3], builder.tokenizer.eos_token_id]
    assert (examples.items == -1).all()


def test_title_histories_are_told_by_titles(world, builder, texts):
    examples = tasks.title_history_sid(builder, Sequences.from_lists([[0, 1, 2]]), texts.titles)
    told = builder.tokenizer.decode(examples.prompts.row(1))
    first, second = (told.index(title) for title in texts.titles[:2])
    assert first < second
    assert examples.items.tolist() == [1, 2]
    assert not any(token in examples.prompts.row(1) for token in builder.items.row(0))


def test_items_without_text_are_neither_told_nor_asked_for(builder):
    titles = ["soap", "", "towel", "dish", *[""] * 20]
    train = Sequences.from_lists([[0, 1, 2], [1, 3, 1, 0]])
    t3 = tasks.history_title(builder, train, titles)
    assert [row.tolist() for row in map(t3.histories.row, range(len(t3)))] == [[0, 1], [1], [1, 3, 1]]
    assert t3.dropped == {tasks.NO_TEXT: 2}
    t4 = tasks.title_history_title(builder, train, titles)
    assert [row.tolist() for row in map(t4.histories.row, range(len(t4)))] == [[0], [3]]
    t5 = tasks.title_history_sid(builder, train, titles)
    assert [row.tolist() for row in map(t5.histories.row, range(len(t5)))] == [[0], [0], [3], [3]]
    assert t5.items.tolist() == [1, 2, 1, 0]
    t2 = tasks.sid_title(builder, titles)
    assert t2.items.tolist() == [-1, -1, -1, 0, 2, 3]
    assert t2.dropped == {tasks.NO_TEXT: 42, tasks.ASKED_BEFORE: 0}


def test_titles_of_several_items_are_asked_for_the_first_only(builder):
    titles = ["soap", "towel", "Soap", "towel", "dish", *[""] * 19]
    examples = tasks.sid_title(builder, titles)
    assert examples.items.tolist() == [-1] * 5 + [0, 1, 4]
    assert examples.dropped[tasks.ASKED_BEFORE] == 2
    asked = [tuple(line[1]) for line in lines(examples)]
    assert len(set(asked)) == len(asked)
    cut = tasks.sid_title(builder, [f"soap towel {letter}" for letter in "abcdefghijklmnopqrstuvwx"], title_tokens=2)
    assert cut.items.tolist() == [-1] * 24 + [0]
    assert cut.dropped[tasks.ASKED_BEFORE] == 23


def test_descriptions_are_asked_both_ways(world, builder, texts):
    examples = tasks.sid_description(builder, texts.descriptions)
    assert len(examples) == 48
    end = [builder.tokenizer.eos_token_id]
    assert examples.targets.row(0) == ids(builder, texts.descriptions[0]) + end
    assert inside(builder.items.row(0), examples.prompts.row(0))
    assert inside(ids(builder, texts.descriptions[0]), examples.prompts.row(24))


def test_tokens_are_aligned_in_both_directions(builder):
    words = words_of(builder)
    words[3] = TokenWords(words[3].token, 0, ())
    words[5] = TokenWords(words[5].token, 0, (), None, words[4].description)
    examples = tasks.ts_align(builder, words)
    assert len(examples) == 2 * (len(words) - 1) - 1
    assert examples.dropped == {tasks.NO_TEXT: 2, tasks.ASKED_BEFORE: 1}
    known, end = builder.tokenizer.get_vocab(), builder.tokenizer.eos_token_id
    token = known[words[0].token]
    assert token in examples.prompts.row(0)
    assert examples.targets.row(0) == [*ids(builder, words[0].description), end]
    assert examples.targets.row(len(words) - 1) == [token, end]
    assert len(examples.targets) == len(examples.histories)
    with pytest.raises(SettingsError, match="token '<z_1>' is not in the tokenizer's vocabulary"):
        tasks.ts_align(builder, [TokenWords("<z_1>", 0, ())])


def test_preferences_are_asked_where_they_are_known(builder):
    train = Sequences.from_lists([[0, 1, 2, 3], [4], [5, 6]])
    examples = tasks.preference(builder, train, ["likes soap", "", "likes towels"])
    assert [examples.histories.row(row).tolist() for row in range(2)] == [[1, 2, 3], [5, 6]]
    assert examples.targets.row(1) == [*ids(builder, "likes towels"), builder.tokenizer.eos_token_id]
    with pytest.raises(DataError, match="preferences has 2 texts for 3 training sequences"):
        tasks.preference(builder, train, ["", ""])


def test_mixture_takes_what_has_weight_and_says_what_is_missing(world, builder, texts):
    train = leave_last_out(world[1]).train
    known = TaskTexts(texts.titles)
    usual = make_examples(builder, train, known, TaskSettings())
    assert usual.counts == {"next_item": 72, "sid_title": 48, "history_title": 72}
    assert "ts_align" in make_examples(builder, train, texts, TaskSettings()).names
    off = TaskSettings(sid_title=0, history_title=0.5, ts_align=0)
    assert make_examples(builder, train, texts, off).counts == {"next_item": 72, "history_title": 36}
    for name, reason in (
        ("sid_description", "the catalogue has no field 'description'; add it"),
        ("preference", "there are no texts about users; give them"),
        ("ts_align", "there is no lexicon that describes the tokens; give one"),
    ):
        with pytest.raises(SettingsError, match=rf"tasks\.{name} is 1, but {reason}, or set it to 0"):
            make_examples(builder, train, known, TaskSettings(**{name: 1.0}))
    with pytest.raises(SettingsError, match="tasks: every weight is 0; set one of next_item, "):
        make_examples(builder, train, known, TaskSettings(next_item=0, sid_title=0, history_title=0))


@pytest.mark.data
def test_industrial_has_the_rows_of_the_specification(data_dir):
    folder = data_dir / "industrial18"
    catalog = Catalog.read(folder / "items.parquet", text=["title"])
    events = Interactions.read(folder / "interactions.parquet", catalog, columns={"split": "split"})
    words = [
        TokenWords(row["token"], "abc".index(row["token"][1]), tuple(row["keywords"]), None, row["description"])
        for row in pq.read_table(folder / "tsrec_token_keywords.parquet").to_pylist()
    ]
    codes = np.array([[int(code[3:]) for code in sid.rstrip(">").split(">")] for sid in catalog.field("sid")])
    builder = make_builder(codes, catalog.texts()[::10], frame="plain")
    mixed = make_examples(builder, predefined_split(events).train, TaskTexts.of(catalog, words), TaskSettings())
    # T1 and T3: every training event with a history; the specification's 36,259 are not all at hand
    assert mixed.counts == {"next_item": 27_372, "sid_title": 7_331, "history_title": 27_372, "ts_align": 1_120}
    assert mixed.dropped == {tasks.NO_TEXT: 0, tasks.ASKED_BEFORE: 41}
