import json

import numpy as np
import pyarrow as pa
import pytest

from lexirec.core.errors import ArtifactError
from lexirec.data.catalog import Catalog
from lexirec.data.neighbors import Neighbors
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases, Split
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.identifiers.identifiers import Identifiers
from lexirec.workflows.studies.meaning import MeaningSettings, categories, load_meaning, measure_meaning, purity


@pytest.fixture
def world(tmp_path):
    """Sixteen items in four categories; codes are the categories, every item is followed by its first neighbour."""
    kind = np.arange(16) // 4
    table = pa.table(
        {
            "item_id": [f"i{n}" for n in range(16)],
            "title": [f"item {n}" for n in range(16)],
            "categories": [["shop", f"kind {k}", f"leaf {k}"] for k in kind],
        }
    )
    for name in ("data", "codes", "identifiers", "neighbors", "out"):
        (tmp_path / name).mkdir()
    catalog = Catalog(table, ("title",))
    catalog.save(tmp_path / "data" / "catalog")
    follows = (np.arange(16) // 4) * 4 + (np.arange(16) + 1) % 4
    cases = Cases(np.arange(16), follows.astype(np.int32), Sequences.from_lists([[n] for n in range(16)]))
    none = Cases(np.zeros(0, np.int64), np.zeros(0, np.int32), Sequences.from_lists([]))
    split = Split(Sequences.from_lists([[0, 1]]), np.zeros(1, np.int64), none, cases, 16, {})
    split.save(tmp_path / "data" / "split")
    codes = Codes(np.stack([kind, np.arange(16) % 4], axis=1).astype(np.int32))
    codes.save(tmp_path / "codes")
    pieces = tuple(f"p{n}" for n in range(8))
    Identifiers((codes.values + np.array([0, 4])).astype(np.int32), pieces).save(tmp_path / "identifiers")
    near = np.stack([follows, (np.arange(16) + 8) % 16, *[np.full(16, -1)] * 3], axis=1).astype(np.int32)
    Neighbors(near, np.ones(near.shape, np.float32)).save(tmp_path / "neighbors")
    return tmp_path


def inputs(world, *names):
    return {name: world / name for name in names}


def test_meaning_is_found_where_it_was_planted(world):
    measure_meaning(MeaningSettings(), inputs(world, "data", "codes", "identifiers", "neighbors"), world / "out")
    found = {(each.of, each.measure, each.place): each for each in load_meaning(world / "out")}
    pure = found["identifiers", "purity, broad category", 1]
    assert pure.value == 1.0
    assert pure.chance < 0.7
    assert found["codes", "purity, narrow category", 1].value == 1.0
    alone = found["identifiers", "purity, broad category", 2]
    assert (alone.value, alone.chance) == (1.0, 1.0), "single items are pure by chance, too"
    assert found["identifiers", "next item in the same cell", 1].value == 1.0
    assert found["identifiers", "next item in the same cell", 1].chance < 0.5
    first = found["neighbors", "next item among them", 1]
    assert (first.value, found["neighbors", "next item among them", 5].value) == (1.0, 1.0)
    assert first.chance < 0.3
    assert found["neighbors", "of the same broad category", 5].value == 0.5, "of two neighbours each, one is alike"


def test_permuted_identifiers_say_nothing(world):
    dealt = Identifiers.load(world / "identifiers")
    order = np.random.default_rng(0).permutation(16)
    Identifiers(dealt.tokens[order], dealt.pieces).save(world / "identifiers")
    measure_meaning(MeaningSettings(), inputs(world, "data", "identifiers"), world / "out")
    found = {(each.measure, each.place): each for each in load_meaning(world / "out")}
    pure = found["purity, broad category", 1]
    assert abs(pure.value - pure.chance) < 0.2
    assert {each.of for each in load_meaning(world / "out")} == {"identifiers"}


def test_purity_counts_the_commonest():
    groups, kinds = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 2])
    assert purity(groups, kinds, np.arange(5)) == pytest.approx(3 / 5)


def test_without_categories_only_the_next_item_is_looked_at(world):
    catalog = Catalog.load(world / "data" / "catalog")
    assert categories(catalog, "nothing") == {}
    measure_meaning(MeaningSettings(field="nothing"), inputs(world, "data", "neighbors"), world / "out")
    assert {each.measure for each in load_meaning(world / "out")} == {"next item among them"}


def test_damage_is_reported(world):
    (world / "out" / "meaning.json").write_text(json.dumps([{"of": "x"}]))
    with pytest.raises(ArtifactError, match="run the study again"):
        load_meaning(world / "out")
