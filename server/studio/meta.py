"""What a viewer's data channel and the list of streams are told of a frame: boxes, ids, times; never names or landmarks.

Members are told by their numbers, and only to the door, which knows who may know their names.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from engines.frame import Ledger, Tracks
from engines.track.naming import Names
from server.link import json_body

MAX_META_BYTES: Final = 1099


def frame_meta(rtp_time: int, width: int, height: int, tracks: Tracks, ledger: Ledger) -> bytes:
    """The META body of one frame: `{"t", "w", "h", "b": [[id, x0, y0, x1, y1, score, measured], …], "l": {stage: ms}}`.

    `t` is the RTP time of the feed, scores are per cent. The largest boxes come first; those that would bring it
    over 1,099 bytes (a data-channel message of one chunk) are cut and counted in `more`.
    """
    rows = _rows(tracks)
    meta: dict[str, Any] = {"t": rtp_time, "w": width, "h": height, "b": rows}
    meta["l"] = {stage: round(ms, 1) for stage, ms in ledger.stages_ms().items()}
    body = json_body(meta)
    more = 0
    while len(body) > MAX_META_BYTES:
        over = len(body) - MAX_META_BYTES
        cut = min(len(rows), over // 36 + 1)  # rows are up to about 36 bytes long
        del rows[len(rows) - cut :]
        more += cut
        meta["more"] = more
        body = json_body(meta)
    return body


def _rows(tracks: Tracks) -> list[list[int]]:
    chosen = np.flatnonzero(tracks.confirmed)
    boxes = tracks.boxes[chosen]
    sizes = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    chosen = chosen[np.argsort(-sizes, kind="stable")]
    table = np.column_stack(
        [
            tracks.ids[chosen],
            tracks.boxes[chosen].round(),
            (tracks.scores[chosen] * 100).round(),
            tracks.measured[chosen],
        ]
    )
    rows: list[list[int]] = table.astype(np.int64).tolist()
    return rows


class TrackList:
    """The confirmed tracks of a stream as the TRACKS message tells them: when they change, at most 4 a second."""

    MIN_INTERVAL_NS: Final = 250_000_000
    REFRESH_NS: Final = 2_000_000_000

    def __init__(self) -> None:
        self._told: tuple[Any, ...] | None = None
        self._told_ns = 0
        self._since_ns: dict[int, int] = {}

    def update(
        self, width: int, height: int, tracks: Tracks, now_ns: int, names: Names | None = None
    ) -> dict[str, Any] | None:
        """The body to be sent now, or None. While tracks live it is sent every 2 s too, for their seconds.

        Where members are looked for, `members` has the state of each, and a track with a name its `member` (a number) and
        `state`.
        """
        ids = tuple(tracks.ids[tracks.confirmed].tolist())
        self._since_ns = {track: self._since_ns.get(track, now_ns) for track in ids}
        named = {}
        if names is not None:
            rows = np.flatnonzero(tracks.confirmed).tolist()
            named = {int(tracks.ids[row]): name for row in rows if (name := names.of(row))}
        states = names.states if names is not None else ()
        state = (width, height, ids, named, states)
        waited_ns = now_ns - self._told_ns
        due = waited_ns >= (self.REFRESH_NS if state == self._told else self.MIN_INTERVAL_NS) or self._told is None
        if not due or (state == self._told and not ids):
            return None
        self._told, self._told_ns = state, now_ns
        living: list[dict[str, Any]] = []
        for track, since in self._since_ns.items():
            living.append({"id": track, "seconds": round((now_ns - since) / 1e9, 1)})
            if track in named:
                living[-1]["member"], living[-1]["state"] = named[track]
        told = {"width": width, "height": height, "tracks": living}
        return told | {"members": states} if states else told
