"""The scheduler's choice as the yardstick's simulation calls it: `sched.py --policy tests/server/studio/yardstick.py:studio`."""

from __future__ import annotations

from server.studio.scheduler import Waiting, choose


def studio(queue, now, cost, served, limit):
    """`queue`: (arrival, stream, number, deadline) in order of arrival, ms; returns the batch and what is dropped."""
    newest = {frame[1]: frame for frame in queue}
    older = [frame for frame in queue if newest[frame[1]] is not frame]
    waiting = [Waiting(frame[1], round(frame[3] * 1e6), frame) for frame in newest.values()]
    served_ns = {stream: round(at * 1e6) for stream, at in enumerate(served)}
    choice = choose(waiting, round(now * 1e6), lambda frames: round(cost(len(frames)) * 1e6), served_ns, most=100)
    return [w.frame for w in choice.batch], older + [w.frame for w in choice.hopeless]
