"""Keeps the pauses of garbage collection short in a process that knows much for long.

A full collection walks everything that lives, so its pause would grow with the cluster. Records,
specs and offers are values that cannot be part of a cycle; what is left after one collection lives
long, and walking it again would find nothing.
"""

import contextlib
import gc
from collections.abc import Iterator, Mapping

OLDEST = 2


@contextlib.contextmanager
def walked_once() -> Iterator[None]:
    """What a full collection leaves is frozen: no later one walks it, so that a pause is bounded by
    what came since. At the end all is unfrozen, and cycles that died meanwhile can be found."""
    gc.callbacks.append(_freeze)
    gc.collect()
    try:
        yield
    finally:
        gc.callbacks.remove(_freeze)
        gc.unfreeze()


def _freeze(phase: str, info: Mapping[str, int]) -> None:
    if phase == "stop" and info["generation"] == OLDEST:
        gc.freeze()
