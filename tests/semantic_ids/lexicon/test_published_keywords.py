import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lexirec.core.errors import DataError
from lexirec.semantic_ids.codes import Codes, token_of
from lexirec.semantic_ids.lexicon.published_keywords import read_keywords

CODES = Codes(np.array([[3, 1], [5, 0], [3, 0]]), "residual")


def record(token, *keywords, description="Tools."):
    return {"token": token, "keywords": list(keywords) or ["tool"], "description": description}


RECORDS = [
    record("<b_1>", "Hammer", "steel nail", "Hammer"),
    record("<a_5>", "drill", "tool", description="Drills."),
    record("<a_3>", "tool", "saw"),
    record("<b_0>", "tool"),
]


def write(folder, records, name="keywords.json"):
    path = folder / name
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(records), path)
    else:
        path.write_text(records if isinstance(records, str) else json.dumps(records), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["keywords.json", "keywords.parquet"])
def test_tokens_become_the_cells_of_their_codes(tmp_path, name):
    lexicon = read_keywords(write(tmp_path, RECORDS, name), CODES)
    assert [lexicon.terms(0, cell) for cell in range(2)] == [["tool", "saw"], ["drill", "tool"]]
    assert [lexicon.terms(1, cell) for cell in range(2)] == [["tool"], ["Hammer", "steel nail", "Hammer"]]
    assert lexicon.description(0, 1) == "Drills."


def test_what_is_said_of_every_cell_scores_least(tmp_path):
    lexicon = read_keywords(write(tmp_path, RECORDS), CODES)
    scores = dict(zip(lexicon.terms(0, 1), lexicon.scores(0, 1), strict=True))
    assert scores["drill"] == pytest.approx(np.log1p(1.5 / 1.5))
    assert scores["tool"] == pytest.approx(np.log1p(0.5 / 2.5))
    assert lexicon.scores(1, 1)[0] == pytest.approx(np.log1p(1.5 / 1.5))  # said twice of one cell


def test_a_last_level_that_no_record_names_is_left_out(tmp_path):
    longer = Codes(np.hstack([CODES.values, [[0], [0], [1]]]), "residual")
    assert len(read_keywords(write(tmp_path, RECORDS), longer).levels) == 2


@pytest.mark.parametrize(
    ("records", "said"),
    [
        (RECORDS[1:], "keywords.json has no record of 1 tokens, such as <b_1>; add them"),
        ([RECORDS[0], RECORDS[3]], "has no record of 2 tokens, such as <a_3>, <a_5>; add them"),
        ([], "has no record of 2 tokens, such as <a_3>, <a_5>"),
        ([*RECORDS, record("<a_4>"), record("<d_0>")], "describes 2 tokens that no item has, such as <a_4>, <d_0>"),
        ([*RECORDS, record("<a_03>")], "the token <a_3> occurs more than once"),
        ([record("a_5")], "record 1: 'token': string should match pattern"),
        ([RECORDS[0], {"token": "<a_3>", "description": ""}], "record 2: 'keywords': field required"),
        ([{"token": "<a_3>", "description": "", "keywords": []}], "record 1: 'keywords': list should have at least 1"),
        ({"token": "<a_3>"}, "holds no list"),
        ('[{"token": "<a_3>", ', "is no JSON (EOF while parsing"),
    ],
)
def test_mistakes_in_the_file_are_named_in_one_line(tmp_path, records, said):
    with pytest.raises(DataError) as caught:
        read_keywords(write(tmp_path, records), CODES)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_none_and_trees_are_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_keywords(tmp_path / "absent.json", CODES)
    (tmp_path / "broken.parquet").write_text("no")
    with pytest.raises(DataError, match=r"broken\.parquet is no Parquet file"):
        read_keywords(tmp_path / "broken.parquet", CODES)
    with pytest.raises(DataError, match="'tree' do not have; give residual codes"):
        read_keywords(write(tmp_path, RECORDS), Codes(CODES.values, "tree"))


@pytest.mark.data
def test_the_released_industrial_keywords_name_all_560_tokens(data_dir):
    folder = data_dir / "industrial18"
    sids = pq.read_table(folder / "items.parquet", columns=["sid"])["sid"].to_pylist()
    values = np.array([[int(part.split("_")[1]) for part in sid.strip("<>").split("><")] for sid in sids])
    path = folder / "tsrec_token_keywords.parquet"
    lexicon = read_keywords(path, Codes(values, "residual"))
    assert [len(level) for level in lexicon.levels] == [48, 256, 256]
    for given in pq.read_table(path).to_pylist():
        level, value = "abc".index(given["token"][1]), int(given["token"][3:-1])
        assert token_of(level, value) == given["token"]
        cell = int(np.searchsorted(np.unique(values[:, level]), value))
        assert lexicon.terms(level, cell) == given["keywords"]
        assert lexicon.description(level, cell) == given["description"]
