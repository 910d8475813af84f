import subprocess
import sys

import pytest

from lexirec.models.baselines.base import Baseline
from lexirec.models.baselines.memory import MemoryBaseline
from lexirec.models.baselines.registry import BASELINES, baseline_settings


def test_every_baseline_is_found_by_its_own_kind():
    for (kind, scorer), settings in zip(BASELINES.items(), baseline_settings(), strict=True):
        assert issubclass(scorer, Baseline)
        assert scorer.settings_class.model_fields["kind"].default == kind
        assert issubclass(settings, scorer.settings_class)
        assert set(settings.needs) <= {"vectors", "neighbors", "times"}
    assert MemoryBaseline in baseline_settings()


@pytest.mark.long
@pytest.mark.parametrize("kind", list(BASELINES))
def test_a_look_up_imports_its_own_module_and_nothing_heavy(kind):
    code = f"""
import sys
from lexirec.models.baselines.registry import BASELINES
package = "lexirec.models.baselines."
before = {{name for name in sys.modules if name.startswith(package)}}
assert before == {{package + "registry", package + "base"}}, before
scorer = BASELINES["{kind}"]
found = {{name.removeprefix(package) for name in sys.modules if name.startswith(package)}} - {{"registry", "base"}}
shared = {{"sequential", "full_softmax"}} if "{kind}" in ("sasrec", "gru4rec", "hstu") else set()
shared |= {{"memory", "touched_items"}} if "{kind}" in ("transitions", "memory") else set()
shared |= {{"text_neighbors"}} if "{kind}" in ("transitions", "memory", "graph-heuristic") else set()
assert found == {{scorer.__module__.removeprefix(package)}} | shared, found
assert not {{"sklearn", "matplotlib"}} & set(sys.modules)
assert "torch" not in sys.modules or "sequential" in shared
"""
    subprocess.run([sys.executable, "-c", code], check=True)
