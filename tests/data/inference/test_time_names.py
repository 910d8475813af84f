import pytest

from lexirec.data.inference.time_names import LAST, UNSAID, rank_of, sounds_like_number, sounds_like_time, words_of


def test_words_of_names():
    assert words_of("reviewTime") == words_of("Review-Time") == words_of("review_time") == ["review", "time"]
    assert words_of("unixReviewTime") == ["unix", "review", "time"]


def test_names_are_ranked():
    ranked = ["time", "timestamp", "order_date", "when", "x3", "updated_at"]
    shuffled = [ranked[n] for n in (4, 2, 5, 0, 3, 1)]
    assert sorted(shuffled, key=rank_of) == ranked
    assert [rank_of(name)[0] for name in ranked] == [0, 0, 1, 2, UNSAID, LAST]


@pytest.mark.parametrize(
    "name", ["created_at", "Review Time", "unixReviewTime", "date_added", "time_ms", "when", "dt", "Datum"]
)
def test_names_that_sound_like_times(name):
    assert sounds_like_time(name)
    assert rank_of(name)[0] < UNSAID


@pytest.mark.parametrize("name", ["ship_date", "updated_at", "birth_date", "expiryDate", "release date", "signup_ts"])
def test_names_of_other_moments(name):
    assert rank_of(name)[0] == LAST


@pytest.mark.parametrize("name", ["review_id", "reviewid", "order_no", "phone", "price", "zip_code"])
def test_names_that_sound_like_other_numbers(name):
    assert sounds_like_number(name)
    assert not sounds_like_number("when")
