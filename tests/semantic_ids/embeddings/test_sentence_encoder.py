import sys

import numpy as np
import pyarrow as pa
import pytest

from lexirec.core.errors import ArtifactError, DataError, SettingsError
from lexirec.semantic_ids.embeddings import sentence_encoder
from lexirec.semantic_ids.embeddings.sentence_encoder import SentenceVectors, sentence_vectors
from lexirec.shards.parts import write_part
from tests.worlds.pieces import bert_like

pytest.importorskip("sentence_transformers")
ENCODE = sentence_encoder._encode
WORDS = ["rose", "soap", "mint", "tea", "cup", "##s", "red"]
TEXTS = [f"{first} {second}" for first in WORDS[:5] for second in WORDS[:5]]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Folder of a tiny model with random weights."""
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import BertConfig, BertModel

    try:
        from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    except ImportError:  # before version 6
        from sentence_transformers.models import Pooling, Transformer
    folder = tmp_path_factory.mktemp("sentences")
    torch.manual_seed(0)
    tokenizer = bert_like(WORDS)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
        initializer_range=1.0,
    )
    BertModel(config).save_pretrained(folder / "bert")
    tokenizer.save_pretrained(folder / "bert")
    modules = [Transformer(str(folder / "bert")), Pooling(16, pooling_mode="mean")]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder / "model"))
    return str(folder / "model")


def test_vectors_are_normalised_and_texts_far_apart_differ(model):
    vectors = sentence_vectors(TEXTS, SentenceVectors(model=model))
    assert vectors.shape == (25, 16)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(25), abs=1e-5)
    assert len(np.unique(vectors.round(3), axis=0)) == 25


@pytest.mark.parametrize("changed", [{"pooling": "cls"}, {"pooling": "max"}, {"prompt": "red "}, {"max_length": 1}])
def test_prompt_pooling_and_length_count(model, changed):
    plain = sentence_vectors(TEXTS[:3], SentenceVectors(model=model))
    other = sentence_vectors(TEXTS[:3], SentenceVectors(model=model, **changed))
    assert plain.shape == other.shape
    assert np.abs(plain - other).max() > 1e-3


def test_a_killed_run_carries_on_where_it_was(model, tmp_path, monkeypatch):
    settings = SentenceVectors(model=model, shard_size=4)
    whole = sentence_vectors(TEXTS, settings)
    encoded = count_encoded(monkeypatch, stop_after=3)
    with pytest.raises(KeyboardInterrupt):
        sentence_vectors(TEXTS, settings, folder=tmp_path)
    assert len(encoded) == 3
    encoded = count_encoded(monkeypatch)
    resumed = sentence_vectors(TEXTS, settings, folder=tmp_path)
    assert sum(encoded) == len(TEXTS) - 12
    assert resumed == pytest.approx(whole, abs=1e-6)
    encoded.clear()
    again = sentence_vectors(TEXTS, settings.model_copy(update={"batch_size": 2}), folder=tmp_path)
    assert not encoded
    assert (again == resumed).all()


@pytest.mark.parametrize(
    "damage", [lambda content: content[:-5], lambda content: b"", lambda content: content[:-1] + b"!"]
)
def test_a_damaged_shard_is_computed_again(model, tmp_path, monkeypatch, caplog, damage):
    settings = SentenceVectors(model=model, shard_size=10)
    whole = sentence_vectors(TEXTS, settings, folder=tmp_path)
    shard = sorted(tmp_path.glob("part-*.parquet"))[1]
    shard.write_bytes(damage(shard.read_bytes()))
    encoded = count_encoded(monkeypatch)
    assert (sentence_vectors(TEXTS, settings, folder=tmp_path) == whole).all()
    assert encoded == [10]
    assert f"{shard} is damaged; it is made again" in caplog.text
    assert len(list(tmp_path.glob("part-*.parquet"))) == 3


def test_shards_of_other_texts_or_settings_are_not_used(model, tmp_path, monkeypatch):
    (tmp_path / "mine.txt").write_text("keep")
    settings = SentenceVectors(model=model, shard_size=10)
    sentence_vectors(TEXTS, settings, folder=tmp_path)
    encoded = count_encoded(monkeypatch)
    sentence_vectors(TEXTS[::-1], settings, folder=tmp_path)
    assert encoded == [10, 10, 5]
    sentence_vectors(TEXTS[::-1], settings.model_copy(update={"prompt": "red "}), folder=tmp_path)
    assert encoded == [10, 10, 5] * 2
    assert (tmp_path / "mine.txt").exists()


def count_encoded(monkeypatch, stop_after=None):
    encoded, original = [], ENCODE

    def counted(model, texts, settings):
        if stop_after is not None and len(encoded) == stop_after:
            raise KeyboardInterrupt
        encoded.append(len(texts))
        return original(model, texts, settings)

    monkeypatch.setattr(sentence_encoder, "_encode", counted)
    return encoded


def test_what_is_missing_is_said(model, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(SettingsError, match="no sentence-transformers model"):
        sentence_vectors(TEXTS, SentenceVectors(model=str(tmp_path / "nothing")))
    with pytest.raises(DataError, match="no texts"):
        sentence_vectors([], SentenceVectors(model=model))
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(SettingsError, match=r"pip install 'lexirec\[text\]'"):
        sentence_vectors(TEXTS, SentenceVectors(model=model))


def test_a_model_that_gives_no_numbers_is_named_with_the_items_and_nothing_is_stored(model, tmp_path, monkeypatch):
    def broken(loaded, texts, settings):
        vectors = ENCODE(loaded, texts, settings)
        vectors[[text == TEXTS[12] for text in texts]] = np.nan
        return vectors

    monkeypatch.setattr(sentence_encoder, "_encode", broken)
    settings, ids = SentenceVectors(model=model, shard_size=10), [f"id-{row}" for row in range(25)]
    message = rf"aside: 1 .*NaN or infinity for 1 of 10 texts, those of items such as 'id-12' \('{TEXTS[12]}'"
    with pytest.raises(ArtifactError, match=message):
        sentence_vectors(TEXTS, settings, folder=tmp_path, ids=ids)
    assert sorted(path.name[:10] for path in tmp_path.glob("part-*")) == ["part-00000", "part-00002"]


def test_stored_vectors_that_are_no_numbers_are_computed_again(model, tmp_path):
    settings = SentenceVectors(model=model, shard_size=10)
    whole = sentence_vectors(TEXTS, settings, folder=tmp_path)
    (part,) = tmp_path.glob("part-00001-*")
    nothing = pa.array(np.full(160, np.nan, np.float32))
    write_part(part, pa.table({"vector": pa.FixedSizeListArray.from_arrays(nothing, 16)}))
    np.testing.assert_array_equal(sentence_vectors(TEXTS, settings, folder=tmp_path), whole)


@pytest.mark.long
def test_two_workers_make_the_vectors_of_one_process_and_keep_the_key(model, tmp_path):
    settings = SentenceVectors(model=model, shard_size=4)
    several = settings.model_copy(update={"workers": 2})
    whole = sentence_vectors(TEXTS, settings, folder=tmp_path / "one")
    both = sentence_vectors(TEXTS, several, folder=tmp_path / "two")
    assert both == pytest.approx(whole, abs=1e-6)
    assert (sentence_vectors(TEXTS, settings, folder=tmp_path / "two") == both).all()
    assert "workers" not in settings.model_dump()
