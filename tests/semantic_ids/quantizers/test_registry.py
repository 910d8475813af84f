import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from lexirec.data.catalog import Catalog
from lexirec.semantic_ids.identifiers.registry import SCHEMES
from lexirec.semantic_ids.quantizers.base import QuantizerInputs, QuantizerSettings
from lexirec.semantic_ids.quantizers.hierarchical_kmeans import HierarchicalKMeans
from lexirec.semantic_ids.quantizers.published_codes import PublishedCodes
from lexirec.semantic_ids.quantizers.registry import QUANTIZERS
from lexirec.semantic_ids.quantizers.residual_kmeans import ResidualKMeans
from lexirec.semantic_ids.quantizers.rqvae import LetterLosses, RqVae

VECTORS = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)


def test_every_quantiser_is_found_by_its_own_kind():
    for kind, settings in QUANTIZERS.items():
        assert issubclass(settings, QuantizerSettings)
        assert settings.model_fields["kind"].default == kind
        assert set(settings.needs) <= {"catalog", "vectors"}
        assert settings.usual_identifiers in SCHEMES


def test_settings_decide_what_is_read(tmp_path):
    assert RqVae().needed() == ("vectors",)
    assert RqVae(letter=LetterLosses(collaborative=0.02)).needed() == ("vectors", "collaborative")
    assert PublishedCodes(path=tmp_path / "x").needed() == ("catalog",)
    assert PublishedCodes(path=tmp_path / "x", collisions={"rule": "sinkhorn"}).needed() == ("catalog", "vectors")
    assert PublishedCodes(path=tmp_path / "x").files() == {"published": tmp_path / "x"}


def test_only_what_is_needed_is_read():
    inputs = QuantizerInputs({"vectors": lambda: VECTORS, "catalog": pytest.fail})
    tree = HierarchicalKMeans(branching=4).quantize(inputs)
    assert tree.codes.kind == "tree"
    assert tree.semantic_levels is None
    found = ResidualKMeans(levels=2, branching=4).quantize(inputs)
    assert found.semantic_levels == 2
    assert found.codebook is not None
    assert any(line.startswith("collisions") for line in found.summary)


def test_published_codes_say_which_levels_mean_something(tmp_path):
    catalog = Catalog(pa.table({"item_id": ["a", "b", "c"], "title": ["x", "y", "z"]}), ("title",))
    (tmp_path / "sids.txt").write_text("a <a_1><b_0>\nb <a_1><b_0>\nc <a_2><b_0>\n")
    settings = PublishedCodes(path=tmp_path / "sids.txt")
    made = settings.quantize(QuantizerInputs({"catalog": lambda: catalog}, settings.files()))
    assert made.codes.levels == 3
    assert made.semantic_levels == 2


def test_no_quantiser_needs_scikit_learn_before_it_fits():
    code = """
import sys
from lexirec.semantic_ids.quantizers.registry import QUANTIZERS
list(QUANTIZERS.values())
assert not {"sklearn", "matplotlib", "torch"} & set(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
