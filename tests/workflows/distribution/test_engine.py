import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from lexirec.core.errors import SettingsError
from lexirec.core.store import Store
from lexirec.models.exported import check_export
from lexirec.models.loading import load_recommender
from lexirec.nn.t5 import Backbone
from lexirec.workflows.distribution.engine import export_engine, fit_rows
from tests.worlds import backbones, engine_shop
from tests.worlds.exported_shop import shop


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("engine")
    name = engine_shop.saved(folder / "saved")
    export_engine(Store(folder), name, folder / "engine")
    return load_recommender(name), folder / "engine"


def test_the_table_has_a_multiple_of_64_rows_and_every_row_a_piece(engine):
    recommender, folder = engine
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    rows = model.get_input_embeddings().weight.shape[0]
    assert rows % 64 == 0
    assert rows == model.config.vocab_size == model.get_output_embeddings().weight.shape[0] == len(tokenizer)
    assert sorted(tokenizer.get_vocab().values()) == list(range(rows))
    assert None not in tokenizer.convert_ids_to_tokens(list(range(rows)))
    pieces = len(recommender.backbone.tokenizer)
    sizes = json.loads((folder / "engine.json").read_text())
    assert sizes["pieces"] == pieces
    assert sizes["rows"] - pieces == sizes["fillers"] < 64
    assert not model.get_input_embeddings().weight[pieces:].any()
    before = recommender.backbone.model.get_input_embeddings().weight
    assert torch.equal(model.get_input_embeddings().weight[:pieces], before[:pieces].cpu())
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_the_table_of_identifiers_holds_ids(engine):
    recommender, folder = engine
    table = load_file(folder / "sid_table.safetensors")
    assert table["tokens"].dtype == table["lengths"].dtype == np.int32
    assert np.array_equal(table["tokens"], recommender.identifiers.tokens)
    assert set(table["lengths"]) == {3}
    assert json.loads((folder / "item_ids.json").read_text()) == recommender.catalog.item_ids
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.convert_ids_to_tokens(table["tokens"][7].tolist()) == recommender.identifiers.spelled(7)
    assert check_export(folder, "engine").kind == "engine"
    assert "lexirec_dropout" not in json.loads((folder / "config.json").read_text())


def test_the_card_says_how_to_ask(engine):
    text = (engine[1] / "README.md").read_text()
    assert "library_name: transformers" in text
    assert "3 tokens each" in text
    assert "must never be sampled" in text
    assert "unknown: ask before you publish" in text


@pytest.mark.parametrize("spare", [0, 28, 271])
@pytest.mark.parametrize("tied", [True, False])
def test_tables_are_cut_or_padded(spare, tied):
    tokenizer = backbones.byte_tokenizer()
    pieces = len(tokenizer)
    model = backbones.model("qwen2", pieces + spare, tie_word_embeddings=tied)
    before = [table.weight.detach().clone() for table in (model.get_input_embeddings(), model.get_output_embeddings())]
    sizes = fit_rows(Backbone(model, tokenizer))
    rows, kept = sizes["rows"], min(sizes["rows"], pieces + spare)
    assert rows % 64 == 0
    assert pieces <= rows < pieces + 64
    assert sizes["padded_rows"] == max(0, rows - pieces - spare)
    for table, old in zip((model.get_input_embeddings(), model.get_output_embeddings()), before, strict=True):
        assert table.weight.shape[0] == rows
        assert torch.equal(table.weight[:kept], old[:kept])
        assert not table.weight[kept:].any()
    assert (model.get_output_embeddings().weight is model.get_input_embeddings().weight) == tied
    assert len(tokenizer) == rows


def test_lengths_that_differ_are_told(tmp_path, caplog):
    export_engine(Store(tmp_path), engine_shop.saved(tmp_path / "saved", uneven=True), tmp_path / "engine")
    assert "identifiers have 2 to 3 tokens" in caplog.text
    assert json.loads((tmp_path / "engine" / "engine.json").read_text())["sid_lengths"] == [2, 3]
    assert "**not of one length**" in (tmp_path / "engine" / "README.md").read_text()


@pytest.mark.parametrize(
    ("name", "part", "said"),
    [
        ("old-tsrec", "model", 'head = "grounded", whose scores are no logits'),
        (
            "old-gram",
            "model",
            "of the kind 'late-fusion'; engines serve causal language models alone: use --format hub",
        ),
        ("old-gram", "fused", "of the kind 'fused'; .* choose a TS-Rec part with --with"),
        ("old-gram", "memory", "of the kind 'memory'"),
    ],
)
def test_what_no_engine_computes_is_refused_in_one_line(tmp_path, name, part, said):
    with pytest.raises(SettingsError, match=said) as error:
        export_engine(shop(), name, tmp_path / "engine", wanted=part)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "engine").exists()
