"""The plainest service of a saved GRAM: a FastAPI route that calls `generate` (`python -m … NAME STORE`).

It is what the benchmark of the service is compared with, not a way to serve anything.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from lexirec.core.errors import ArtifactError
from lexirec.core.store import Store
from lexirec.models.gram.recommender import GramRecommender
from lexirec.models.gram.user_prompts import UserPrompts
from lexirec.models.loading import load_named
from lexirec.workflows.benchmarks import reference as stock
from lexirec.workflows.benchmarks.fixtures import World


class Question(BaseModel):
    """A history of item ids, oldest first, and the length of the list."""

    history: list[str]
    k: int


def make_app(recommender: GramRecommender) -> FastAPI:
    """Return the application."""
    tokens, catalog = recommender.identifiers.tokens, recommender.catalog
    users = UserPrompts(tokens, recommender.backbone.tokenizer, recommender.settings.prompts)
    world = World(recommender.model.eval(), tokens, recommender.item_prompts, users)
    trie = stock.nest(tokens)
    item_of = {tuple(token for token in row if token >= 0): item for item, row in enumerate(tokens.tolist())}
    beams, longest = recommender.settings.search.num_beams, recommender.settings.network.max_history
    app = FastAPI()

    @app.post("/recommend")
    def recommend(question: Question) -> dict[str, Any]:
        numbers = catalog.numbers(question.history)[::-1][:longest]
        newest_first = torch.from_numpy(numbers.copy()).long().unsqueeze(0)
        rows, scores = stock.generate(world, trie, newest_first, max(beams, question.k))
        found = [item_of.get(tuple(token for token in row if token > 1)) for row in rows.tolist()]
        items = [catalog.item_ids[item] for item in found if item is not None]
        return {"items": items[: question.k], "scores": scores.tolist()[: question.k]}

    return app


def main(name: str, store: str) -> None:
    """Serve the recommender of a name on a free port, and say on standard error which."""
    recommender = load_named(Store(Path(store)), name)
    if not isinstance(recommender, GramRecommender):
        raise ArtifactError(f"{name} is no GRAM, which this route runs")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)  # before its address is said: whoever reads it may connect at once
        sys.stderr.write(f"listening on http://127.0.0.1:{listener.getsockname()[1]}\n")
        sys.stderr.flush()
        config = uvicorn.Config(make_app(recommender), log_level="error")
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(*sys.argv[1:])
