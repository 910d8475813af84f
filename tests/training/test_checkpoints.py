from pathlib import Path

import pytest
import torch

from lexirec.core.errors import ArtifactError
from lexirec.training.checkpoints import check_initial_weights, latest_checkpoint, log_history_of, writing_checkpoint


def test_a_damaged_record_of_the_initial_weights_is_not_taken_for_other_weights(tmp_path, caplog):
    weights = [("a", torch.arange(3.0))]
    check_initial_weights(tmp_path, weights)
    path = tmp_path / "began.json"
    whole = path.read_bytes()
    for place in range(len(whole)):
        for bit in (0, 3, 6):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            check_initial_weights(tmp_path, weights)
    assert "is damaged; training starts anew" in caplog.text
    path.write_bytes(b'{"weights": "' + whole.split(b'"')[3] + b'"}')  # of an earlier version
    check_initial_weights(tmp_path, weights)
    with pytest.raises(ArtifactError, match="started from other weights"):
        check_initial_weights(tmp_path, [("a", torch.arange(4.0))])


def weights(seed: int, dtype: torch.dtype = torch.float32):
    random = torch.Generator().manual_seed(seed)
    return [
        ("table", torch.randn(3, 4, generator=random).to(dtype)),
        ("scale", torch.tensor(2.0)),
        ("no", torch.empty(0)),
    ]


def test_a_folder_knows_what_its_training_rests_on(tmp_path):
    check_initial_weights(tmp_path / "run", weights(0))
    check_initial_weights(tmp_path / "run", weights(0))
    for other in (weights(1), weights(0, torch.bfloat16), weights(0)[:1]):
        with pytest.raises(ArtifactError, match=r"run: this run started from other weights; load those"):
            check_initial_weights(tmp_path / "run", other)


def write_checkpoint(folder: Path, step: int) -> None:
    with writing_checkpoint(folder, step):
        (folder / f"checkpoint-{step}").mkdir()
        for name in ("model.safetensors", "optimizer.pt", "scheduler.pt"):
            (folder / f"checkpoint-{step}" / name).write_text(name)
        (folder / f"checkpoint-{step}" / "trainer_state.json").write_text('{"log_history": [{"loss": 1.0}]}')


def test_without_a_whole_checkpoint_there_is_no_history(tmp_path):
    (tmp_path / "checkpoint-7").mkdir()
    assert latest_checkpoint(tmp_path) is None
    assert log_history_of(None) == []
    write_checkpoint(tmp_path, 7)
    assert log_history_of(latest_checkpoint(tmp_path)) == [{"loss": 1.0}]


def test_checkpoints_that_could_rest_on_any_weights_are_not_used(tmp_path, caplog):
    check_initial_weights(tmp_path, weights(0))
    (tmp_path / "checkpoint-7").mkdir()
    check_initial_weights(tmp_path, weights(0))
    assert (tmp_path / "checkpoint-7").exists()
    (tmp_path / "began.json").write_text('{"weig')
    check_initial_weights(tmp_path, weights(0))
    assert not (tmp_path / "checkpoint-7").exists()
    assert "began.json is damaged; training starts anew" in caplog.text
    with pytest.raises(ArtifactError, match="started from other weights"):
        check_initial_weights(tmp_path, weights(1))


def test_the_newest_whole_checkpoint_counts_by_its_step(tmp_path):
    for step in (9, 10, 100):
        write_checkpoint(tmp_path, step)
    assert latest_checkpoint(tmp_path) == str(tmp_path / "checkpoint-100"), "by number, not by letter"
    (tmp_path / "checkpoint-100" / "trainer_state.json").write_text('{"log_his')
    assert latest_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")
