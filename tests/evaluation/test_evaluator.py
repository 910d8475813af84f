import io
import json
import math
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from lexirec.core.errors import ArtifactError, DataError
from lexirec.data.ranking import Ranking
from lexirec.data.sequences import Sequences
from lexirec.data.splits import Cases
from lexirec.evaluation.evaluator import Report, evaluate, metrics_text, protocol_text
from lexirec.models.baselines.popularity import Popularity
from lexirec.models.baselines.recommender import ScoreRecommender
from lexirec.testing import tiny_catalog

HISTORIES = [[0], [0, 3], [1]]
CASES = Cases(np.array([7, 8, 9]), np.array([1, 2, 3], dtype=np.int32), Sequences.from_lists(HISTORIES))


class Lists:
    """A recommender that gives prepared lists, whatever is asked."""

    def __init__(self, lists, items=5, identifiers=None):
        self.lists, self.catalog, self.protocol = (
            np.array(lists, dtype=np.int32),
            tiny_catalog(items),
            {"search": "none"},
        )
        self.asked = []
        if identifiers is not None:
            self.identifiers = SimpleNamespace(tokens=np.array(identifiers))

    def rank(self, histories, *, k, exclude_seen=False, allowed=None):
        first = sum(self.asked)
        self.asked.append(len(histories))
        items = self.lists[first : first + len(histories), :k]
        return Ranking(items, np.zeros(items.shape, dtype=np.float32))


def test_metrics_by_hand():
    report = evaluate(Lists([[1, 0, 4], [0, 2, 4], [0, 1, 2]]), CASES, ks=(1, 3))
    assert report.ranks.tolist() == [1, 2, 0]
    assert report.metrics["recall@3"] == pytest.approx(2 / 3)
    assert report.metrics["ndcg@3"] == pytest.approx((1 + 1 / math.log2(3)) / 3)
    assert report.metrics["recall@1"] == pytest.approx(1 / 3)
    assert report.invalid == 0


def test_cases_are_ranked_in_batches_in_their_order():
    recommender = Lists([[1, 0, 4], [0, 2, 4], [0, 1, 2]])
    assert evaluate(recommender, CASES, ks=(3,), batch_size=2).ranks.tolist() == [1, 2, 0]
    assert recommender.asked == [2, 1]


def test_empty_places_and_repeated_items_are_invalid():
    report = evaluate(Lists([[1, -1, -1], [2, 2, 2], [0, 1, 3]]), CASES, ks=(3,))
    assert report.invalid == 2 + 2


def test_a_place_that_nothing_was_left_for_is_not_invalid():
    # Of three items, the second case has seen two: one place can be filled.
    cases = Cases(np.arange(2), np.array([1, 2], dtype=np.int32), Sequences.from_lists([[0, 0], [0, 1]]))
    lists = [[1, 2, -1], [2, -1, -1]]
    assert evaluate(Lists(lists, items=3), cases, ks=(3,), exclude_seen=True).invalid == 0
    assert evaluate(Lists(lists, items=3), cases, ks=(3,), exclude_seen=False).invalid == 3


def test_seen_items_are_excluded_only_when_asked():
    train = Sequences.from_lists([[0, 0, 0, 1, 1, 2]])
    recommender = ScoreRecommender(tiny_catalog(5), Popularity().fit(train, 5))
    assert evaluate(recommender, CASES, ks=(2,)).ranks.tolist() == [2, 0, 0]
    assert evaluate(recommender, CASES, ks=(2,), exclude_seen=True).ranks.tolist() == [1, 2, 0]


def test_the_card_says_how_the_figures_were_made():
    report = evaluate(Lists([[1, 0], [2, 0], [3, 0]]), CASES, ks=(2,), exclude_seen=True, protocol={"split": "mine"})
    card = report.protocol
    assert card["split"] == "mine"
    assert card["exclude_seen"] is True
    assert card["search"] == "none"
    assert (card["cases"], card["candidates"], card["list_length"]) == (3, 5, 2)
    assert card["catalog"] == tiny_catalog(5).digest
    assert "smaller item number" in card["ties"]
    other = Cases(CASES.users, CASES.targets, Sequences.from_lists([[0], [0, 3], [2]]))
    assert evaluate(Lists([[1, 0], [2, 0], [3, 0]]), other, ks=(2,)).protocol["cases_digest"] != card["cases_digest"]


def test_targets_in_their_own_history_are_counted():
    cases = Cases(np.arange(3), np.array([4, 3, 1], dtype=np.int32), Sequences.from_lists([[0], [3, 0, 3], [1]]))
    assert evaluate(Lists([[1], [2], [3]]), cases, ks=(1,)).protocol["targets_seen"] == 2


def test_a_shared_identifier_is_a_hit_at_identifier_level_only():
    recommender = Lists([[4, 0], [0, 4], [0, 1]], identifiers=[[9], [7], [8], [6], [7]])  # items 1 and 4 share one
    report = evaluate(recommender, CASES, ks=(1, 2))
    assert report.metrics["recall@2"] == 0
    assert report.identifier_metrics["recall@1"] == pytest.approx(1 / 3)
    assert report.as_json()["identifier_metrics"] == report.identifier_metrics
    assert "identifier_metrics" not in evaluate(Lists([[4, 0], [0, 4], [0, 1]]), CASES, ks=(2,)).as_json()


def test_a_report_survives_the_disk(tmp_path):
    report = evaluate(Lists([[1, 0], [0, 2], [0, 1]]), CASES, ks=(1, 2), protocol={"k_core": 5})
    report.save(tmp_path)
    table = pq.read_table(tmp_path / "ranks.parquet").to_pydict()
    assert table == {"user": [7, 8, 9], "target": [1, 2, 3], "rank": [1, 2, 0]}
    assert set(json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))) >= {
        "metrics",
        "invalid",
        "protocol",
    }
    again = Report.load(tmp_path)
    assert again.as_json() == report.as_json()
    assert again.ranks.tolist() == report.ranks.tolist()
    assert again.cases["target"].tolist() == [1, 2, 3]


def test_lists_are_kept_as_long_as_asked(tmp_path):
    report = evaluate(Lists([[1, 0, 4], [0, 2, -1], [0, 1, 2]]), CASES, ks=(3,))
    assert report.lists.items.tolist() == [[1, 0, 4], [0, 2, -1], [0, 1, 2]]
    assert report.lists.scores.dtype == np.float32
    report.save(tmp_path)
    assert Report.load(tmp_path).lists.items.tolist() == report.lists.items.tolist()
    assert Report.load(tmp_path, lists=False).lists is None
    report.save(tmp_path, keep_lists=1)
    assert Report.load(tmp_path).lists.items.tolist() == [[1], [0], [0]]
    assert Report.load(tmp_path).lists.scores.shape == (3, 1)
    report.save(tmp_path, keep_lists=0)
    assert Report.load(tmp_path).lists is None
    (tmp_path / "lists.safetensors").write_bytes(b"no lists")
    with pytest.raises(ArtifactError, match="evaluate again"):
        Report.load(tmp_path)


def test_an_absent_report_is_a_users_error(tmp_path):
    with pytest.raises(ArtifactError, match="evaluate again"):
        Report.load(tmp_path)


def test_no_cases_and_foreign_cases_are_refused():
    none = Cases(np.array([], dtype=np.int64), np.array([], dtype=np.int32), Sequences.from_lists([]))
    with pytest.raises(DataError, match="the fold has no cases"):
        evaluate(Lists([[0]]), none)
    with pytest.raises(DataError, match="item number 3, but the recommender's catalogue has 2 items"):
        evaluate(Lists([[0]], items=2), CASES)
    negative = Cases(np.array([0]), np.array([-1], dtype=np.int32), Sequences.from_lists([[0]]))
    with pytest.raises(DataError, match="item number -1, but the recommender's catalogue has 2 items"):
        evaluate(Lists([[0]], items=2), negative)


def test_tables_fit_a_narrow_terminal():
    report = evaluate(Lists([[1] * 10, [0] * 10, [0] * 10]), CASES, ks=(5, 10))
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(*report.tables())
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert report.protocol["cases_digest"] in "".join(line.split("│")[2].strip() for line in lines if line[:1] == "│")


def test_tables_are_plain_text_with_figures_and_protocol():
    report = evaluate(Lists([[1, 0], [0, 2], [0, 1]]), CASES, ks=(1, 2), exclude_seen=True)
    text = metrics_text({"mine": report}, ["recall@1", "recall@50"])
    assert "0.3333" in text
    assert "mine" in text
    assert "excluded" in text
    assert "\x1b" not in text
    assert "list length" in protocol_text(report.protocol)
    assert "fusion (head grounded, positions True), seed 0" in protocol_text(
        {"settings": {"fusion": {"head": "grounded", "positions": True}, "seed": 0}}
    )
    assert "0.3333" in str(evaluate(Lists([[1] * 10, [0] * 10, [0] * 10]), CASES, ks=(5, 10)))


def test_a_case_without_a_list_is_an_error_and_short_lists_are_told(tmp_path):
    with pytest.raises(
        DataError, match="lists no item for 1 of 3 cases, such as case 1, although 5 items may be listed"
    ):
        evaluate(Lists([[1, 0, 4], [-1, -1, -1], [0, 1, 2]]), CASES, ks=(3,))
    report = evaluate(Lists([[1, 0, 4], [2, -1, -1], [0, 1, 2]]), CASES, ks=(3,))
    assert (report.short, report.invalid) == (1, 2)
    report.save(tmp_path)
    assert Report.load(tmp_path).short == 1
    assert "2 (1 lists too short)" in metrics_text({"mine": report})
    whole = evaluate(Lists([[1, 0, 4], [2, 0, 1], [0, 1, 2]]), CASES, ks=(3,))
    assert "short" not in whole.as_json()
