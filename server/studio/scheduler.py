"""Which frames the inference engine takes next: pure, with the time and the engine's measured latency as arguments.

The newest frame of each stream, the least recently served stream first, and only as many at once as leave every one of
them in time. Never two frames of one stream at once, since its tracker must see them in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

F = TypeVar("F")

TRY_NS: Final = 250_000_000
"""A stream that has got nothing for so long gets its newest frame served, late as it will be: a late picture is better than
none, and a latency that is never measured again would stay as bad as it once was."""


@dataclass(frozen=True, slots=True)
class Waiting(Generic[F]):
    """A frame that waits. `deadline_ns`: when the engine must be done with it."""

    stream: int
    deadline_ns: int
    frame: F


@dataclass(frozen=True, slots=True)
class Choice(Generic[F]):
    """What to run now, together, and what can no longer be in time whatever is run."""

    batch: list[Waiting[F]]
    hopeless: list[Waiting[F]]


def choose(
    waiting: Iterable[Waiting[F]],
    now_ns: int,
    latency_ns: Callable[[Sequence[F]], int],
    served_ns: Mapping[int, int],
    most: int,
) -> Choice[F]:
    """The next batch out of at most one frame a stream.

    `latency_ns` says how long the engine takes for frames together, `served_ns` when a stream was served last (ns of the same
    clock as `now_ns`), `most` how many frames may go together.
    """
    batch: list[Waiting[F]] = []
    hopeless: list[Waiting[F]] = []
    earliest_ns = None
    for candidate in sorted(waiting, key=lambda w: (served_ns.get(w.stream, -TRY_NS), w.deadline_ns)):
        if now_ns + latency_ns([candidate.frame]) > candidate.deadline_ns:
            if now_ns - served_ns.get(candidate.stream, -TRY_NS) < TRY_NS:
                hopeless.append(candidate)
            elif not batch:
                return Choice([candidate], hopeless)
            continue
        if len(batch) == most:
            continue
        until_ns = candidate.deadline_ns if earliest_ns is None else min(earliest_ns, candidate.deadline_ns)
        if now_ns + latency_ns([*(w.frame for w in batch), candidate.frame]) <= until_ns:
            batch.append(candidate)
            earliest_ns = until_ns
    return Choice(batch[: _most_worth([w.frame for w in batch], latency_ns)], hopeless)


def _most_worth(frames: Sequence[F], latency_ns: Callable[[Sequence[F]], int]) -> int:
    """How many of these to run together so that most are done per time; the more of what is equal. Few pictures in an engine's large
    batch may take longer than one after the other."""
    if len(frames) < 2:
        return len(frames)
    return max(range(1, len(frames) + 1), key=lambda count: (count / max(1, latency_ns(frames[:count])), count))


class Scheduler(Generic[F]):
    """Holds at most one waiting frame per stream. Not thread-safe: its owner has the lock."""

    def __init__(self, latency_ns: Callable[[Sequence[F]], int] = lambda frames: 0, most: int = 1) -> None:
        self._latency_ns, self.most = latency_ns, most
        self._waiting: dict[int, Waiting[F]] = {}
        self._served_ns: dict[int, int] = {}
        self._busy: set[int] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def offer(self, stream: int, frame: F, deadline_ns: int) -> F | None:
        """Let `frame` wait; return the older frame of the stream that it pushes out, if one was waiting."""
        replaced = self._waiting.pop(stream, None)
        self._waiting[stream] = Waiting(stream, deadline_ns, frame)
        return replaced.frame if replaced is not None else None

    def pick(self, now_ns: int) -> Choice[F]:
        """Take the frames to be served now; their streams are busy until `done`. What is hopeless waits no longer."""
        free = [waiting for stream, waiting in self._waiting.items() if stream not in self._busy]
        choice = choose(free, now_ns, self._latency_ns, self._served_ns, self.most)
        for waiting in choice.batch:
            self._served_ns[waiting.stream] = now_ns
            self._busy.add(waiting.stream)
        for waiting in (*choice.batch, *choice.hopeless):
            del self._waiting[waiting.stream]
        return choice

    def done(self, stream: int) -> None:
        self._busy.discard(stream)

    def forget(self, stream: int) -> F | None:
        """Drop all that is known of a stream that has ended; return its waiting frame."""
        self._served_ns.pop(stream, None)
        self._busy.discard(stream)
        waiting = self._waiting.pop(stream, None)
        return waiting.frame if waiting is not None else None
