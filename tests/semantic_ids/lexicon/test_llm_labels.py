import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from lexirec.core.config import load_settings
from lexirec.core.errors import DataError, SettingsError
from lexirec.data.catalog import Catalog
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.lexicon.llm_cache import FILE
from lexirec.semantic_ids.lexicon.llm_labels import llm_lexicon
from lexirec.semantic_ids.lexicon.llm_settings import CallSettings, LLMLexicon
from tests.worlds.stub_llm import good, reply, serving

CODES = Codes(np.array([[n // 4, n % 4] for n in range(16)]), "residual")
WORDS = ["hammer", "drill", "paint", "saw"]


def shop():
    titles = [f"{WORDS[n // 4]} size{n % 4}" for n in range(16)]
    return Catalog(pa.table({"item_id": [str(n) for n in range(16)], "title": titles}), ("title",))


def settings(address, **changes):
    calls = CallSettings(first_wait=0.001, longest_wait=0.01, timeout=5, retries=1, concurrency=1)
    return LLMLexicon(client="openai", model="stub", base_url=address, keywords=2, calls=calls, **changes)


def about_its_items(question, times):
    """Answer with the words of the first item shown."""
    item = question.split("\n- ")[1].split("\n")[0]
    first, second = item.split()
    return 200, {}, reply(f'{{"description": "About {item}.", "keywords": ["{first}", "{second}"]}}')


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def test_answers_become_the_lexicon_of_the_codes(tmp_path):
    with serving(about_its_items) as (_, address):
        lexicon = llm_lexicon(shop(), CODES, settings(address), folder=tmp_path)
    assert [lexicon.terms(0, cell, 1) for cell in range(4)] == [[word] for word in WORDS]
    assert [lexicon.terms(1, cell)[1] for cell in range(4)] == [f"size{cell}" for cell in range(4)]
    assert lexicon.description(0, 2).startswith("About paint")


def test_under_parents_answers_are_merged_by_how_many_items_they_tell_of(tmp_path):
    values = np.array([[0, 0]] * 4 + [[1, 0]] * 3 + [[3, 1]] * 9)
    with serving(about_its_items) as (stub, address):
        lexicon = llm_lexicon(shop(), Codes(values, "residual"), settings(address, conditioned=True), folder=tmp_path)
    assert len([q for q in stub.asked if "wider family" in q]) == 0  # no parent here has other items
    assert lexicon.terms(1, 0) == ["hammer", "size0"]  # 4 items first of all; 4 and 3 as the second; 3 say drill
    assert lexicon.description(1, 0).count("About") == 2


def test_by_default_nobody_is_asked():
    lexicon = llm_lexicon(shop(), CODES)
    assert lexicon.terms(0, 0, 1) == ["hammer"]
    assert "Typical ones: hammer" in lexicon.description(0, 0)


def test_what_does_not_fit_is_named(tmp_path):
    with pytest.raises(SettingsError, match="give a folder to keep them in"):
        llm_lexicon(shop(), CODES, settings(None))
    with pytest.raises(DataError, match="the catalog has 16 items, the codes 3"):
        llm_lexicon(shop(), Codes(CODES.values[:3]))
    with pytest.raises(DataError, match="2 vectors for 16 items"):
        llm_lexicon(shop(), CODES, settings(None), folder=tmp_path, vectors=np.zeros((2, 3), dtype=np.float32))
    with pytest.raises(SettingsError, match="'conditioned' is for residual codes"):
        llm_lexicon(shop(), Codes(CODES.values, "tree"), LLMLexicon(conditioned=True))


def test_settings_come_from_a_file(tmp_path):
    (tmp_path / "lexicon.toml").write_text(
        'client = "openai"\nmodel = "qwen"\nbase_url = "http://localhost:11434/v1"\n[calls]\nretries = 9'
    )
    loaded = load_settings(tmp_path / "lexicon.toml", LLMLexicon)
    assert (loaded.calls.retries, loaded.keywords) == (9, 20)
    with pytest.raises(SettingsError, match=r"'client' is \"gpt\"; it should be 'openai' or 'transformers'"):
        load_settings(tmp_path / "lexicon.toml", LLMLexicon, ["client=gpt"])


CHILD = """
import sys
from pathlib import Path
from lexirec.semantic_ids.lexicon.llm_labels import llm_lexicon
from tests.semantic_ids.lexicon.test_llm_labels import CODES, settings, shop
llm_lexicon(shop(), CODES, settings(sys.argv[1]), folder=Path(sys.argv[2]))
"""


def test_killed_in_the_middle_nothing_is_lost_and_nothing_asked_twice(tmp_path):
    path, answered = tmp_path / FILE, 3

    def act(question, times):
        return good(question, times) if len(stub.answered) < answered or stub.revived else None

    with serving(act) as (stub, address):
        stub.revived = False
        root = Path(__file__).resolve().parents[3]
        child = subprocess.Popen([sys.executable, "-c", CHILD, address, str(tmp_path)], cwd=root)
        try:
            deadline = time.monotonic() + 150  # a busy machine takes long to start Python
            while (
                sum(stub.asked.values()) <= answered and child.poll() is None and time.monotonic() < deadline
            ):  # the fourth is on its way
                time.sleep(0.01)
        finally:
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
        before = path.read_bytes()
        assert before.count(b"\n") == answered
        path.write_bytes(before + before[:100])  # as if it had been killed amid a line
        stub.revived = True
        lexicon = llm_lexicon(shop(), CODES, settings(address), folder=tmp_path)
    assert len(lexicon.levels) == 2
    assert path.read_bytes().startswith(before)
    assert len(stub.answered) == 8
    assert set(stub.answered.values()) == {1}
    assert sum(stub.asked.values()) == 9  # only the one under way was asked again
