import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from lexirec.core.errors import ArtifactError
from lexirec.decoding.trie import Trie
from lexirec.models.hub_layout import recommender_folders, to_hub_layout
from lexirec.models.loading import load_recommender
from lexirec.models.saving import read_manifest
from tests.worlds.exported_shop import MEMBERS, exported
from tests.worlds.grown_shop import HISTORIES, stage

SCORES = """
import sys
import numpy as np
from lexirec.models.loading import load_recommender
from tests.worlds.grown_shop import HISTORIES
for number, folder in enumerate(sys.argv[2:]):
    ranking = load_recommender(folder).rank(HISTORIES, k=10)
    np.savez(f"{sys.argv[1]}/{number}.npz", items=ranking.items, scores=ranking.scores)
"""


@pytest.mark.long
def test_a_fresh_process_gets_equal_scores_from_the_exported_folders(tmp_path):
    folders = [str(exported(*member)) for member in MEMBERS]
    subprocess.run([sys.executable, "-c", SCORES, str(tmp_path), *folders], check=True)
    for number, (name, part) in enumerate(MEMBERS):
        before = load_recommender(stage(name, part).folder).rank(HISTORIES, k=10)
        after = np.load(tmp_path / f"{number}.npz", allow_pickle=False)
        assert np.array_equal(after["items"], before.items), name
        assert np.array_equal(after["scores"], before.scores), name


@pytest.mark.parametrize(
    ("name", "part", "loader"), [(*MEMBERS[0], AutoModelForSeq2SeqLM), (*MEMBERS[1], AutoModelForCausalLM)]
)
def test_the_backbone_is_a_plain_transformers_model(name, part, loader):
    folder = exported(name, part)
    ours = load_recommender(folder).backbone
    theirs = loader.from_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["architectures"] == [type(ours.model).__name__]
    state = theirs.state_dict()
    assert state.keys() == ours.model.state_dict().keys()
    assert all(torch.equal(state[key], value.cpu()) for key, value in ours.model.state_dict().items())
    pieces = AutoTokenizer.from_pretrained(folder).get_vocab()
    assert pieces == ours.tokenizer.get_vocab()


def test_untied_output_layers_stay_untied(tmp_path):
    from lexirec.nn.t5 import untie

    recommender = load_recommender(stage("old-gram", "model").folder)
    untie(recommender.backbone.model)
    with torch.no_grad():
        recommender.backbone.model.lm_head.weight += 1
    recommender.save(tmp_path / "saved")
    to_hub_layout(tmp_path / "saved")
    again = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "saved")
    assert torch.equal(again.lm_head.weight, recommender.backbone.model.lm_head.weight.cpu())
    assert torch.equal(again.get_input_embeddings().weight, recommender.backbone.model.shared.weight.cpu())
    loaded = load_recommender(tmp_path / "saved").backbone.model
    assert torch.equal(loaded.lm_head.weight.cpu(), again.lm_head.weight)


def test_the_trie_is_that_of_the_identifiers():
    folder = exported("old-tsrec", "reinforced")
    recommender = load_recommender(folder)
    tables, trie = load_file(folder / "trie.safetensors"), Trie.build(recommender.identifiers.tokens)
    for name, values in tables.items():
        assert torch.equal(values.long(), getattr(trie, name)), name
    item = 7  # its identifier, read from the tables alone
    node, found = int(tables["item_node"][item]), []
    while node > 0:
        found.append(int(tables["token"][node]))
        node = int(tables["parent"][node])
    assert found[::-1] == recommender.identifiers.tokens[item][recommender.identifiers.tokens[item] >= 0].tolist()


def test_parts_of_an_ensemble_have_the_layout_too_and_baselines_stay():
    folder = exported("old-gram", "fused")
    layouts = {path.name: read_manifest(path).get("layout") for path in recommender_folders(folder)}
    assert layouts == {"model": "hub", "memory": None, folder.name: None}
    assert (folder / "parts" / "model" / "config.json").is_file()
    assert not list(folder.rglob("backbone"))
    inner = AutoModelForSeq2SeqLM.from_pretrained(folder, subfolder="parts/model")  # as the card says
    ours = load_recommender(folder / "parts" / "model").backbone.model
    assert torch.equal(inner.get_input_embeddings().weight, ours.get_input_embeddings().weight.cpu())


def test_a_lost_file_of_the_layout_is_one_line(tmp_path):
    recommender = load_recommender(stage("old-tsrec", "model").folder)
    for name in ("network.safetensors", "model.safetensors", "config.json"):
        folder = tmp_path / name
        recommender.save(folder)
        to_hub_layout(folder)
        (folder / name).unlink()
        with pytest.raises(ArtifactError, match="damaged") as error:
            load_recommender(folder)
        assert "\n" not in str(error.value)
