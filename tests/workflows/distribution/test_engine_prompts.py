import numpy as np
import pytest

from lexirec.core.errors import ArtifactError
from lexirec.core.store import Store
from lexirec.data.sequences import Sequences
from lexirec.workflows.distribution.engine import export_engine
from lexirec.workflows.distribution.engine_prompts import EnginePrompts
from tests.worlds import engine_shop


@pytest.mark.parametrize(
    "options", [{}, {"frame": "plain"}, {"frame": "plain", "max_length": 14, "uneven": True}, {"uneven": True}]
)
def test_prompts_of_the_template_are_those_of_the_builder(tmp_path, options):
    recommender = engine_shop.engine_recommender(**options)
    recommender.save(tmp_path / "saved")
    export_engine(Store(tmp_path), str(tmp_path / "saved"), tmp_path / "engine")
    prompts = EnginePrompts.read(tmp_path / "engine")
    random = np.random.default_rng(0)
    histories = [random.integers(0, engine_shop.ITEMS, length).tolist() for length in (0, 1, 2, 3, 4, 5, 9)]
    histories.append([engine_shop.ITEMS - 1] * 4)
    built = recommender.builder.next_item(Sequences.from_lists(histories))
    for row, history in enumerate(histories):
        first, last = int(built.offsets[row]), int(built.offsets[row + 1])
        assert prompts.prompt(history) == built.values[first:last].tolist()


def test_a_lost_template_is_one_line(tmp_path):
    with pytest.raises(ArtifactError, match="the engine's prompts are damaged"):
        EnginePrompts.read(tmp_path)
