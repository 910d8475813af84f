import numpy as np
import pyarrow as pa
import pytest

from lexirec.data.catalog import Catalog
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.identifiers.base import name_items
from lexirec.semantic_ids.identifiers.schemes import KeywordIdentifiers, LexicalIdentifiers
from lexirec.semantic_ids.lexicon.field_names import field_name_terms, without_field_names
from lexirec.semantic_ids.lexicon.lexicon import Lexicon, tfidf_lexicon


def catalog(**fields):
    size = len(next(iter(fields.values())))
    return Catalog(pa.table({"item_id": [str(n) for n in range(size)], **fields}), tuple(fields))


SPARSE = catalog(
    title=["red pan", "blue pan", "red lamp", None, None, None],
    detail_desc=[None, None, None, "oak", "tin", "oak tin"],
)
"""Items with few words, so that names run short; each field is missing in half of them."""


def spelled(identifiers, size):
    return {piece for item in range(size) for piece in identifiers.spelled(item)}


def test_words_marks_and_unused_pieces_of_the_names_are_found():
    vocabulary = ("▁title", "title:", ":", "▁;", "detail", "desc", "etail", "▁red", "ti", "", "&", "titles")
    found = field_name_terms(vocabulary, SPARSE)
    named = {term for term, is_name in zip(vocabulary, found, strict=True) if is_name}
    assert named == {"▁title", "title:", ":", "▁;", "detail", "desc", "etail"}  # "tin" has the piece "ti"


@pytest.mark.parametrize("settings", [KeywordIdentifiers(), LexicalIdentifiers()])
def test_no_item_is_named_by_a_field(settings):
    codes = Codes(
        np.array([[0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0], [1, 1, 0], [1, 1, 1]], dtype=np.int32), "residual"
    )
    lexicon = tfidf_lexicon(SPARSE.texts(), codes)
    assert any("title" in lexicon.terms(0, cell) for cell in range(2)), "the counts know no fields"
    pieces = spelled(name_items(settings, SPARSE, codes, lexicon), len(SPARSE))
    assert {"red", "pan", "oak", "tin"} <= pieces
    assert not pieces & {"title", "detail", "desc"}


def test_terms_keep_their_order_and_scores_and_written_keywords_stay():
    codes = Codes(np.array([[0], [0], [0], [1], [1], [1]], dtype=np.int32), "residual")
    lexicon = tfidf_lexicon(SPARSE.texts(), codes)
    kept = without_field_names(lexicon, SPARSE)
    for cell in range(2):
        terms = lexicon.terms(0, cell)
        places = [place for place, term in enumerate(terms) if term not in ("title", "detail_desc", "detail", "desc")]
        assert kept.terms(0, cell) == [terms[place] for place in places]
        assert kept.scores(0, cell).tolist() == lexicon.scores(0, cell)[places].tolist()
    written = Lexicon.written([[(["title", "red"], "a title")]])
    assert without_field_names(written, SPARSE) is written
