import pytest

from lexirec.workflows.benchmarks.serve import bench_serve
from tests.serving.live import saved_shop


@pytest.mark.long
def test_the_service_answers_what_one_request_at_a_time_does(tmp_path):
    found = bench_serve(str(saved_shop(tmp_path / "model")), tmp_path / "store", requests=200)
    assert found["failed"] == 0
    assert found["identical"] is True
    assert found["throughput_ratio"] == pytest.approx(
        found["requests_per_second"] / found["one_at_a_time_per_second"], rel=1e-6
    )
    assert 0 < found["half_load_p50_ms"] <= found["half_load_p99_ms"]
    assert found["seconds_to_ready"] > 0
