from __future__ import annotations

import gc
import weakref

import pytest

from lexirec.serving import memory


class Node:
    """Part of a cycle, which only a collection frees."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def unfrozen():
    yield
    gc.unfreeze()


def test_what_is_given_back_is_free():
    gone = weakref.ref(Node())
    memory.give_back()
    assert gone() is None


def test_what_was_loaded_is_looked_at_no_more_and_what_comes_later_is(unfrozen):
    before = gc.get_freeze_count()
    memory.settle()
    assert gc.get_freeze_count() > before
    later = weakref.ref(Node())
    memory.give_back()
    assert later() is None


def test_another_allocator_is_left_alone(monkeypatch):
    monkeypatch.setattr(memory, "_allocator", lambda: None)
    memory.few_pools()
    memory.give_back()


def test_glibc_is_found_where_there_is_one(monkeypatch):
    memory._allocator.cache_clear()
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    assert memory._allocator() is None
    memory._allocator.cache_clear()
