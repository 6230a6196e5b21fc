"""A line between a thread that brings and one that takes; it may lose the oldest, never memory."""

import threading
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class WaitingLine(Generic[Item]):
    """At most `room` items wait.

    Args:
        room: how many.
        drops: where there is no room the oldest goes; else who brings waits.

    Attributes:
        num_dropped: how many went.
    """

    def __init__(self, room: int, drops: bool) -> None:
        self.room, self.drops = room, drops
        self.num_dropped = 0
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._error: BaseException | None = None

    def put(self, item: Item) -> bool:
        """Bring an item; false if nobody takes any more."""
        with self._changed:
            while len(self._items) >= self.room and not self._closed:
                if self.drops:
                    self._items.popleft()
                    self.num_dropped += 1
                else:
                    self._changed.wait()
            if not self._closed:
                self._items.append(item)
                self._changed.notify_all()
            return not self._closed

    def take(self, least: int, most: int) -> list[Item]:
        """Between `least` and `most` items, oldest first; fewer, or none, only at the end.

        Raises:
            BaseException: what `close` was given, after the last item.
        """
        with self._changed:
            while len(self._items) < min(least, self.room) and not self._closed:
                self._changed.wait()
            taken = [self._items.popleft() for _ in range(min(most, len(self._items)))]
            self._changed.notify_all()
            if not taken and self._error is not None:
                raise self._error
            return taken

    def close(self, error: BaseException | None = None) -> None:
        """No more is brought, or taken; what waits can still be taken."""
        with self._changed:
            self._closed = True
            self._error = error
            self._changed.notify_all()
