import numpy as np
import pytest

from lexirec.reporting.identifier_figures import draw_quantizer
from lexirec.semantic_ids.quantizers.collisions import CollisionSettings, settle
from lexirec.semantic_ids.quantizers.report import LevelUse, QuantizerReport


def report(counts=(4, 0, 2, 2)):
    collisions = settle(np.array([[0], [0], [1]]), CollisionSettings(rule="level")).collisions
    return QuantizerReport((LevelUse.of(0, np.array(counts), 0.4), LevelUse.of(1, np.ones(8), 0.1)), collisions, 0.25)


def test_the_figures_of_a_level():
    uneven, even = report().levels
    assert uneven.used == 3
    assert uneven.entropy == pytest.approx(1.5)
    assert uneven.perplexity == pytest.approx(2**1.5)
    assert uneven.gini == pytest.approx(np.abs(np.subtract.outer([4, 0, 2, 2], [4, 0, 2, 2])).mean() / (2 * 2))
    assert (even.used, even.entropy, even.gini) == (8, 3.0, 0.0)
    assert report().rows()[0] == {
        "level": 1,
        "codes": 4,
        "used": 3,
        "largest": 4,
        "entropy": uneven.entropy,
        "perplexity": uneven.perplexity,
        "gini": uneven.gini,
        "residual": 0.4,
    }


def test_one_code_with_everything_is_most_unequal():
    use = LevelUse.of(0, np.array([100] + [0] * 99), 1.0)
    assert use.gini == pytest.approx(0.99)
    assert (use.entropy, use.perplexity) == (0, 1)


def test_the_summary_says_what_the_rule_did():
    summary = report().summary()
    assert summary["codes used per level"] == "3 of 4 / 8 of 8"
    assert summary["collisions before"].startswith("2 items in 1 groups")
    assert summary["distinguished by an additional level"] == "2 items"
    assert summary["collisions after"] == "none"
    assert summary["variance lost by the codes"] == "25.0%"


def test_it_can_be_drawn(tmp_path):
    paths = draw_quantizer(report(), tmp_path)
    assert [path.name for path in paths] == ["quantizer.png", "quantizer.svg"]
    assert paths[0].stat().st_size > 20_000
    assert b"<svg" in paths[1].read_bytes()
