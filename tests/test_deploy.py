"""What ships for operators names only what exists: metrics, options, settings; units and images are well formed."""

from __future__ import annotations

import configparser
import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from lexirec.serving.http.metrics import Metrics
from lexirec.serving.settings import StoppingSettings

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
ROOT = DEPLOY.parent


def known() -> set[str]:
    return set(re.findall(r"^# TYPE (\w+)", Metrics().text().decode(), re.MULTILINE))


def expressions() -> list[str]:
    rules = yaml.safe_load((DEPLOY / "alerts.yml").read_text("utf-8"))
    panels = json.loads((DEPLOY / "grafana.json").read_text("utf-8"))["panels"]
    alerts = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    return alerts + [target["expr"] for panel in panels for target in panel["targets"]]


def test_every_metric_of_dashboard_and_alerts_exists():
    metrics = known()
    assert len(expressions()) >= 20
    for expression in expressions():
        for name in re.findall(r"\b(?:lexirec|process)_\w+", expression):
            assert re.sub("_(bucket|sum|count)$", "", name) in metrics, f"{name} in {expression}"


def test_labels_of_expressions_are_those_of_the_metrics():
    labels = {
        metric._name: set(metric._labelnames) for metric in vars(Metrics()).values() if hasattr(metric, "_labelnames")
    }
    for expression in expressions():
        for name, given in re.findall(r"(lexirec_\w+?)(?:_bucket|_sum|_count|_total)?\{([^}]*)\}", expression):
            assert set(re.findall(r"(\w+)=~?\"", given)) <= labels[name], expression


def test_groups_of_expressions_are_labels_of_the_metrics():
    labels = {
        metric._name: set(metric._labelnames) for metric in vars(Metrics()).values() if hasattr(metric, "_labelnames")
    }
    for expression in expressions():
        for by, inner in re.findall(r"sum by \(([^)]*)\) \(((?:rate|increase)\([^)]*\)|lexirec_\w+)\)", expression):
            (name,) = re.findall(r"lexirec_\w+?(?=_bucket|_sum|_count|_total|\b)", inner)
            assert set(re.findall(r"\w+", by)) - {"le"} <= labels[name], expression


def test_every_metric_stands_on_the_dashboard():
    shown = " ".join(expressions())
    names = {name for name in known() if name.startswith("lexirec_")} - {"lexirec_model_info"}
    assert [name for name in sorted(names) if name not in shown] == []


def test_panels_have_ids_and_places_of_their_own():
    panels = json.loads((DEPLOY / "grafana.json").read_text("utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)


def test_the_unit_gives_the_service_the_time_that_it_needs_to_stop():
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment]
    unit.read_string((DEPLOY / "lexirec.service").read_text("utf-8"))
    service, stopping = unit["Service"], StoppingSettings()
    assert float(service["TimeoutStopSec"]) > stopping.drain_delay + stopping.finish_seconds
    program, command, *_ = shlex.split(service["ExecStart"])
    assert (Path(program).name, command) == ("lexirec", "serve")


def test_the_image_copies_what_exists():
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    for line in re.findall(r"^COPY (.*)$", text, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
    assert re.search(r"^USER shop$", text, re.MULTILINE), "the service should not run as root"


@pytest.mark.parametrize("name", ["lexirec.service", "Dockerfile", "alerts.yml", "grafana.json"])
def test_the_page_for_operators_names_it(name):
    assert f"deploy/{name}" in (ROOT / "docs" / "service.md").read_text("utf-8")
