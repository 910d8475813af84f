import json

import pytest

from lexirec.cli.cost_output import duration

TOY = ["--set", "data.products=84", "--set", "data.shoppers=40", "--set", "baselines={}"]


def test_plan_costs_prints_phases_devices_and_what_was_assumed(lexirec, tmp_path):
    plan = ["plan", "lexirec:toy-gram.toml", "--cost", "--device", "a100", "--store", tmp_path, *TOY]
    status, out, _ = lexirec(*plan)
    assert status == 0
    for words in ("scratch:tiny", "training", "evaluation", "A100, 80 GB", "GiB", "letters a token", "not counted"):
        assert words in out
    told = json.loads(lexirec(*plan, "--json")[1])
    assert [device["device"] for device in told["devices"]] == ["a100"]
    assert told["backbone"]["parameters"] > 0


def test_options_of_the_cost_need_it(lexirec, tmp_path):
    status, _, err = lexirec("plan", "lexirec:toy-gram.toml", "--json", "--store", tmp_path, *TOY)
    assert status != 0
    assert "--json belongs to --cost" in err


@pytest.mark.parametrize(("seconds", "words"), [(59, "59 s"), (600, "10 min"), (9000, "2.5 h"), (5 * 86_400, "5 days")])
def test_durations_have_one_unit(seconds, words):
    assert duration(seconds) == words
