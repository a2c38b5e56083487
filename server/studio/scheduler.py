"""Which frame the inference engine takes next: pure, with the time as an argument.

Single frames, because a batch gains nothing on a CPU: the newest frame of each stream, the least recently served stream
first, and never two frames of one stream at once, since its tracker must see them in order.
"""

from __future__ import annotations

from typing import Generic, TypeVar

F = TypeVar("F")


class Scheduler(Generic[F]):
    """Holds at most one waiting frame per stream. Not thread-safe: its owner has the lock."""

    def __init__(self) -> None:
        self._waiting: dict[int, F] = {}
        self._served_ns: dict[int, int] = {}
        self._busy: set[int] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def offer(self, stream: int, frame: F) -> F | None:
        """Let `frame` wait; return the older frame of the stream that it pushes out, if one was waiting."""
        replaced = self._waiting.pop(stream, None)
        self._waiting[stream] = frame
        return replaced

    def pick(self, now_ns: int) -> tuple[int, F] | None:
        """Take the frame to be served now; its stream is busy until `done`. None when no stream that is free waits."""
        free = [stream for stream in self._waiting if stream not in self._busy]
        if not free:
            return None
        stream = min(free, key=lambda s: self._served_ns.get(s, -1))
        self._served_ns[stream] = now_ns
        self._busy.add(stream)
        return stream, self._waiting.pop(stream)

    def done(self, stream: int) -> None:
        self._busy.discard(stream)

    def forget(self, stream: int) -> F | None:
        """Drop all that is known of a stream that has ended; return its waiting frame."""
        self._served_ns.pop(stream, None)
        self._busy.discard(stream)
        return self._waiting.pop(stream, None)
