import pytest

from lexirec.workflows.benchmarks.serve import _same, bench_serve
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


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ([("a", -1.0), ("b", -2.0), ("c", -2.000001), ("d", -3.0)], True),
        ([("a", -1.0), ("c", -2.0), ("b", -2.000001), ("d", -3.0)], True),
        ([("a", -1.0), ("b", -2.0), ("c", -2.0), ("e", -3.0)], True),  # another item may have the last one's score
        ([("d", -1.0), ("b", -2.0), ("c", -2.0), ("a", -3.0)], False),
        ([("a", -1.0), ("b", -2.0), ("c", -2.1), ("d", -3.0)], False),
        ([("a", -1.0), ("b", -2.0), ("c", -2.0)], False),
    ],
)
def test_lists_are_equal_but_for_the_order_of_equal_scores(other, same):
    assert _same([("a", -1.0), ("b", -2.0), ("c", -2.000001), ("d", -3.0)], other) is same
