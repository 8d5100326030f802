"""How often a node's Python looks for garbage that reference counts do not find.

Each look stops all threads. As Python does it by itself it goes through all that was ever loaded
again and again, hundreds of thousands of objects that stay to the end. With 50 sessions and 1,000
messages a minute that was one part in thirty of what the node takes of the processor.
"""

from __future__ import annotations

import gc
from typing import Final

YOUNG: Final = 5000
"""So many new objects that are still there make it look among the new ones."""


def settle() -> None:
    """What was loaded by now is never looked through again. Called once, when a node is up."""
    gc.collect()
    gc.freeze()
    _, old, oldest = gc.get_threshold()
    gc.set_threshold(YOUNG, old, oldest)
