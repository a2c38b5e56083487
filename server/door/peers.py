"""Peer connections: answers to publishers and viewers, and what flows through them."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCRtpSender,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.rtp import RtpPacket

from engines.bitstream import Refusable, picture_size
from server.door import rtp
from server.door.broadcast import AccessUnit, AudioBroadcast, AudioTrack, Broadcast, FeedTrack
from server.door.capture import CaptureClock
from server.door.feedback import Feedback
from server.door.network import Network, NoPort
from server.door.offer import MAX_CANDIDATES, Offer, OfferError, read, read_fragment
from server.door.rate import Rate
from server.door.tap import Outcome, Tap, Unit, Unwrapper

__all__ = [
    "AccessUnit",
    "AudioBroadcast",
    "Broadcast",
    "OfferError",
    "Publisher",
    "Viewer",
    "answer_publisher",
    "answer_viewer",
]

logger = logging.getLogger(__name__)

PREFERRED: Final = ("h264", "vp8")
TICK_S: Final = 0.015
MAX_PIXELS: Final = 1920 * 1088
MOST_REFUSED: Final = 3
MAX_FOREIGN_SSRCS: Final = 4
MOST_SECONDS_OVER: Final = 3
MAX_BUFFERED_BYTES: Final = 16 << 10
CHANNEL: Final = "fancam"
PLAYOUT_MS: Final = (0, 100)
ANY_NETWORK: Final = Network()


class Peer:
    """What publishers and viewers have in common: one peer connection that answers once and closes once."""

    def __init__(self, on_closed: Callable[[], None], ice_servers: Sequence[RTCIceServer] = ()) -> None:
        # Without servers aiortc asks no public STUN server; our host candidates are all in the answer.
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=list(ice_servers)))
        self.answer_sdp = ""
        self._on_closed: Callable[[], None] | None = on_closed
        self._offer: Offer | None = None
        self._candidates = 0
        self._loops: list[asyncio.Task[None]] = []
        self._work: set[asyncio.Future[None]] = set()
        self.pc.on("connectionstatechange", self._state_changed)

    @property
    def connected(self) -> bool:
        return self.pc.connectionState == "connected"

    async def add_candidate(self, fragment: str) -> None:
        """Take a trickled fragment (RFC 8840). Candidates are counted and not used: see `server.door.offer.Offer`.

        Raises:
            OfferError: 400 no fragment; 422 a restart of ICE, or too many candidates in this session.
        """
        self._candidates += read_fragment(fragment, self._offer.ufrags if self._offer else frozenset())
        if self._candidates > MAX_CANDIDATES:
            raise OfferError(422, f"at most {MAX_CANDIDATES} candidates a session")

    async def close(self) -> None:
        """End it; `on_closed` has been called when this returns."""
        await rtp.close(self.pc)
        self._closed()

    async def _describe(self, offer: Offer) -> None:
        self._offer = offer
        try:
            await self.pc.setRemoteDescription(RTCSessionDescription(offer.sdp, "offer"))
        except Exception as error:  # aiortc raises nearly anything at what it cannot parse
            await rtp.close(self.pc)
            raise OfferError(
                400, f"the offer cannot be understood: {str(error)[:200] or type(error).__name__}"
            ) from error

    async def _answer(self, network: Network) -> None:
        rtp.gather_from(self.pc, network)
        await self.pc.setLocalDescription(await self.pc.createAnswer())
        answer = str(self.pc.localDescription.sdp)
        self.answer_sdp = self._offer.restore(answer) if self._offer else answer

    def _state_changed(self) -> None:
        if rtp.closed(self.pc):
            self._closed()
            if self.pc.connectionState == "failed":
                self._spawn(rtp.close(self.pc))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something to its end in the background; closing does not cancel it, since it may be the closing."""
        task = asyncio.ensure_future(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    def _closed(self) -> None:
        for loop in self._loops:
            loop.cancel()
        on_closed, self._on_closed = self._on_closed, None
        if on_closed is not None:
            on_closed()


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
        rtp.tap_video(video.receiver, self._admit_video, self._video_packet, self._capture_time, self._feedback)
        self._loops.append(asyncio.ensure_future(rtp.send_feedback(video.receiver, self._feedback)))
        self._loops.append(asyncio.ensure_future(self._tick()))
        if audio is not None:
            rtp.tap_audio(audio.receiver, self._admit_audio, self._audio_packet)

    def _admit_video(self, packet: RtpPacket) -> bool:
        """Whether aiortc may see a packet at all: it keeps an account of each SSRC, without bound."""
        assert self._receiver is not None
        if not self._admit(packet):
            return False
        codec = rtp.codec_of(self._receiver, packet.payload_type)
        if self._ssrc is None and codec in PREFERRED:
            self._ssrc, self.codec, self._tap = packet.ssrc, codec, Tap(codec)
        if codec == "rtx":
            known = rtp.is_resend(self._receiver, packet.ssrc)
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
            self._spawn(rtp.send_nack(self._receiver, self._ssrc, outcome.asked))
        if outcome.key_wanted:
            self._send_pli()

    def _pass(self, unit: Unit) -> None:
        if unit.key and not self._is_taken(unit):
            return
        came_ntp_ns = rtp.ntp_now_ns() - (time.monotonic_ns() - unit.arrival_ns)
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
            self._spawn(rtp.send_pli(self._receiver, self._ssrc))


class Viewer(Peer):
    """A connection whose video goes out."""

    def __init__(self, on_closed: Callable[[], None]) -> None:
        super().__init__(on_closed)
        self.origin: int | None = None
        """What this viewer's RTP times are ahead of the feed's, known once the first frame has been sent."""
        self._channel: RTCDataChannel | None = None
        self._tracks: list[FeedTrack | AudioTrack] = []
        self._sender: RTCRtpSender | None = None
        self._packer: rtp.Packer | None = None
        self.metadata_skipped = 0

    def show(self, sender: RTCRtpSender, track: FeedTrack, broadcast: Broadcast) -> None:
        self._sender, self._packer = sender, rtp.Packer(track.note_remb)
        self._tracks.append(track)
        rtp.pack_with(sender, self._packer)
        rtp.report_arrivals(sender, self._packer)
        rtp.on_path_report(sender, track.note_report)
        rtp.limit_resends(sender, track.may_resend)
        rtp.on_key_request(sender, track.ask_for_key)
        rtp.set_playout_delay(sender, *PLAYOUT_MS)

    def sound(self, sender: RTCRtpSender, track: AudioTrack) -> None:
        self._tracks.append(track)
        rtp.pack_with(sender, rtp.Packer(lambda bit_rate: None))

    def take_channel(self, channel: RTCDataChannel) -> None:
        if channel.label == CHANNEL:
            self._channel = channel

    def send_metadata(self, text: str) -> None:
        """Send one frame's JSON to a viewer that has opened the data channel; skipped while the channel lags behind."""
        channel = self._channel
        if channel is None or channel.readyState != "open":
            return
        if channel.bufferedAmount > MAX_BUFFERED_BYTES:
            self.metadata_skipped += 1
            return
        if self.origin is None:
            if self._sender is None or self._packer is None or self._packer.last is None:
                return
            self.origin = rtp.rtp_origin(self._sender, self._packer.last)
            channel.send(json.dumps({"type": "origin", "rtp": self.origin}))
        channel.send(text)

    def _closed(self) -> None:
        for track in self._tracks:
            track.stop()
        super()._closed()


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
    publisher.codec = next(codec for codec in PREFERRED if codec in parsed.video)
    video = publisher.pc.addTransceiver("video", direction="recvonly")
    video.setCodecPreferences(_capabilities("video", [codec for codec in PREFERRED if codec in parsed.video]))
    audio = None
    if parsed.has_audio:
        audio = publisher.pc.addTransceiver("audio", direction="recvonly")
        audio.setCodecPreferences(_capabilities("audio", ["opus"]))
    await publisher._describe(parsed)
    publisher.listen(video, audio)
    await _finish(publisher, network)
    return publisher


async def answer_viewer(
    offer: str,
    *,
    pick: Callable[[Sequence[str]], Broadcast],
    audio: AudioBroadcast | None,
    metadata: bool,
    on_closed: Callable[[], None],
    network: Network = ANY_NETWORK,
) -> Viewer:
    """Answer a WHEP offer. `pick` chooses the broadcast from the codecs that the viewer takes; its exceptions pass through.

    Raises:
        OfferError: 400, 422, or 503 when no UDP port is free.
    """
    parsed = read(offer)
    broadcast = pick(parsed.video)
    viewer = Viewer(on_closed)
    track = broadcast.attach()
    try:
        video = viewer.pc.addTransceiver(track, direction="sendonly")
        video.setCodecPreferences(_capabilities("video", [broadcast.codec]))
        if audio is not None and parsed.has_audio:
            heard = audio.attach()
            sound = viewer.pc.addTransceiver(heard, direction="sendonly")
            sound.setCodecPreferences(_capabilities("audio", ["opus"]))
            viewer.sound(sound.sender, heard)
        viewer.show(video.sender, track, broadcast)
        if metadata:
            viewer.pc.on("datachannel", viewer.take_channel)
        await viewer._describe(parsed)
        await _finish(viewer, network)
    except BaseException:
        track.stop()
        raise
    return viewer


async def _finish(peer: Peer, network: Network) -> None:
    """Answer, or close what cannot be answered."""
    wanted = [transceiver for transceiver in peer.pc.getTransceivers() if transceiver.kind == "video"]
    if any(not transceiver._codecs for transceiver in wanted):
        await rtp.close(peer.pc)
        raise OfferError(422, "no video codec in common")
    try:
        await peer._answer(network)
    except NoPort as error:
        await rtp.close(peer.pc)
        raise OfferError(503, str(error)) from error
    except Exception as error:  # aiortc raises nearly anything at a description that fits nowhere
        await rtp.close(peer.pc)
        raise OfferError(400, f"the offer cannot be answered: {str(error)[:200] or type(error).__name__}") from error


def _capabilities(kind: str, names: Sequence[str]) -> list[Any]:
    """aiortc's capabilities of these codecs, in this order, and resending for video."""
    known = RTCRtpSender.getCapabilities(kind).codecs
    wanted = [codec for name in names for codec in known if codec.mimeType.lower() == f"{kind}/{name}"]
    return wanted + [codec for codec in known if codec.mimeType.lower() == f"{kind}/rtx"]
