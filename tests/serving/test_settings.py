from __future__ import annotations

import pytest

from lexirec.core.errors import SettingsError
from lexirec.serving.settings import read_settings


def test_variables_come_after_the_file_and_the_command_line_last(tmp_path):
    (tmp_path / "serve.toml").write_text(
        "port = 1\n[limits]\nwaiting = 5\nrows = 7\n[batching]\nmax_batch_requests = 4\n"
    )
    variables = {"LEXIREC_SERVE__LIMITS__WAITING": "6", "LEXIREC_SERVE__PORT": "2", "OTHER": "x"}
    configured = read_settings(tmp_path / "serve.toml", ["port=3"], variables)
    settings, origins = configured
    assert (settings.port, settings.limits.waiting, settings.limits.rows) == (3, 6, 7)
    assert settings.batching.max_batch_requests == 4
    assert origins["port"] == "--set port"
    assert origins["limits.waiting"] == "LEXIREC_SERVE__LIMITS__WAITING"
    assert "limits.rows = 7  # serve.toml" in configured.lines()
    assert any(line.startswith("limits.body_bytes") and line.endswith("# default") for line in configured.lines())
    assert "limits.waiting = 6  # LEXIREC_SERVE__LIMITS__WAITING" in configured.lines()


def test_every_value_is_shown_with_its_origin_and_secrets_are_not(tmp_path):
    url = "postgresql+psycopg://shop:hunter2@db/shop"
    lines = read_settings(None, [f'storage.url="{url}"'], {}).lines()
    assert "port = 8000  # default" in lines
    assert "storage.url = postgresql+psycopg://shop:***@db/shop  # --set storage.url" in lines
    assert "hunter2" not in "\n".join(lines)


@pytest.mark.parametrize(
    ("overrides", "variables", "message"),
    [
        (["limits.wating=3"], {}, "--set limits.wating: there is no setting 'limits.wating'. Did you mean '"),
        (
            [],
            {"LEXIREC_SERVE__LIMITS__WATING": "3"},
            "LEXIREC_SERVE__LIMITS__WATING: there is no setting 'limits.wating'",
        ),
        ([], {"LEXIREC_SERVE__PORT": "many"}, "LEXIREC_SERVE__PORT: 'port' is \"many\""),
        ([], {"LEXIREC_SERVE____PORT": "1"}, "write it as LEXIREC_SERVE__TABLE__SETTING"),
        (["limits.rate=200/day"], {}, "'limits.rate' is \"200/day\""),
        (["impressions.share=1.5"], {}, "'impressions.share' is 1.5; it should be less than or equal to 1"),
    ],
)
def test_a_wrong_setting_says_where_it_stands(overrides, variables, message):
    with pytest.raises(SettingsError) as refused:
        read_settings(None, overrides, variables)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
