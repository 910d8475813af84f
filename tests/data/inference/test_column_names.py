import pytest

from lexirec.data.inference.column_names import plain, words_of


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("movieId", "movie_id"),
        ("Título", "titulo"),
        ("Book-Title ", "booktitle"),
        ("商品 名", "商品名"),
        ("STRASSE", "straße"),
    ],
)
def test_case_accents_and_punctuation_do_not_count(name, same):
    assert plain(name) == plain(same)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bookTitle_EN2", ["book", "title", "en", "2"]),
        ("HTMLText", ["html", "text"]),
        ("ürün adı", ["urun", "adı"]),
        ("商品名", ["商品名"]),
        ("", []),
    ],
)
def test_the_words_of_a_name(name, words):
    assert words_of(name) == words
