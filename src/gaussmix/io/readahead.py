"""Reading ahead: the next items are made in a thread while the last ones are worked on."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Queue
from typing import Generic, TypeVar

T = TypeVar("T")

MOST_AHEAD = 2  # items made and not yet asked for
PATIENCE = 1.0  # seconds that an end waits for the item being made, which nothing can interrupt


@contextmanager
def read_ahead(items: Iterator[T]) -> Iterator[Iterator[T]]:
    """Give the items of an iterator, in order, which a thread asks for before they are needed.

    What the iterator raises is raised in its place, with its traceback. When the block is left the
    thread ends, and the iterator is closed in it if it is a generator, before the block's end is
    over; only one that takes long to make its present item is not waited for.
    """
    reader = _Reader(items)
    try:
        reader.start()
        yield reader.results()
    finally:
        reader.stop()


class _End(Generic[T]):
    """The last thing in the queue: what the iterator raised, if anything."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class _Reader(Generic[T]):
    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self._queue: Queue[T | _End[T]] = Queue(MOST_AHEAD - 1)  # one more is in the thread's hand
        self._stopped = False
        self._thread = threading.Thread(target=self._read, name="gaussmix-reader", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def results(self) -> Iterator[T]:
        while not isinstance(item := self._queue.get(), _End):
            yield item
        if item.error is not None:
            raise item.error

    def stop(self) -> None:
        """End the thread. In a forked child, which has none, the queue's locks are not touched."""
        self._stopped = True
        if self._thread.is_alive():
            while not self._queue.empty():  # it may be waiting for room
                self._queue.get_nowait()
            self._thread.join(PATIENCE)

    def _read(self) -> None:
        error: BaseException | None = None
        try:
            self._put_all()
        except BaseException as raised:
            error = raised
        if not self._stopped:
            self._queue.put(_End(error))

    def _put_all(self) -> None:
        try:
            for item in self._items:
                if self._stopped:
                    break
                self._queue.put(item)
        finally:
            close = getattr(self._items, "close", None)
            if close is not None:
                close()
