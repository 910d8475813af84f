import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from lexirec.core.errors import ArtifactError, DataError, SettingsError
from lexirec.core.runs import evaluations, find_run
from lexirec.core.store import Store
from lexirec.models.exported import EXPORT, write_export
from lexirec.workflows.distribution.export import export_hub
from lexirec.workflows.distribution.verify import metric_name, verify_figures
from tests.worlds.exported_shop import MEMBERS, exported, shop


def copied(folder, target):
    shutil.copytree(folder, target)
    return target


@pytest.mark.parametrize("member", MEMBERS)
def test_a_run_and_its_export_have_the_figures_that_were_stored(member):
    folder = exported(*member)
    for name, part in ((member[0], member[1]), (str(folder), None)):
        found = verify_figures(shop(), name, folder / "figures.json", tolerance=0, wanted=part)
        assert len(found.rows) == 12
        assert {row.seen for row in found.rows} == {"excluded", "included"}
        assert not found.beyond
        assert not found.left_out
        found.check(0)


def test_a_planted_difference_in_the_file_is_found(tmp_path):
    folder = exported("old-gram", "model")
    values = json.loads((folder / "figures.json").read_text())
    values["reports"]["included"]["metrics"]["mrr@5"] *= 1.02
    (tmp_path / "planted.json").write_text(json.dumps(values))
    found = verify_figures(shop(), str(folder), tmp_path / "planted.json", tolerance=0.01)
    assert [(row.metric, row.seen) for row in found.beyond] == [("mrr@5", "included")]
    with pytest.raises(DataError, match=r"1 of 12 metrics differ by more than 0\.01 .*; mrr@5 \(seen items included\)"):
        found.check(0.01)
    verify_figures(shop(), str(folder), tmp_path / "planted.json", tolerance=0.03).check(0.03)


def test_a_planted_difference_in_the_weights_is_found(tmp_path):
    folder = copied(exported("old-gram", "model"), tmp_path / "changed")
    weights = load_file(folder / "network.safetensors")
    name = max(weights, key=lambda each: weights[each].numel())
    weights[name] = torch.randn(weights[name].shape, generator=torch.Generator().manual_seed(0))
    save_file(weights, folder / "network.safetensors")
    with pytest.raises(ArtifactError, match=r"network\.safetensors is damaged"):
        verify_figures(shop(), str(folder), folder / "figures.json")
    write_export(folder, "hub", "old-gram", "model")
    found = verify_figures(shop(), str(folder), folder / "figures.json")
    assert found.beyond
    with pytest.raises(DataError, match="metrics differ"):
        found.check(0.01)


def test_files_of_other_forms_are_read(tmp_path):
    stored = json.loads((evaluations(find_run(shop(), "old-gram"))["model"] / "included" / "metrics.json").read_text())
    metrics = stored["metrics"]
    aliases = {"R@5": metrics["recall@5"], "HR@10": metrics["recall@10"], "N@10": metrics["ndcg@10"]}
    forms = {
        "metrics": (stored, 6),
        "treatments": ({"included": metrics, "excluded": {}}, 6),
        "aliases": ({"included": aliases}, 3),
    }
    for name, (values, rows) in forms.items():
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps(values))
        found = verify_figures(shop(), "old-gram", file, tolerance=0, wanted="model")
        assert len(found.rows) == rows
        assert not found.beyond
        assert {row.seen for row in found.rows} == {"included"}


def test_a_plain_file_is_of_the_headline_and_what_cannot_be_compared_is_named(tmp_path):
    headline = json.loads((exported("old-gram", "model") / "figures.json").read_text())["reports"]["excluded"]
    values = {"ndcg@10": headline["metrics"]["ndcg@10"], "recall@50": 0.3, "note": "ours", "mrr@5": float("nan")}
    (tmp_path / "plain.json").write_text(json.dumps(values))
    found = verify_figures(shop(), "old-gram", tmp_path / "plain.json", wanted="model")
    assert [(row.metric, row.seen, row.difference) for row in found.rows] == [("ndcg@10", "excluded", 0.0)]
    assert found.left_out.keys() == {"recall@50", "note", "mrr@5"}
    assert found.left_out["recall@50"].startswith("not measured here; there are recall@5, ")
    assert found.left_out["note"] == "its value is no number"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        ("{", "it is no JSON"),
        ("[]", 'give an figures.json, a metrics.json, or plain {"ndcg@10": 0.05}'),
        ("{}", "give an figures.json"),
        ('{"recall@50": 1}', "none of its metrics can be compared"),
        ('{"reports": {"excluded": 3}}', "it is not what lexirec writes"),
        ('{"metrics": {"recall@5": "x"}, "protocol": {}}', "it is not what lexirec writes"),
    ],
)
def test_bad_files_are_one_line(tmp_path, content, said):
    if content is not None:
        (tmp_path / "bad.json").write_text(content)
    with pytest.raises(DataError, match=said) as error:
        verify_figures(shop(), "old-gram", tmp_path / "bad.json", wanted="memory")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("tolerance", [-0.1, float("nan"), float("inf")])
def test_bad_tolerances_are_one_line(tolerance):
    with pytest.raises(SettingsError, match="--tolerance"):
        verify_figures(shop(), "old-gram", exported("old-gram", "model") / "figures.json", tolerance=tolerance)


def test_figures_of_another_protocol_are_not_compared(tmp_path):
    values = json.loads((exported("old-gram", "model") / "figures.json").read_text())
    values["reports"]["excluded"]["protocol"]["max_history"] = 3
    values["reports"]["excluded"]["protocol"]["cases_digest"] = "0" * 64
    (tmp_path / "other.json").write_text(json.dumps(values))
    with pytest.raises(ArtifactError, match=r"different protocols \(max_history 3 and 20"):
        verify_figures(shop(), "old-gram", tmp_path / "other.json", wanted="model")


def test_an_export_with_fewer_columns_is_verified_against_the_run(tmp_path):
    export_hub(shop(), "old-gram", tmp_path / "fewer", wanted="model")
    for against in (tmp_path / "fewer", exported("old-gram", "model")):
        verify_figures(shop(), str(tmp_path / "fewer"), against / "figures.json", tolerance=0).check(0)


def test_the_data_must_be_there_and_the_same(tmp_path):
    folder = exported("old-gram", "model")
    with pytest.raises(
        ArtifactError, match=r"lacks the data that old-gram was evaluated on; lexirec run .* --until data"
    ):
        verify_figures(Store(tmp_path), str(folder), folder / "figures.json")
    verify_figures(shop(), str(folder), folder / "figures.json", data="old-tsrec", tolerance=0).check(0)  # one shop
    with pytest.raises(ArtifactError, match="no finished experiment 'nothing'"):
        verify_figures(shop(), str(folder), folder / "figures.json", data="nothing")


def test_a_folder_without_an_evaluation_is_told(tmp_path):
    folder = copied(exported("old-gram", "model"), tmp_path / "unknown")
    (folder / "figures.json").unlink()
    (folder / EXPORT).unlink()
    with pytest.raises(ArtifactError, match="how it was evaluated is unknown"):
        verify_figures(shop(), str(folder), exported("old-gram", "model") / "figures.json")


def test_other_names_of_metrics():
    names = {"N@10": "ndcg@10", "HR@5": "recall@5", "Recall@5": "recall@5", "MRR@1": "mrr@1", "novelty": "novelty"}
    assert {given: metric_name(given) for given in names} == names
