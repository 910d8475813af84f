import numpy as np

from lexirec.models.extension.occupied import Occupied
from lexirec.models.extension.placing import CodePlacing, TextPlacing, TreePlacing
from lexirec.semantic_ids.quantizers.codebook import Codebook, Space

# tokens: level a = 0, 1; level b = 10, 11, 12; counters 20, 21
BOOK = Codebook(
    Space.plain(2),
    (np.array([[0, 0], [10, 0]], np.float32), np.array([[0, 0], [0, 1], [0, 2]], np.float32)),
)
TOKENS = [np.array([0, 1]), np.array([10, 11, 12])]


def coded(existing, vectors, *, numbered=False, first=False, tokens=TOKENS):
    occupied = Occupied([np.array(existing, dtype=np.int32)])
    placing = CodePlacing(BOOK, tokens, [20, 21], numbered, first)
    return placing.place(np.array(vectors, dtype=np.float32), occupied)


def test_free_codes_are_taken_as_they_are():
    assert coded([[0, 10]], [[10, 2]]) == [[1, 12]]


def test_a_taken_code_gives_way_to_the_nearest_free_one():
    assert coded([[0, 10]], [[0, 0], [0, 0], [0, 0]]) == [[0, 11], [0, 12], None]


def test_a_level_of_counters_counts_first_or_last():
    assert coded([[0, 10, 20]], [[0, 0]] * 2, numbered=True, first=True) == [[0, 10, 21], [0, 11, 20]]
    found = coded([[0, 10, 20]], [[0, 0]] * 4, numbered=True)
    assert found == [[0, 11, 20], [0, 12, 20], [0, 10, 21], [0, 11, 21]]


def test_codes_without_a_token_are_not_used():
    assert coded([[0, 10]], [[0, 0]], tokens=[np.array([0, 1]), np.array([10, -1, 12])]) == [[0, 12]]


def test_nothing_follows_a_shortened_identifier():
    assert coded([[0, -1], [1, 10]], [[0, 2]]) == [[1, 12]]


def tree(existing, base, vectors, wishes, levels=0, new=None):
    existing = np.array(existing, dtype=np.int32)
    placing = TreePlacing(existing, np.array(base, dtype=np.float32), lambda item, depth: wishes[item], levels)
    return placing.place(np.array(vectors, dtype=np.float32), Occupied([existing]))


def test_an_item_becomes_a_sibling_of_the_nearest_one():
    existing, base = [[0, 10], [0, 11], [1, -1]], [[0, 0], [0, 1], [9, 9]]
    assert tree(existing, base, [[0, 0.9]], [[11, 12, 13]]) == [[0, 12]]
    assert tree(existing, base, [[9, 8]], [[0, 1, 2]]) == [[2]]


def test_items_of_one_place_take_different_tokens_in_order_of_arrival():
    existing, base = [[0, 10], [0, 11]], [[0, 0], [0, 1]]
    assert tree(existing, base, [[0, 0]] * 3, [[5, 6], [5, 6], [5, 6]]) == [[0, 5], [0, 6], None]


def test_no_token_stands_twice_on_a_path_and_full_identifiers_go_on():
    existing, base = [[0, 10], [0, 11]], [[0, 0], [0, 1]]
    assert tree(existing, base, [[0, 0]], [[0, 5, 6]], levels=3) == [[0, 5, 6]]


def test_placing_does_not_depend_on_other_new_items():
    existing, base = [[0, 10], [0, 11], [1, 10], [1, 11]], [[0, 0], [0, 1], [9, 9], [9, 8]]
    vectors = [[8, 8], [0, 0.4], [1, 1]]
    together = tree(existing, base, vectors, [[20], [21], [22]])
    alone = [tree(existing, base, [vector], [[20 + n]])[0] for n, vector in enumerate(vectors)]
    assert together == alone


def test_texts_skip_tokens_that_lead_into_another_identifier():
    existing = np.array([[1, 2], [3, -1]], dtype=np.int32)
    placing = TextPlacing([[3, 1, 2, 4], [1, 2], [1]], [20, 21], 4, cut=True)
    found = placing.place(np.zeros((3, 1), np.float32), Occupied([existing]))
    assert found == [[1, 4], [1, 20], [1, 21]]
