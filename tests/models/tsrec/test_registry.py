import subprocess
import sys

import pytest

from lexirec.core.config import validate_settings
from lexirec.core.errors import SettingsError
from lexirec.core.registry import parameters
from lexirec.models.tsrec.registry import REWARDS, TASKS
from lexirec.models.tsrec.rewards import columns_of
from lexirec.models.tsrec.settings import RewardSettings, TaskSettings

OF_TASKS = {"builder", "train", "titles", "descriptions", "preferences", "words", "title_tokens", "description_tokens"}
OF_REWARDS = {"items_BG", "target_B", "path_IS", "rank_slots", "discount", "meanings", "vectors_ID", "scores_BI"}


def test_tasks_and_rewards_take_what_there_is_and_have_weights():
    for table, there in ((TASKS, OF_TASKS), (REWARDS, OF_REWARDS)):
        for name, function in table.items():
            assert function.__name__ == name
            assert set(parameters(function)) <= there
    assert list(TaskSettings().weights()) == list(TASKS)
    assert set(TASKS) == set(TaskSettings.model_fields) - {"title_tokens", "description_tokens"}
    assert set(REWARDS) == set(RewardSettings.model_fields) - {"rank_slots", "discount"}


def test_a_reward_says_what_it_must_be_given():
    assert columns_of(RewardSettings()) == {"items_BG", "target_B"}
    assert "vectors_ID" in columns_of(RewardSettings(semantic=0.1))
    assert {"path_IS", "meanings"} <= columns_of(RewardSettings(token_semantic=1))
    assert "scores_BI" in columns_of(RewardSettings(collaborative=1))


@pytest.mark.parametrize(("settings", "name"), [(TaskSettings, "next_itme"), (RewardSettings, "exakt")])
def test_a_weight_of_what_is_in_no_table_is_refused(settings, name):
    with pytest.raises(SettingsError, match=rf"has no setting '{name}'. Did you mean"):
        validate_settings({name: 1.0}, settings)


def test_the_tables_alone_load_no_torch():
    code = "import sys, lexirec.models.tsrec.registry; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
