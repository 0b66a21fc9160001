"""One heap for all threads.

glibc gives each thread a heap of its own. A fetch is read in one thread, parsed in another and processed in a third, so each of
their heaps grows to the most that ever was on its way, and what one has freed the others cannot use: a tenth of the worker's
memory. There is nothing to gain from it either, for allocating holds the interpreter's lock mostly.
"""

import ctypes

_M_ARENA_MAX = -8  # malloc.h of glibc


def share_one_heap() -> bool:
    """Ask for it; must come before threads do. Answers whether it was granted: other C libraries do not know it."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(_M_ARENA_MAX, 1) == 1
