"""Python's garbage collector: not while modules load, and rarely where many small requests are answered."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

#: A request allocates some hundred containers and leaves next to none of them. With Python's 700 the collector would
#: run several times for each request. The other two are Python's own: a full collection is cheap, as what is loaded is
#: exempt, and cycles of connections that lasted long are garbage until it.
_YOUNG, _MIDDLE, _OLD = 10_000, 10, 10


@contextmanager
def loading() -> Iterator[None]:
    """Do not collect meanwhile. What is loaded is not exempt later: the collection at the end of the interpreter closes
    what nobody has closed, such as a database, which leaves its write-ahead log otherwise.

    Nothing that imports make is garbage; looking for some takes a tenth of the processor time of a start.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def exempt_what_is_loaded() -> None:
    """Collect once, exempt what is left from all later collections, and collect less often.

    Call it when everything is imported: modules, routes and models live as long as the process, and a full collection
    would look at each of their objects. It holds the interpreter's lock for about a tenth of a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
