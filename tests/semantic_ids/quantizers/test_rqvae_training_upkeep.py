import torch

from lexirec.semantic_ids.quantizers.rqvae import CodeUse
from lexirec.semantic_ids.quantizers.rqvae_network import QuantizedBatch
from lexirec.semantic_ids.quantizers.rqvae_training import CodeUpkeep


def step(codes_LKD, residuals_B, codes_B):
    residuals_BLD, codes_BL = torch.tensor(residuals_B)[:, None, None], torch.tensor(codes_B)[:, None]
    return QuantizedBatch(
        codes_BL, residuals_BLD, codes_LKD[0][codes_BL], torch.zeros(len(codes_B), 1, codes_LKD.shape[1])
    )


def line(*places):
    return torch.tensor(places)[None, :, None]


def test_codes_follow_the_mean_of_their_items():
    codes = line(0.0, 10.0, 50.0)
    upkeep = CodeUpkeep(codes, CodeUse(ema=0.5))
    for _ in range(40):
        upkeep.after_step(codes, step(codes, [1.0, 2.0, 3.0, 12.0], [0, 0, 0, 1]))
    assert torch.allclose(codes[0, :2, 0], torch.tensor([2.0, 12.0]))
    assert torch.isclose(codes[0, 2, 0], torch.tensor(50.0))  # nobody's code stays where it is


def test_without_settings_nothing_moves():
    codes = line(0.0, 10.0)
    CodeUpkeep(codes, CodeUse()).after_step(codes, step(codes, [1.0, 2.0], [0, 0]))
    assert codes.flatten().tolist() == [0, 10]


def test_a_code_idle_for_long_moves_onto_an_item():
    codes = line(1.0, 99.0)
    upkeep = CodeUpkeep(codes, CodeUse(revive_after=3, revive_below=0.49))
    seen = []
    for _ in range(8):
        upkeep.after_step(codes, step(codes, [5.0, 7.0], [0, 0]))
        seen.append(codes[0, 1, 0].item())
    # Its share falls below 0.49 at the third step, and three such steps make it move.
    assert seen[:4] == [99] * 4
    assert seen[4] in (5, 7)
    assert codes[0, 0, 0] == 1
