import pytest
from pydantic import ValidationError

from lexirec.evaluation.published_figures import PublishedFigures


def test_figures_are_shares_of_metrics_that_are_measured_here():
    row = PublishedFigures(source="a paper", metrics={"recall@10": 0.1, "ndcg@5": 0})
    assert (row.seen, row.beside, row.unequal) == ("included", None, {})
    with pytest.raises(ValidationError, match=r"has 'HR@10'; metrics are recall@K, ndcg@K and mrr@K"):
        PublishedFigures(source="a paper", metrics={"HR@10": 0.1})
    for metrics in ({"recall@10": 8.9}, {}):
        with pytest.raises(ValidationError):
            PublishedFigures(source="a paper", metrics=metrics)
