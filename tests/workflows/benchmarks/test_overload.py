import json

import pytest

from lexirec.core.errors import ArtifactError
from lexirec.workflows.benchmarks.overload import REFUSALS, measure_overload
from tests.serving.live import LiveService, saved_shop, wait_ready
from tests.serving.shop import CATALOG


@pytest.mark.long
def test_a_light_load_is_answered_whole(tmp_path):
    with LiveService(saved_shop(tmp_path / "model"), tmp_path) as service:
        wait_ready(service.url)
        found = measure_overload(service.url, CATALOG.item_ids, 1.0, factor=0.2)
    json.dumps(found)
    assert found["refused"] == found["failed"] == found["by_simpler_models"] == 0
    assert found["accepted"] == round(0.2 * found["capacity_per_second"])
    assert 0 < found["accepted_p50_ms"] <= found["accepted_p99_ms"]
    assert found["recovery_seconds"] is not None
    assert set(REFUSALS) == {429, 503}


def test_a_service_that_is_not_there_is_told():
    with pytest.raises(ArtifactError, match=r"http://127\.0\.0\.1:9 answers none of 400 requests"):
        measure_overload("http://127.0.0.1:9", CATALOG.item_ids, 1.0)
