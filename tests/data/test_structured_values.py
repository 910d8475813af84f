import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexirec.data.structured_values import names_in


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("['Drama', 'Crime']", ["Drama", "Crime"]),
        ('["Drama"]', ["Drama"]),
        ("[u'Drama', u'Crime']", ["Drama", "Crime"]),
        ("[{'id': 18, 'name': 'Drama'}, {'id': 35, 'name': 'Comedy'}]", ["Drama", "Comedy"]),
        ('[{"id": 18, "name": "Drama"}]', ["Drama"]),
        ('[["Books", "Fiction"], ["Home"], ["Books"]]', ["Books", "Fiction", "Home"]),
        ('["[\\"Books\\",\\"Fiction\\"]","[\\"Home\\"]"]', ["Books", "Fiction", "Home"]),
        ("('a', 'b')", ["a", "b"]),
        ("('a',)", ["a"]),
        ("{'b', 'a'}", ["b", "a"]),
        ('{Drama,"Sci Fi"}', ["Drama", "Sci Fi"]),
        ("[Drama, Sci Fi, Women's]", ["Drama", "Sci Fi", "Women's"]),
        ("['Drama' 'Crime'\n 'Sci Fi']", ["Drama", "Crime", "Sci Fi"]),
        ("array(['Drama', 'Crime'], dtype=object)", ["Drama", "Crime"]),
        ("[array(['a'], dtype=object), array(['b'])]", ["a", "b"]),
        ("frozenset({'a', 'b'})", ["a", "b"]),
        ("{name=Drama, id=18}", ["Drama"]),
        ("{'name': {'en': 'Drama', 'fr': 'Drame'}}", ["Drama"]),
        ("[{'genreName': 'X', 'genreId': 4}]", ["X"]),
        ("""['Women\\'s', "Men's", 'The "best"', 'a, b']""", ["Women's", "Men's", 'The "best"', "a, b"]),
        ("[18, 35.5]", ["18", "35.5"]),
        ("[True, None, nan, ' ', 'a']", ["a"]),
        ('["[REC]", "{Proof}"]', ["[REC]", "{Proof}"]),
        ("[]", []),
        ("{'a': 1}", []),
        ("[{'id': 1, 'name': None}]", []),
    ],
)
def test_names_in_structured_values(text, names):
    assert names_in(text) == names


@pytest.mark.parametrize(
    "text",
    [
        *("", "plain", "(500) Days of Summer", "(text)", "[2019] Mug [HD]", "[a] [b]", "['a', 'b'", "['a' : 'b']"),
        *("[" * 10_000, "[" * 10_000 + "]" * 10_000, "__import__('os').getcwd()", "['a'].append('b')", "[x for x in y"),
    ],
)
def test_other_texts_hold_none(text):
    assert names_in(text) is None


def test_objects_without_a_name_give_their_texts_where_asked():
    text = "[{'author_id': '1', 'url': 'http://x', 'role': 'Illustrator'}]"
    assert names_in(text) == []
    assert names_in(text, loose=True) == ["Illustrator"]
    assert names_in("{'author_id': '1', 'role': ''}", loose=True) == []


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=12)
names = st.lists(words.map(str.strip).filter(lambda name: name and name[0] not in "[{"), max_size=6)


def quoted(name):
    return "'" + name.replace("\\", "\\\\").replace("'", "\\'") + "'"


FORMS = {
    "json": json.dumps,
    "json, unescaped": lambda names: json.dumps(names, ensure_ascii=False),
    "python": repr,
    "tuple": lambda names: repr(tuple(names)),
    "set": lambda names: "{" + ", ".join(map(quoted, names)) + "}",
    "numpy": lambda names: "[" + "\n ".join(map(quoted, names)) + "]",
    "array": lambda names: f"array({names!r}, dtype=object)",
    "objects": lambda names: repr([{"id": number, "name": name} for number, name in enumerate(names)]),
    "json objects": lambda names: json.dumps([{"name": name, "rank": {"of": 1}} for name in names]),
    "nested": lambda names: json.dumps([[name] for name in names]),
}


@pytest.mark.parametrize("form", FORMS)
@given(names=names)
def test_what_was_written_is_read(form, names):
    assert names_in(FORMS[form](names)) == list(dict.fromkeys(names))


@given(st.text("[](){}'\",:=ab1 \\\n", max_size=30))
def test_nothing_breaks_it(text):
    assert all(name and isinstance(name, str) for name in names_in(text) or [])


@pytest.mark.parametrize("text", ["['" + "a" * 900_000, "[" + "a," * 200_000, "[" + "'a' " * 100_000, "[a'" * 200_000])
def test_no_text_takes_long(text):
    start = time.process_time()
    names_in(text)
    assert time.process_time() - start < 5
