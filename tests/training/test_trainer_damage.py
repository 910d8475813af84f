"""A run whose checkpoints a crash, a full disk or a hand has damaged ends as if it had not been."""

import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from lexirec.core.errors import ArtifactError
from lexirec.core.trainer_settings import TrainerSettings
from lexirec.training import checkpoints
from lexirec.training.trainer import BEST, ChoosingTrainer, Epochs, TrainingRun, run_training

STEPS = 6
"""Of an epoch."""


class Line(nn.Module):
    """A line through points, learned with dropout, so that the numbers drawn matter."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.Linear(8, 1))

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": (self.layers(x)[:, 0] - y).square().mean()}


class Fit:
    """Prefers the weights that fit best, which are not the last ones."""

    metric, sign = "fit", 1

    def figures(self, model: nn.Module) -> dict[str, float]:
        model.eval()
        with torch.no_grad():
            value = float(model.layers(torch.ones(1, 4))[0, 0])
        model.train()
        return {"fit": -abs(value - 0.35)}


class PowerCutError(Exception):
    """What stands for a kill."""


def batch(number: int) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(number)
    x = torch.randn(8, 4, generator=random)
    return {"x": x, "y": x.sum(1)}


def train(folder: Path, *, stop: int | None = None, judged: bool = True, **changes: object) -> tuple[list, dict]:
    """Train for three epochs, or until a power cut before step `stop`; return the curve and the weights."""
    usual = {"epochs": 3, "learning_rate": 0.02, "checkpoints_per_epoch": 3, "evals_per_epoch": 1, "ema_decay": 0.5}
    settings, model = TrainerSettings(**{**usual, **changes}), Line()
    data = Epochs(lambda epoch: [STEPS * epoch + part for part in range(STEPS)], batch, 3)
    run = TrainingRun(settings, folder, Fit() if judged else None, lambda _: False, columns=("fit",))
    trainer = ChoosingTrainer(model, data, run)
    if stop is not None:
        step = trainer.training_step

        def until(*args: object, **kwargs: object) -> torch.Tensor:
            if trainer.state.global_step == stop:
                raise PowerCutError
            return step(*args, **kwargs)

        trainer.training_step = until
        with pytest.raises(PowerCutError):
            run_training(trainer)
        return [], {}
    return run_training(trainer), model.state_dict()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return train(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    """A run that was cut off behind the checkpoint of step 14, its folder never changed."""
    folder = tmp_path_factory.mktemp("cut")
    train(folder, stop=15)
    assert sorted(path.name for path in folder.glob("checkpoint-*")) == ["checkpoint-12", "checkpoint-14"]
    return folder


@pytest.fixture
def folder(cut, tmp_path) -> Path:
    return Path(shutil.copytree(cut, tmp_path / "run"))


def same(one: tuple[list, dict], other: tuple[list, dict]) -> bool:
    return one[0] == other[0] and all(torch.equal(value, other[1][name]) for name, value in one[1].items())


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def remove(path: Path) -> None:
    path.unlink()


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0" * 100)


FILES = ("model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "average.safetensors", "files.json")


def resumed_from(caplog) -> list[str]:
    return [line for line in caplog.messages if "older checkpoint" in line or "starts anew" in line]


def test_a_whole_checkpoint_is_used(folder, whole, caplog):
    assert same(train(folder), whole)
    assert resumed_from(caplog) == []


@pytest.mark.parametrize("damage", [halve, flip, empty, remove, lengthen])
@pytest.mark.parametrize("name", [*FILES, "trainer_state.json"])
def test_a_damaged_file_in_the_newest_checkpoint_falls_back_to_the_one_before(folder, whole, caplog, name, damage):
    if (name, damage) == ("files.json", remove):
        pytest.skip("the list is written last: without it the other files are looked at")
    if (name, damage) == ("files.json", flip):
        (folder / "checkpoint-14" / name).write_text('{"model.safetensors": [1, "0"]}')
    else:
        damage(folder / "checkpoint-14" / name)
    assert same(train(folder), whole)
    (line,) = resumed_from(caplog)
    assert line.startswith(("checkpoint-14 is damaged (", "checkpoint-14 lacks ", "checkpoint-14 is incomplete"))
    assert name in line or name in ("trainer_state.json", "files.json")


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "average.safetensors", "training.pt"])
def test_without_its_list_a_checkpoint_is_looked_at(folder, whole, caplog, name):
    (folder / "checkpoint-14" / "files.json").unlink()
    if name == "training.pt":  # nothing is damaged
        assert same(train(folder), whole)
        assert resumed_from(caplog) == []
        return
    halve(folder / "checkpoint-14" / name)
    assert same(train(folder), whole)
    assert resumed_from(caplog) == [f"checkpoint-14 is damaged ({name}); resuming from an older checkpoint, or anew"]


@pytest.mark.parametrize("damage", [halve, flip, empty, remove])
def test_where_all_checkpoints_are_damaged_training_starts_anew(folder, whole, caplog, damage):
    for checkpoint in folder.glob("checkpoint-*"):
        damage(checkpoint / "optimizer.pt")
    assert same(train(folder), whole)
    assert len(resumed_from(caplog)) == 2


@pytest.mark.parametrize("damage", [halve, flip, empty, remove])
def test_without_the_best_weights_training_starts_anew(folder, whole, caplog, damage):
    damage(folder / BEST)
    assert same(train(folder), whole)
    (line,) = resumed_from(caplog)
    assert line.endswith(f"{BEST} is missing or damaged; training starts anew")


def test_a_new_start_is_not_mixed_with_checkpoints_of_later_steps(folder, whole):
    (folder / BEST).unlink()
    train(folder, stop=3)
    assert sorted(path.name for path in folder.glob("checkpoint-*")) == ["checkpoint-2"]
    assert same(train(folder), whole)


def test_strange_names_are_no_checkpoints(folder, whole):
    (folder / "checkpoint-old").mkdir()
    (folder / "checkpoint-").mkdir()
    assert same(train(folder), whole)


def test_a_run_without_a_judge_falls_back_too(tmp_path, caplog):
    whole = train(tmp_path / "whole", judged=False)
    train(tmp_path / "cut", judged=False, stop=15)
    flip(tmp_path / "cut" / "checkpoint-14" / "model.safetensors")
    assert same(train(tmp_path / "cut", judged=False), whole)
    assert len(resumed_from(caplog)) == 1


@pytest.mark.parametrize("place", ["save", "_save_optimizer_and_scheduler", "_save_rng_state", "list", "best"])
def test_a_full_disk_is_one_line_and_the_checkpoint_before_it_is_whole(tmp_path, whole, monkeypatch, caplog, place):
    errors = {
        "save": OSError(28, "No space left on device"),
        "_save_optimizer_and_scheduler": RuntimeError(
            "PytorchStreamWriter failed writing file data/0: file write failed"
        ),
        "_save_rng_state": OSError(122, "Disk quota exceeded"),
        "list": OSError(28, "No space left on device"),
        "best": Exception("I/O error: No space left on device (os error 28)"),
    }

    def full(*_: object, **__: object) -> None:
        raise errors[place]

    train(tmp_path, stop=9)
    with monkeypatch.context() as patched:
        if place == "list":
            patched.setattr(checkpoints, "write_json", full)
        elif place in ("best", "save"):
            patched.setattr(checkpoints, "save_file", full)
        else:
            patched.setattr(ChoosingTrainer, place, full)
        with pytest.raises(ArtifactError) as caught:
            train(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'checkpoint-10'}: the disk is full; free space and run the same command again; "
        "it resumes from checkpoint-8"
    ).replace(
        str(tmp_path / "checkpoint-10"),
        str(tmp_path / "checkpoint-10" / ("model.safetensors" if place in ("best", "save") else "")).rstrip("/"),
    )
    assert not (tmp_path / "checkpoint-10").exists()
    assert same(train(tmp_path), whole)
    assert resumed_from(caplog) == []


LIMITS = (100, 700, 1200, 2000, 3000, 4500)
LIMITED = f"""
import resource, sys
from pathlib import Path
from lexirec.core.errors import LexirecError
from tests.training.test_trainer_damage import train
for limit in {LIMITS}:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        train(Path(sys.argv[1]) / str(limit))
    except LexirecError as error:
        line = str(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(line)
"""


@pytest.mark.long
def test_files_that_may_not_grow_are_one_line(tmp_path, whole):
    """The system itself refuses to write, in a file of every kind."""
    command = [sys.executable, "-c", LIMITED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    lines = done.stdout.splitlines()
    assert len(lines) == len(LIMITS), done.stderr
    assert all("the disk is full; free space and run the same command again" in line for line in lines)
    assert len({line.split(":")[0].rpartition("/")[2] for line in lines}) >= 2, "in different files"
    assert all(same(train(tmp_path / str(limit)), whole) for limit in LIMITS)


def test_the_list_of_a_checkpoint_names_sizes_and_digests(cut):
    listed = json.loads((cut / "checkpoint-14" / "files.json").read_text())
    assert set(listed) == {*FILES, "trainer_state.json"} - {"files.json"}
    size, digest = listed["optimizer.pt"]
    assert size == (cut / "checkpoint-14" / "optimizer.pt").stat().st_size
    assert len(digest) == 64


@pytest.fixture(autouse=True)
def _logs(caplog):
    caplog.set_level(logging.WARNING)
