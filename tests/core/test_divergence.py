import math

import numpy as np
import pytest

from lexirec.core.divergence import GRADIENT, LOSS, Watch
from lexirec.core.errors import TrainingError


def watch() -> Watch:
    return Watch("SASRec", "lower training.learning_rate (0.1)", steps=2000, per_epoch=1000)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan")])
def test_the_first_number_that_is_not_finite_is_named_with_its_step(value):
    kept = watch()
    for step in range(1200):
        kept.note(step, LOSS, 1.0, at_once=False)
    kept.note(1200, GRADIENT, value, at_once=False)
    kept.note(1201, LOSS, math.nan, at_once=False)
    with pytest.raises(TrainingError) as caught:
        kept.check()
    assert str(caught.value) == (
        f"SASRec: the gradient norm is {value:g} at step 1,201 of 2,000 (epoch 2); the training has diverged, so it is "
        "not kept: lower training.learning_rate (0.1)"
    )


def test_what_is_looked_at_at_once_raises_at_once_and_finite_numbers_never_do():
    kept = watch()
    kept.note(0, LOSS, 3e38, at_once=True)
    for step in range(3):
        kept.note(step, LOSS, np.float32(3e38), at_once=False)
    with np.errstate(over="ignore"):
        kept.check()  # the sum is infinite in float32, the numbers are not
    kept.check()
    with pytest.raises(TrainingError, match="the loss is inf at step 4"):
        kept.note(3, LOSS, math.inf, at_once=True)
