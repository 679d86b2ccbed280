"""Reading ahead: the next batch is made in a thread while the model works on this one."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar, cast

Item = TypeVar("Item")

_AHEAD = 2
_END = object()


def read_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yield ``items`` in order, with the next two under way in one thread.

    What fails there is raised here, when its turn comes. However the pass ends, by its end, an error, an
    interrupt or because it is left, the thread ends with it.
    """
    pool = ThreadPoolExecutor(1, "superscope-data")
    waiting: SimpleQueue[Future[object]] = SimpleQueue()
    try:
        for _ in range(_AHEAD):
            waiting.put(pool.submit(next, items, _END))
        while (item := waiting.get().result()) is not _END:
            waiting.put(pool.submit(next, items, _END))
            yield cast("Item", item)
    finally:
        pool.shutdown(cancel_futures=True)
