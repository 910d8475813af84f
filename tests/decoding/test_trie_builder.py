import numpy as np
import pytest

from lexirec.core.errors import DataError
from lexirec.decoding.trie import Trie


@pytest.mark.parametrize(
    ("tokens", "end", "says"),
    [
        ([[1, 2], [-1, -1]], None, "item 1 has no token"),
        ([[1, 2], [-1, 2]], None, "item 1 has padding before its last token"),
        ([[1, 2], [3, 1]], 2, "item 0 contains the end token 2"),
        ([[1.5]], None, "float64"),
        (np.empty((0, 3), dtype=np.int32), None, r"\(0, 3\)"),
        ([[1, 2], [4, 4], [1, 2]], None, r"item 0, \[1, 2\], equals that of item 2"),
        ([[1, 2], [1, -1]], 9, r"item 1, \[1\], is a proper prefix of that of item 0"),
        ([[1, 2], [1, 2], [1, 2]], None, "1 more such pairs"),
    ],
)
def test_refusals_say_what_and_where(tokens: object, end: int | None, says: str):
    with pytest.raises(DataError, match=says):
        Trie.build(np.array(tokens), end=end)
