"""Training ends with a garbage collection, which costs more than all of a small training: half of it is spared."""

import gc

import pytest


@pytest.fixture(scope="session", autouse=True)
def _what_is_imported_is_no_garbage():
    gc.freeze()
    yield
    gc.unfreeze()
