from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from lexirec.core.errors import DataError
from lexirec.nn.tokenizer import PROMPT_PHRASES, train_tokenizer, without_cache

TEXTS = [
    f"title: {color} {thing} no. {number}; brand: {brand}"
    for number, (color, thing, brand) in enumerate(
        [(c, t, b) for c in ("red", "blue") for t in ("Soap", "Candle", "Shampoo") for b in ("Acme", "Zenith")] * 3
    )
]


def test_special_pieces_stand_where_t5_has_them_and_every_text_ends_with_the_end():
    tokenizer = train_tokenizer(TEXTS)
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (0, 1, 2)
    assert tokenizer("red soap").input_ids[-1] == 1
    assert tokenizer.decode(tokenizer("red soap").input_ids, skip_special_tokens=True) == "red soap"


def test_frequent_words_and_prompt_words_are_one_piece_and_digits_are_pieces():
    tokenizer = train_tokenizer(TEXTS)
    assert tokenizer.tokenize("red soap; brand: zenith") == ["▁red", "▁soap", ";", "▁brand", ":", "▁zenith"]
    words = [word for phrase in PROMPT_PHRASES for word in phrase.split() if word.isalpha()]
    assert all(len(tokenizer.tokenize(word)) == 1 for word in words)
    assert set("0123456789") <= set(tokenizer.get_vocab())


def test_case_is_folded_only_on_request():
    assert train_tokenizer(TEXTS).tokenize("SOAP") == ["▁soap"]
    assert train_tokenizer(TEXTS, lower_case=False).tokenize("Soap") == ["▁Soap"]


def test_vocabulary_is_bounded_by_the_setting_and_by_the_data():
    small, large = train_tokenizer(TEXTS, vocabulary_size=80), train_tokenizer(TEXTS, vocabulary_size=50_000)
    assert len(small) == 80
    assert 80 < len(large) < 400


def test_many_rare_characters_do_not_take_the_vocabulary():
    exotic = [*TEXTS, *("".join(map(chr, range(start, start + 50))) for start in range(0x4E00, 0x5E00, 50))]
    tokenizer = train_tokenizer(exotic, vocabulary_size=120)
    assert len(tokenizer) <= 120
    assert sum(piece >= "\u4e00" for piece in tokenizer.get_vocab()) < 120 // 4
    assert tokenizer.tokenize("red") == ["▁red"]
    assert tokenizer("red ䷿").input_ids[-2:] == [tokenizer.unk_token_id, 1]


@pytest.mark.long
def test_another_process_trains_the_very_same_tokenizer():
    # Hash seeds and threads differ between processes; artifacts below the tokenizer are keyed by content.
    program = (
        "from tests.nn.test_tokenizer import TEXTS\n"
        "from lexirec.nn.tokenizer import train_tokenizer\n"
        "import sys; sys.stdout.write(train_tokenizer(TEXTS, vocabulary_size=120).backend_tokenizer.to_str())"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert other == train_tokenizer(TEXTS, vocabulary_size=120).backend_tokenizer.to_str()


@pytest.mark.parametrize("texts", [[], ["", "  "]])
def test_no_text_is_said_in_one_line(texts):
    with pytest.raises(DataError, match="no text to train a tokenizer on"):
        train_tokenizer(texts)


GROWTH = """
import ctypes
import gc
import sys

from transformers import AutoTokenizer

from lexirec.nn.tokenizer import without_cache


class Pools(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena chunks fast maps mapped most free used left top".split()]


library = ctypes.CDLL(None)
library.mallinfo2.restype = Pools
texts = [f"word{number} and number{number} of many" for number in range(3000)]


def used() -> int:
    gc.collect()
    pools = library.mallinfo2()
    return pools.used + pools.mapped


def restore() -> None:
    without_cache(AutoTokenizer.from_pretrained(sys.argv[1]))(texts)


restore()
before = used()
for _ in range(8):
    restore()
print((used() - before) / 8 / 2**10)
"""


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="mallinfo2 is glibc's, from 2.33"
)
def test_tokenizers_that_come_and_go_leave_no_memory_behind(tmp_path):
    train_tokenizer([f"word{number} of many" for number in range(300)], vocabulary_size=300).save_pretrained(tmp_path)
    told = subprocess.run(
        [sys.executable, "-c", GROWTH, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"TOKENIZERS_PARALLELISM": "false"},
    ).stdout
    assert float(told) < 100  # KiB each; with the cache over 300


def test_without_a_cache_everything_is_read_as_before():
    texts = ["A red lamp", "two tables, 12 chairs", "a red lamp again", "ü ß 東京"]
    plain = train_tokenizer(texts, vocabulary_size=300)
    plain.add_tokens(["<a_1>"])
    before = plain([*texts, "<a_1> lamp<a_1>"])["input_ids"]
    other = without_cache(plain)
    assert other is plain
    assert other([*texts, "<a_1> lamp<a_1>"])["input_ids"] == before
    assert other.convert_tokens_to_ids("<a_1>") == len(other) - 1


def test_a_tokenizer_without_such_a_cache_is_left_alone():
    slow = object()
    assert without_cache(slow) is slow
