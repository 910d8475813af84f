from lexirec.core.search_space import Dimension


def test_ranges_know_what_they_hold():
    whole, grid, plain = (
        Dimension(low=1, high=9),
        Dimension(low=0.5, high=2.0, step=0.25),
        Dimension(low=1e-4, high=1.0, log=True),
    )
    assert whole.whole
    assert not plain.whole
    assert [whole.holds(value) for value in (1, 9, 10, 2.0, True)] == [True, True, False, False, False]
    assert [grid.holds(value) for value in (0.75, 0.8, 2.0)] == [True, False, True]
    assert [plain.holds(value) for value in (1, 0.0, "a", None)] == [True, False, False, False]
    assert [Dimension(choices=(1, 2)).holds(value) for value in (1, True, 3)] == [True, False, False]
