"""Shoppers walk a live service over HTTP: online evaluation finds what is true of it."""

from __future__ import annotations

import pytest

from lexirec.client import Client
from lexirec.core.errors import SettingsError
from lexirec.core.store import Store
from lexirec.pipeline.experiment import load_experiment
from lexirec.pipeline.run import run_experiment
from lexirec.workflows.simulation import Walk, shoppers_of, simulate
from tests.serving.live import EXPERIMENT, LiveService, run_shop, wait_ready

WALK = Walk(visits=1_500, days=14, daily=0.9)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_worse_of_two_variants_is_found_and_intervals_hold_what_is_true(tmp_path):
    (tmp_path / "pop.toml").write_text(EXPERIMENT.replace('"shop"', '"pop"').replace("memory", "popularity"))
    run_experiment(load_experiment(tmp_path / "pop.toml", ["data.shoppers=400"]), Store(tmp_path / "store"))
    (tmp_path / "big.toml").write_text(EXPERIMENT)
    run_experiment(load_experiment(tmp_path / "big.toml", ["data.shoppers=400"]), Store(tmp_path / "store"))
    options = ["storage.clock=simulated", f'storage.url="sqlite:///{tmp_path}/sim.db"', "traffic.candidate=pop"]
    given = [part for each in [*options, "traffic.share=0.5"] for part in ("--set", each)]
    with LiveService("shop", tmp_path, *given) as service:
        wait_ready(service.url)
        done = simulate(shoppers_of(Store(tmp_path / "store"), "shop"), service.url, WALK)
        with Client(service.url, timeout=60) as client:
            found = client.evaluation(days=30)
    assert {each["variant"] for each in done["weeks"]} == {"active", "candidate"}
    for variant in found.variants:
        truth = done["truth"][variant.variant]
        assert (variant.impressions, variant.ctr.value) == (truth["visits"], pytest.approx(truth["clicked"], abs=1e-6))
        assert variant.ctr.low - 0.02 < truth["ctr"] < variant.ctr.high + 0.02
        assert len(variant.days) > 1, "days pass"
    verdicts = {each.metric: each.verdict for each in found.differences}
    assert verdicts["ctr"] == verdicts["mrr"] == "below"


@pytest.mark.long
def test_a_service_whose_days_do_not_pass_is_refused(tmp_path):
    run_shop(tmp_path)
    with LiveService("shop", tmp_path) as service:
        wait_ready(service.url)
        with pytest.raises(SettingsError, match=r"storage\.clock=simulated"):
            simulate(shoppers_of(Store(tmp_path / "store"), "shop"), service.url, WALK)
