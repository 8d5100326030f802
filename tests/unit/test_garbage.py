"""A node's own looks for garbage; in a process of its own, since that is for good."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.unit

PROGRAM = """
import gc, weakref
from supervisor import garbage

class Ring:
    def __init__(self):
        self.me = self

before, old = Ring(), gc.get_count()
garbage.settle()
assert gc.get_freeze_count() > 1000, gc.get_freeze_count()
seen = weakref.ref(Ring())
kept = [[] for _ in range(2 * garbage.YOUNG)]
assert seen() is None, "what comes later is found"
assert not any(thing is before for thing in gc.get_objects())
"""


def test_what_was_loaded_is_left_alone_and_new_garbage_is_found() -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=60)
