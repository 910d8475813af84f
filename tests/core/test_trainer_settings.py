import pytest

from lexirec.core.config import validate_settings
from lexirec.core.errors import SettingsError
from lexirec.core.trainer_settings import TrainerSettings


def test_settings_that_came_later_are_stored_only_where_they_are_set():
    assert "schedule" not in TrainerSettings().model_dump(mode="json")
    linear = TrainerSettings(schedule="linear")
    assert linear.model_dump(mode="json")["schedule"] == "linear"
    assert TrainerSettings.model_validate(linear.model_dump(mode="json")) == linear


def test_schedules_are_named():
    with pytest.raises(SettingsError, match="cosine"):
        validate_settings({"schedule": "step"}, TrainerSettings)
