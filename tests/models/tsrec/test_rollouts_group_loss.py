import pytest
import torch

from lexirec.models.tsrec.rewards import exact, rank_aware
from lexirec.models.tsrec.rollouts import advantages, divergence, group_loss
from lexirec.models.tsrec.settings import Limits


def test_the_published_advantages():
    """Spec 9.3: a hit on top is worth about +3.74, the others −0.43 to −0.1, and a group's sum to nothing."""
    items = torch.arange(16)[None]
    rewards = exact(items, target_B=torch.tensor([0])) + rank_aware(items, target_B=torch.tensor([0]))
    found = advantages(rewards)[0]
    assert found[0] == pytest.approx(3.74, abs=0.01)
    assert found[1] == pytest.approx(-0.43, abs=0.06)
    assert -0.43 - 0.06 < float(found[1:].min()) <= float(found[1:].max()) < -0.1 + 0.06
    assert float(found.sum()) == pytest.approx(0, abs=1e-5)


def test_a_group_whose_rewards_are_alike_teaches_nothing():
    assert not advantages(torch.tensor([[0.1] * 7, [-0.3] * 7])).any()
    assert not advantages(torch.tensor([[1.0], [0.0]])).any()


def test_divergence_is_k3_and_its_tangent_beyond():
    logp = torch.linspace(-9, 0, 50, dtype=torch.float64, requires_grad=True)
    reference = torch.full_like(logp, -4.0).detach()
    found = divergence(logp, reference, 3.0)
    ratio = reference - logp.detach()
    plain = ratio.exp() - ratio - 1
    assert torch.allclose(found[ratio <= 3], plain[ratio <= 3])
    assert (found >= 0).all()
    (slope,) = torch.autograd.grad(found.sum(), logp)
    assert torch.allclose(slope[ratio <= 3], 1 - ratio[ratio <= 3].exp())
    assert torch.allclose(slope[ratio > 3], 1 - torch.tensor(3.0, dtype=torch.float64).exp())


def example(updates: float = 0.0):
    random = torch.Generator().manual_seed(0)
    old = -torch.rand(2, 3, 4, generator=random, dtype=torch.float64)
    logp = (old + updates * torch.randn(2, 3, 4, generator=random, dtype=torch.float64)).requires_grad_()
    advantage = torch.tensor([[1.0, -0.5, -0.5], [2.0, -1.0, -1.0]], dtype=torch.float64)
    counts = torch.ones(2, 3, 4, dtype=torch.bool)
    counts[0, :, 2:] = False
    return logp, old, advantage, counts


def test_the_first_update_is_the_plain_policy_gradient():
    logp, old, advantage, counts = example()
    found = group_loss(logp, old, None, advantage, counts, Limits(beta=0.0))
    (slope,) = torch.autograd.grad(found.loss, logp)
    expected = -advantage[..., None] * counts / counts.sum(-1, keepdim=True) / 6
    assert torch.allclose(slope, expected)
    assert found.clipped == 0


def test_ratios_that_went_far_enough_are_pushed_no_further():
    logp, old, advantage, counts = example(updates=1.0)
    found = group_loss(logp, old, None, advantage, counts, Limits(clip=0.2, beta=0.0))
    (slope,) = torch.autograd.grad(found.loss, logp)
    ratio = (logp - old).detach().exp()
    far = ((ratio > 1.2) & (advantage[..., None] > 0)) | ((ratio < 0.8) & (advantage[..., None] < 0))
    assert (far & counts).any()
    assert not slope[far].any()
    assert slope[~far & counts].abs().min() > 0
    assert float(found.clipped) == pytest.approx(float((((ratio - 1).abs() > 0.2) & counts).sum() / counts.sum()))


def test_kl_pulls_towards_the_reference():
    logp, old, advantage, counts = example()
    reference = old - 0.3
    with_kl = group_loss(logp, old, reference, 0 * advantage, counts, Limits(beta=0.5))
    (slope,) = torch.autograd.grad(with_kl.loss, logp)
    assert (slope[counts] > 0).all()  # the policy is likelier than the reference everywhere, and goes down
    assert float(with_kl.kl) == pytest.approx(float(torch.tensor(-0.3).exp() + 0.3 - 1), rel=1e-5)
    assert with_kl.loss.item() == pytest.approx(0.5 * with_kl.kl.item(), rel=1e-5)


def test_a_lost_policy_gives_finite_losses():
    logp = torch.full((1, 2, 1), -800.0, requires_grad=True)
    reference, counts = torch.full((1, 2, 1), -1.0), torch.ones(1, 2, 1, dtype=torch.bool)
    advantage = torch.tensor([[1.0, -1.0]])
    found = group_loss(logp, reference, reference, advantage, counts, Limits())
    found.loss.backward()
    assert torch.isfinite(found.loss)
    assert logp.grad.abs().max() < 1
    assert (logp.grad < 0).all()
