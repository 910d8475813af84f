"""What holds of copies that teach a model, whatever its family."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases
from lexirec.models.distillation_teacher import DistillationSettings


def check_copies(
    built: Callable[[], Any],
    brief: Any,
    given: tuple[Sequences, Cases],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every fold has a copy of the untrained model, trained once; they teach something else than the memory alone.

    Args:
        built: makes an untrained recommender, the same each time.
        brief: how it is trained, in a moment.
        given: training rows and validation cases.
        folder: an empty one.
        monkeypatch: of the test.
    """
    distillation = DistillationSettings(teacher="product", share=0.5, folds=2, rehearsal=1)
    training = brief.model_copy(update={"epochs": 1, "distillation": distillation})
    (train, validation), (made, again, alone) = given, (built() for _ in range(3))
    before = {name: value.clone() for name, value in made.model.state_dict().items()}
    trained: list[int] = []
    clone = type(made).clone

    def noted(self: Any) -> Any:
        assert all(torch.equal(value, before[name]) for name, value in self.model.state_dict().items())
        trained.append(len(trained))
        return clone(self)

    monkeypatch.setattr(type(made), "clone", noted)
    made.fit(train, validation=validation, folder=folder, training=training)
    assert trained == [0, 1], "a copy for every fold, each of the untrained model"
    weights = [(folder / "copies" / str(fold) / "best.safetensors").read_bytes() for fold in trained]
    assert weights[0] != weights[1]
    times = [path.stat().st_mtime_ns for path in sorted(folder.rglob("*.safetensors"))]
    again.fit(train, validation=validation, folder=folder, training=training)
    assert times == [path.stat().st_mtime_ns for path in sorted(folder.rglob("*.safetensors"))]
    assert again.curve == made.curve
    by_memory = training.model_copy(update={"distillation": distillation.for_copies()})
    alone.fit(train, validation=validation, training=by_memory)
    assert alone.curve != made.curve, "the memory alone teaches something else"
