import math

import numpy as np
import pytest

from lexirec.data.catalog import Catalog
from lexirec.reporting.identifier_figures import draw_identifiers
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.identifiers.identifiers import Identifiers
from lexirec.semantic_ids.identifiers.published import read_published
from lexirec.semantic_ids.identifiers.report import census, naming_report

PIECES = ("a", "b", "c", "▁7", "0", "1", "2")
#        a b 0 | a b 1 | a c | b ▁7 a | b ▁7 c 0
TOKENS = np.array([[0, 1, 4, -1], [0, 1, 5, -1], [0, 2, -1, -1], [1, 3, 0, -1], [1, 3, 2, 4]])


def test_the_tree_of_a_few_identifiers_is_counted():
    found = census(Identifiers(TOKENS, PIECES))
    assert found.lengths == {2: 1, 3: 3, 4: 1}
    assert found.tokens == 6
    assert [depth.prefixes for depth in found.depths] == [2, 3, 4, 1]
    assert [depth.tokens for depth in found.depths] == [2, 3, 4, 1]
    assert [depth.max_children for depth in found.depths] == [2, 2, 2, 1]
    assert [depth.largest for depth in found.depths] == [3, 2, 1, 1]
    assert [depth.single_child_share for depth in found.depths] == [0, 0.5, 0, 1]
    assert found.nodes == 10
    assert found.max_children == 2
    assert found.single_child_share == pytest.approx(2 / 6)
    assert found.mean_shortest_unique == pytest.approx((3 + 3 + 2 + 3 + 3) / 5)
    assert [depth.identified for depth in found.depths] == pytest.approx([0, 0.2, 1, 1])
    assert found.depths[0].entropy == pytest.approx(-0.6 * math.log2(0.6) - 0.4 * math.log2(0.4))
    assert (found.collision_groups, found.largest_collision) == (1, 2)  # the lone counter counts nothing
    assert found.with_numbers == 4


def test_counters_must_count_from_nought_without_gaps():
    assert census(Identifiers(np.array([[0, 4], [0, 6], [1, 5], [2, -1]]), PIECES)).collision_groups == 0
    assert census(Identifiers(np.array([[0, 4], [0, 5], [0, 6], [2, -1]]), PIECES)).largest_collision == 3


def test_levels_are_described_beside_what_spells_them():
    codes = Codes(np.array([[0, 0, 0], [0, 1, 0], [0, 2, 0], [1, 0, 0], [1, 0, 1]]))
    report = naming_report(Identifiers(TOKENS, PIECES), codes)
    first, second, third = report.levels
    assert (first.cells, first.smallest, first.median, first.largest) == (2, 2, 2.5, 3)
    assert (second.cells, third.cells) == (4, 5)
    assert (first.collisions, second.collisions, third.collisions) == (0, 2, 0)  # two cells are spelled "a b"
    assert (second.single_child_share, third.single_child_share) == (0.5, 0.75)
    assert third.entropy == pytest.approx(math.log2(5))
    assert report.level_rows()[1]["cells"] == 4
    assert report.depth_rows()[2]["prefixes"] == 4
    assert "10, 33.3% of the inner ones with one child" in report.census.summary()["tree nodes"]


@pytest.mark.parametrize("with_codes", [True, False])
def test_reports_are_drawn_the_same_every_time(tmp_path, with_codes):
    codes = Codes(np.arange(5)[:, None]) if with_codes else None
    report = naming_report(Identifiers(TOKENS, PIECES), codes)
    paths = draw_identifiers(report, tmp_path)
    assert [path.name for path in paths] == ["identifiers.png", "identifiers.svg"]
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    drawn = paths[1].read_text()
    assert drawn.count('<g id="axes_') == (4 if with_codes else 3)
    if not with_codes:
        assert draw_identifiers(report, tmp_path)[1].read_text() == drawn


def test_one_item_is_a_catalogue_too():
    identifiers = Identifiers(np.array([[0]]), ("a",))
    found = census(identifiers)
    assert (found.nodes, found.mean_shortest_unique, found.depths[0].entropy) == (1, 1, 0)
    assert naming_report(identifiers, Codes(np.zeros((1, 1), dtype=int))).levels[0].collisions == 0


@pytest.mark.data
def test_grams_published_identifiers_have_the_known_census(data_dir):
    catalog = Catalog.read(data_dir / "beauty" / "items.parquet", text=["title"])
    found = census(read_published(data_dir / "beauty" / "lexical_ids.parquet", catalog))
    assert found.items == 12_101
    assert found.lengths == {7: 11_668, 8: 433}
    assert (found.collision_groups, found.largest_collision) == (187, 7)
    assert found.tokens == 9_864
    assert [depth.prefixes for depth in found.depths[:4]] == [108, 6_600, 10_126, 11_257]
    assert found.depths[0].largest == 493
    assert found.max_children == 255
    assert round(found.mean_shortest_unique, 2) == 3.15
    assert found.nodes == 63_789
    assert round(found.single_child_share, 3) == 0.939
    assert found.with_numbers == 4_043


@pytest.mark.data
def test_idgenrecs_published_identifiers_are_read(data_dir):
    catalog = Catalog.read(data_dir / "beauty" / "items.parquet", text=["title"])
    found = read_published(data_dir / "beauty" / "lexical_ids.parquet", catalog, column="idgenrec_textual_id")
    place = catalog.item_ids.index("9759091062")
    assert found.spelled(place) == ["xtreme", "brite", "brightening"]
    assert len(found) == 12_101
