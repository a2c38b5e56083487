"""What viewers who ask are told of each frame, on their data channel: boxes, numbers of tracks, and the frame's ledger."""

from __future__ import annotations

from typing import Final

from server.door.latency import DELAYED
from server.door.streams import Stream
from server.link import Message, json_body

TOLD: Final = ("w", "h", "b", "more")
"""Nothing else of what the studio says reaches a viewer: no names, landmarks or embeddings."""


def tell_viewers(stream: Stream, message: Message, now_ns: int) -> None:
    """Pass one META message on, with the RTP time that the frame has in each viewer's feed, and keep its ledger."""
    if stream.panic:
        return
    meta = message.json()
    rtp_time, captured_ns = stream.recent.get(message.arrival_ns, (None, 0))
    ledger = complete(stream, meta["t"], meta["l"], captured_ns, message.arrival_ns)
    stream.latency.add_frame(ledger, now_ns)
    texts: dict[int, str] = {}
    for watcher in stream.watchers:
        at_source = rtp_time if watcher.feed.relay else meta["t"]
        if watcher.peer is None or at_source is None:
            continue
        placed = at_source + watcher.feed.clock.offset
        if placed not in texts:
            told = {key: meta[key] for key in TOLD if key in meta}
            texts[placed] = json_body({"t": placed, **told, "l": ledger}).decode()
        watcher.peer.send_metadata(texts[placed])


def complete(
    stream: Stream, rtp_time: int, stages: dict[str, float], captured_ns: int, arrival_ns: int
) -> dict[str, float]:
    """The studio's ledger with what the door knows: capture to arrival, and the way back until the frame was sent.

    `arrived` is an estimate: where the publisher's clock does not agree with ours, it is only what the frame took longer than
    the fastest one of late (see `server.door.capture`).
    """
    ledger = dict(stages)
    within = sum(ledger.values()) - ledger.get("sent", 0.0)
    for feed in stream.feeds.values():
        if not feed.relay and feed.last_delay[0] == rtp_time:
            ledger["sent"] = round(max(0.0, feed.last_delay[1] - within), 1)
            break
    if stream.source is not None and stream.source.held is not None:
        ledger = {DELAYED: stream.source.held.delay_ns / 1e6, **ledger}
    if captured_ns:
        ledger = {"arrived": round((arrival_ns - captured_ns) / 1e6, 1), **ledger}
    return ledger
