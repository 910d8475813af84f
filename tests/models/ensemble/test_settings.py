import pytest

from lexirec.core.config import validate_settings
from lexirec.core.errors import SettingsError
from lexirec.models.baselines.memory import MemorySettings
from lexirec.models.ensemble.settings import SPACE, EnsembleSettings, PartnerSettings


def fusion(**partner) -> EnsembleSettings:
    return validate_settings({"of": ["model", "memory"], "partner": partner}, EnsembleSettings)


def test_all_of_a_memory_is_searched_and_its_own_settings_are_among_what_is_tried():
    assert set(SPACE) == set(MemorySettings.model_fields) - {"kind"}
    own = MemorySettings()
    assert all(each.holds(getattr(own, name)) for name, each in SPACE.items())
    assert PartnerSettings().space == SPACE


def test_a_space_of_ones_own_stands_instead():
    assert list(fusion(space={"before": {"low": 0.1, "high": 1.0}}).partner.space) == ["before"]


@pytest.mark.parametrize(
    ("partner", "message"),
    [
        ({"part": "sasrec"}, "'partner.part' is 'sasrec'; it should be one of model, memory"),
        (
            {"space": {"widnow": {"low": 1, "high": 4}}},
            "names 'widnow', which is no setting of a memory; allowed: window, ",
        ),
        ({"space": {"kind": {"choices": ["memory", "ease"]}}}, "'space' names 'kind'"),
        ({"space": {"gap_decay": {"low": 0.5, "high": 4.0}}}, "less than or equal to 1"),
        ({"space": {}}, "at least 1"),
        ({"trials": 0}, "greater than or equal to 1"),
        ({"trails": 3}, "Did you mean 'partner.trials'"),
    ],
)
def test_what_cannot_be_searched_is_refused(partner, message):
    with pytest.raises(SettingsError, match=message):
        fusion(**partner)


def test_only_a_product_has_partners():
    with pytest.raises(SettingsError, match="needs kind \"product\", but kind is 'reciprocal-rank'"):
        validate_settings({"of": ["model", "memory"], "kind": "reciprocal-rank", "partner": {}}, EnsembleSettings)
