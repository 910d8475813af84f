import numpy as np
import pytest
import torch

from lexirec.core.errors import TrainingError
from lexirec.semantic_ids.quantizers import rqvae_training
from lexirec.semantic_ids.quantizers.rqvae import CodeUse, RqVae, RqVaeTraining
from lexirec.semantic_ids.quantizers.rqvae_training import train

VECTORS = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)


def run(use=None, **more):
    training = RqVaeTraining(epochs=5, batch_size=20, evaluate_every=2, **more)
    settings = RqVae(levels=1, branching=8, width=3, training=training, use=use or CodeUse())
    network = settings._network(VECTORS, 0)
    start = network.codes_LKD.detach().clone()
    return train(network, settings, VECTORS), network, start


def test_the_history_has_a_line_for_every_look_and_the_last_epoch():
    history, network, _ = run()
    assert [past["epoch"] for past in history] == [2, 4, 5]
    least = min(past["collisions"] for past in history[1:])  # the first look is at codes that have hardly learned
    codes = network.codebook().assign(VECTORS)
    assert (50 - len(np.unique(codes))) / 50 == least
    assert not network.training


def test_the_learning_rate_rises_from_nothing():
    _, slow, start = run(warm_up=10_000)
    _, fast, _ = run(warm_up=0)
    moved = [(network.codes_LKD - start).abs().max().item() for network in (slow, fast)]
    assert moved[0] < 0.01 * moved[1]


def test_codes_move_by_the_mean_of_their_items_where_they_have_no_gradient():
    _, network, start = run(CodeUse(ema=0.5), select="last")
    assert not network.codes_LKD.requires_grad
    assert (network.codes_LKD - start).abs().max() > 0.01


def test_a_training_that_diverges_ends_in_one_line_and_keeps_nothing(tmp_path):
    settings = RqVae(levels=1, branching=8, width=3, training=RqVaeTraining(learning_rate=1e30, warm_up=0, epochs=9))
    with pytest.raises(TrainingError, match=r"^RQ-VAE: the .* lower training\.learning_rate \(1e\+30\) or raise"):
        settings.fit(VECTORS, folder=tmp_path)
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("spoilt", "named"), [("loss", "the loss is nan at step 5 of 15 .epoch 2."), ("codes", "codes_LKD")]
)
def test_one_bad_step_is_enough(spoilt, named, monkeypatch):
    losses, seen = rqvae_training.total_loss, []

    def once(network, *arguments):
        seen.append(network)
        loss, quantized = losses(network, *arguments)
        return loss * (torch.nan if spoilt == "loss" and len(seen) == 5 else 1.0), quantized

    monkeypatch.setattr(rqvae_training, "total_loss", once)
    if spoilt == "codes":  # an update by hand leaves no trace in loss or gradient
        after = rqvae_training.CodeUpkeep.after_step
        monkeypatch.setattr(
            rqvae_training.CodeUpkeep,
            "after_step",
            lambda *given: (after(*given), given[1].data.fill_(torch.nan) if len(seen) == 15 else None),
        )
    with pytest.raises(TrainingError, match=named):
        run()
