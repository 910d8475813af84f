import pytest
from pydantic import ValidationError

from lexirec.models.gram.settings import GramNetworkSettings
from lexirec.models.tsrec.settings import TSRecNetworkSettings
from lexirec.nn.head_base import HeadSettings


@pytest.mark.parametrize("settings", [HeadSettings, TSRecNetworkSettings, GramNetworkSettings])
def test_a_grounded_head_cannot_score_the_vocabulary(settings):
    assert settings(head="grounded").grounded
    assert not settings(likelihood="vocabulary").grounded
    with pytest.raises(ValidationError, match='it needs likelihood "catalog"'):
        settings(head="grounded", likelihood="vocabulary")


@pytest.mark.parametrize(
    ("settings", "own"), [(TSRecNetworkSettings, "embeddings"), (GramNetworkSettings, "user_prompt")]
)
def test_what_speaks_in_grounded_rows_needs_the_head_that_has_them(settings, own):
    with pytest.raises(ValidationError, match="set that head, too"):
        settings(**{own: "grounded"})
    assert settings(head="grounded", **{own: "grounded"}).grounded


def test_both_families_say_the_same_by_default():
    shared = HeadSettings().model_dump()
    for settings in (TSRecNetworkSettings(), GramNetworkSettings()):
        assert shared.items() <= settings.model_dump().items()
