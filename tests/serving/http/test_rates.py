from lexirec.serving.http import rates
from lexirec.serving.http.rates import RateLimit


def test_a_bucket_holds_one_periods_worth_and_fills_evenly():
    limit = RateLimit("2/second")
    assert [limit.take("a", 0.0) for _ in range(3)] == [0.0, 0.0, 0.5]
    assert limit.take("a", 0.5) == 0.0
    assert limit.take("a", 0.5) == 0.5
    assert [limit.take("a", 100.0) for _ in range(3)] == [0.0, 0.0, 0.5]


def test_everybody_has_a_bucket_of_their_own():
    limit = RateLimit("1/minute")
    assert limit.take("a", 0.0) == 0.0
    assert limit.take("b", 0.0) == 0.0
    assert limit.take("a", 30.0) == 30.0


def test_a_clock_that_goes_back_gives_nothing_away():
    limit = RateLimit("1/second")
    assert limit.take("a", 10.0) == 0.0
    assert limit.take("a", 5.0) == 1.0


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(rates, "MOST_BUCKETS", 3)
    limit = RateLimit("1/hour")
    for name in "abcd":
        limit.take(name, 0.0)
    assert limit.take("a", 0.0) == 0.0
    assert limit.take("d", 0.0) > 0
