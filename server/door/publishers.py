"""Peer connections whose video comes in: whole access units, at once and undecoded, and what a publisher may not send."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from aiortc import RTCIceServer, RTCRtpReceiver, RTCRtpTransceiver
from aiortc.rtp import RtpPacket

from engines.bitstream import MAX_PIXELS, Refusable, picture_size
from server.door import receivers
from server.door.broadcast import AccessUnit
from server.door.capture import CaptureClock
from server.door.feedback import Feedback
from server.door.network import Network
from server.door.offer import CODECS, read
from server.door.peers import ANY_NETWORK, Peer, capabilities
from server.door.rate import Rate
from server.door.tap import Outcome, Tap, Unit, Unwrapper

logger = logging.getLogger(__name__)

TICK_S: Final = 0.015
MOST_REFUSED: Final = 3
MAX_FOREIGN_SSRCS: Final = 4
MOST_SECONDS_OVER: Final = 3


class Publisher(Peer):
    """A connection whose video comes in: whole access units to `on_unit`, at once and undecoded."""

    def __init__(
        self,
        on_unit: Callable[[AccessUnit], None],
        on_gap: Callable[[], None],
        on_audio: Callable[[bytes, int], None],
        on_closed: Callable[[], None],
        ice_servers: Sequence[RTCIceServer] = (),
    ) -> None:
        super().__init__(on_closed, ice_servers)
        self.codec = ""
        self.last_packet_ns = 0
        self.counts: Counter[str] = Counter()
        self._on_unit, self._on_gap, self._on_audio = on_unit, on_gap, on_audio
        self._receiver: RTCRtpReceiver | None = None
        self._tap: Tap | None = None
        self._ssrc: int | None = None
        self._audio_ssrc: int | None = None
        self._audio_time = Unwrapper(32)
        self._capture = CaptureClock()
        self._refused = 0
        self._foreign: set[int] = set()
        self._rate = Rate()
        self._abandoned = False
        self._feedback = Feedback()

    def request_key(self) -> None:
        """Ask for a key frame, at most five times a second."""
        if self._tap is not None and self._ssrc is not None and self._tap.want_key(time.monotonic_ns()):
            self._send_pli()

    def stats(self) -> dict[str, int]:
        """Counts since the start: packets, foreign_packets, packets_over_rate, lost_frames, plis, nacks, refused_frames."""
        return {**self.counts, "lost_frames": self._tap.lost_frames if self._tap else 0}

    def listen(self, video: RTCRtpTransceiver, audio: RTCRtpTransceiver | None) -> None:
        """Put the taps in, before any packet can have come."""
        self._receiver = video.receiver
        receivers.tap_video(video.receiver, self._admit_video, self._video_packet, self._capture_time, self._feedback)
        self._loops.append(asyncio.ensure_future(receivers.send_feedback(video.receiver, self._feedback)))
        self._loops.append(asyncio.ensure_future(self._tick()))
        if audio is not None:
            receivers.tap_audio(audio.receiver, self._admit_audio, self._audio_packet)

    def _admit_video(self, packet: RtpPacket) -> bool:
        """Whether aiortc may see a packet at all: it keeps an account of each SSRC, without bound."""
        assert self._receiver is not None
        if not self._admit(packet):
            return False
        codec = receivers.codec_of(self._receiver, packet.payload_type)
        if self._ssrc is None and codec in CODECS:
            self._ssrc, self.codec, self._tap = packet.ssrc, codec, Tap(codec)
        if codec == "rtx":
            known = receivers.is_resend(self._receiver, packet.ssrc)
        else:
            known = packet.ssrc == self._ssrc and codec == self.codec
        return known or self._is_foreign(packet)

    def _admit_audio(self, packet: RtpPacket) -> bool:
        if not self._admit(packet):
            return False
        if self._audio_ssrc is None:
            self._audio_ssrc = packet.ssrc
        return packet.ssrc == self._audio_ssrc or self._is_foreign(packet)

    def _admit(self, packet: RtpPacket) -> bool:
        if self._rate.allows(len(packet.payload), time.monotonic_ns()):
            return True
        self.counts["packets_over_rate"] += 1
        if self._rate.over_s >= MOST_SECONDS_OVER:
            self._abandon("more packets or bytes a second than a publisher may send")
        return False

    def _is_foreign(self, packet: RtpPacket) -> bool:
        """Count a packet of an SSRC that is not ours; False, as what `admit` returns."""
        self.counts["foreign_packets"] += 1
        self._foreign.add(packet.ssrc)
        if len(self._foreign) > MAX_FOREIGN_SSRCS:
            self._abandon(f"more than {MAX_FOREIGN_SSRCS} SSRCs beside the ones in use")
        return False

    def _abandon(self, reason: str) -> None:
        if not self._abandoned:
            self._abandoned = True
            logger.warning("a publisher is closed: %s", reason)
            self._spawn(self.close())

    def _video_packet(self, packet: RtpPacket, data: bytes) -> None:
        now_ns = time.monotonic_ns()
        assert self._tap is not None
        self.counts["packets"] += 1
        self.last_packet_ns = now_ns
        self._act(
            self._tap.add(packet.sequence_number, packet.timestamp, bool(packet.marker), packet.payload, data, now_ns)
        )

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            if self._tap is not None:
                self._act(self._tap.tick(time.monotonic_ns()))

    def _act(self, outcome: Outcome) -> None:
        if outcome.gap:
            self._on_gap()
        for unit in outcome.units:
            self._pass(unit)
        if outcome.asked:
            self.counts["nacks"] += 1
            assert self._receiver is not None
            assert self._ssrc is not None
            self._spawn(receivers.send_nack(self._receiver, self._ssrc, outcome.asked))
        if outcome.key_wanted:
            self._send_pli()

    def _pass(self, unit: Unit) -> None:
        if unit.key and not self._is_taken(unit):
            return
        came_ntp_ns = receivers.ntp_now_ns() - (time.monotonic_ns() - unit.arrival_ns)
        captured_ns = self._capture.captured_ns(unit.rtp_time, unit.arrival_ns, came_ntp_ns)
        self._on_unit(AccessUnit(unit.data, unit.rtp_time, unit.key, unit.arrival_ns, captured_ns))

    def _is_taken(self, unit: Unit) -> bool:
        try:
            size = picture_size(self.codec, unit.data)
            if size is None or size[0] * size[1] <= MAX_PIXELS:
                self._refused = 0
                return True
            reason = f"{size[0]}x{size[1]} is more than 1920x1088"
        except Refusable as error:
            reason = str(error)
        assert self._tap is not None
        self._tap.reject()
        self.counts["refused_frames"] += 1
        self._refused += 1
        logger.warning("a publisher's key frame is refused: %s", reason)
        if self._refused >= MOST_REFUSED:
            self._abandon(reason)
        else:
            self._on_gap()
            self.request_key()
        return False

    def _capture_time(self, ssrc: int, ntp_ns: int, rtp_time: int, by_header: bool) -> None:
        if ssrc == self._ssrc:
            self._capture.say(ntp_ns, rtp_time, by_header=by_header)

    def _audio_packet(self, packet: RtpPacket, data: bytes) -> None:
        if data:
            self._on_audio(data, self._audio_time(packet.timestamp))

    def _send_pli(self) -> None:
        if self._receiver is not None and self._ssrc is not None:
            self.counts["plis"] += 1
            self._spawn(receivers.send_pli(self._receiver, self._ssrc))


async def answer_publisher(
    offer: str,
    *,
    on_unit: Callable[[AccessUnit], None],
    on_gap: Callable[[], None],
    on_audio: Callable[[bytes, int], None],
    on_closed: Callable[[], None],
    network: Network = ANY_NETWORK,
) -> Publisher:
    """Answer a WHIP offer. `on_gap`: frames were lost, a key frame comes next; `on_audio`: Opus payload and its RTP time
    (48 kHz, unwrapped); `on_closed` is called once, however it ends.

    Raises:
        OfferError: 400, 422, or 503 when no UDP port is free.
    """
    parsed = read(offer, any_profile=True)
    publisher = Publisher(on_unit, on_gap, on_audio, on_closed)
    publisher.codec = next(codec for codec in CODECS if codec in parsed.video)
    try:
        video = publisher.pc.addTransceiver("video", direction="recvonly")
        video.setCodecPreferences(capabilities("video", [codec for codec in CODECS if codec in parsed.video]))
        audio = None
        if parsed.has_audio:
            audio = publisher.pc.addTransceiver("audio", direction="recvonly")
            audio.setCodecPreferences(capabilities("audio", ["opus"]))
        await publisher.describe(parsed)
        publisher.listen(video, audio)
        await publisher.answer(network)
    except BaseException:
        await publisher.close()
        raise
    return publisher
