"""Answers about the tree of identifiers: a node with its children, and where an item sits and why."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lexirec.serving.items.views import cursor_at, start_of
from lexirec.serving.problems import ProblemError
from lexirec.serving.schemas.workbench import (
    IdentifierChild,
    IdentifierItemAnswer,
    IdentifierNodeAnswer,
    IdentifierStep,
    IdentifierWord,
    NamedItem,
    Purity,
)
from lexirec.serving.workbench.identifier_tree import Grouping, IdentifierTree, Ints

EXAMPLES = 8
MOST_READ = 2_000
"""Items of a node whose texts are read, at most, to say how many hold a word."""
MOST_LISTED = 20


def node_answer(tree: IdentifierTree, node: int, by: str | None, page: tuple[str | None, int]) -> IdentifierNodeAnswer:
    """Return a node with a page of its children.

    Args:
        tree: of a snapshot.
        node: of the tree.
        by: field whose values the purity of children is of; None for the first one.
        page: cursor and size.

    Raises:
        ProblemError: there is no such node or field, or no page gave out the cursor.
    """
    tree.check(node)
    fields = tree.groupings
    if by is not None and by not in fields:
        raise ProblemError(
            "invalid-request", f"by names '{by[:100]}'; items can be grouped by {', '.join(fields) or 'no field'}"
        )
    # the field with the fewest values is the coarsest, which the first words should tell apart
    chosen = by or min(fields, key=lambda name: len(fields[name].values), default=None)
    start, limit = start_of(page[0]), page[1]
    children = tree.children(node)
    wanted = children[start : start + limit]
    items = tree.items(node)
    return IdentifierNodeAnswer(
        catalog_version=tree.catalog_version,
        node=node,
        path=tuple(_step(tree, each) for each in tree.path(node)),
        depth=int(tree.depth[node]),
        longest=tree.longest,
        items=len(items),
        collisions=int(tree.collided[items].sum()),
        by=chosen,
        fields=tuple(fields),
        purity=tuple(found for name, each in fields.items() if (found := _purity(name, each, items)) is not None),
        examples=named(tree, _spread(items)),
        children=tuple(_child(tree, each, fields.get(chosen or "")) for each in wanted),
        next_cursor=cursor_at(start + limit) if start + limit < len(children) else None,
    )


def item_answer(tree: IdentifierTree, item: int) -> IdentifierItemAnswer:
    """Return where an item sits: its words, which of its texts hold them, and who is next to it."""
    leaf = int(tree.leaf_of[item])
    path = tree.path(leaf)
    collides = np.empty(0, dtype=np.int64)
    if tree.collided[item]:
        around = tree.items(int(tree.parent[leaf]))
        collides = around[tree.collided[around]]
    above = next((each for each in reversed(path[:-1]) if tree.count(each) > 1), 0)
    closest = tree.items(above)
    return IdentifierItemAnswer(
        catalog_version=tree.catalog_version,
        item_id=tree.catalog.item_ids[item],
        title=tree.titles[item],
        words=tuple(_word(tree, item, each) for each in path),
        collides_with=named(tree, collides[collides != item][:MOST_LISTED]),
        closest=named(tree, closest[closest != item][:MOST_LISTED]),
    )


def named(tree: IdentifierTree, items: Sequence[int] | Ints) -> tuple[NamedItem, ...]:
    """Return items with their titles."""
    ids = tree.catalog.item_ids
    return tuple(NamedItem(item_id=ids[item], title=tree.titles[item]) for item in map(int, items))


def _step(tree: IdentifierTree, node: int) -> IdentifierStep:
    return IdentifierStep(node=node, word=tree.words[node], depth=int(tree.depth[node]), items=tree.count(node))


def _child(tree: IdentifierTree, node: int, grouping: Grouping | None) -> IdentifierChild:
    item, items = int(tree.item_of[node]), tree.items(node)
    value, share = _commonest(grouping, items) if grouping is not None else (None, None)
    return IdentifierChild(
        **_step(tree, node).model_dump(),
        item_id=tree.catalog.item_ids[item] if item >= 0 else None,
        title=tree.titles[item] if item >= 0 else None,
        value=value,
        purity=share,
        collisions=int(tree.collided[items].sum()),
    )


def _commonest(grouping: Grouping, items: Ints) -> tuple[str | None, float | None]:
    """Return the most frequent value of some items, and its share of them."""
    numbers = grouping.numbers[items]
    counts = np.bincount(numbers[numbers >= 0])
    if not len(counts):
        return None, None
    best = int(counts.argmax())
    return grouping.values[best], round(float(counts[best]) / len(items), 4)


def _purity(name: str, grouping: Grouping, items: Ints) -> Purity | None:
    value, share = _commonest(grouping, items)
    if value is None or share is None:
        return None
    everywhere = float((grouping.numbers == grouping.values.index(value)).mean())
    return Purity(field=name, value=value, share=share, elsewhere=round(everywhere, 4))


def _spread(items: Ints) -> Ints:
    """Return a few items from all over a node."""
    places = np.unique(np.linspace(0, len(items) - 1, min(EXAMPLES, len(items))).astype(np.int64))
    return items[places]


def _word(tree: IdentifierTree, item: int, node: int) -> IdentifierWord:
    word = tree.words[node].lower()
    read = tree.items(node)[:MOST_READ]
    holds = sum(any(word in texts[each] for texts in tree.texts.values()) for each in read.tolist())
    return IdentifierWord(
        **_step(tree, node).model_dump(),
        found_in=tuple(name for name, texts in tree.texts.items() if word and word in texts[item]),
        share=round(holds / len(read), 4) if len(read) else 0.0,
        siblings=len(tree.children(int(tree.parent[node]))) - 1,
    )
