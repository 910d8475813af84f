import pytest

from lexirec.core.errors import SettingsError
from lexirec.workflows.costs.devices import DEVICES, devices_named, this_machine


def test_this_machine_is_measured():
    here = this_machine(64, tokens=64, seconds=0.01)
    assert here.measured
    assert here.rate > 1e6
    assert here.memory > 0
    assert here.training_share(64) == here.training_share(4096), "what was measured has the width in it already"


def test_wider_models_reach_more_of_a_device():
    shares = [DEVICES["h100"].training_share(width) for width in (512, 1536, 4096)]
    assert shares == sorted(shares)
    assert 0.15 < shares[0] < shares[-1] < 0.45
    assert DEVICES["h100"].search_share < shares[0]


def test_all_devices_by_default_and_no_others():
    assert [device.name for device in devices_named(None, 64)] == ["here", *DEVICES]
    assert [device.name for device in devices_named(["a100"], 64)] == ["a100"]
    with pytest.raises(SettingsError, match=r"--device a1000: allowed are here, rtx4090.*Did you mean"):
        devices_named(["a1000"], 64)
