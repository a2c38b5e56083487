"""What comes in, of aiortc's receivers: packets taken before anything is decoded or waits, and what is asked of the sender.

aiortc's video jitter buffer waits for the next frame and falls silent for seconds after a loss, and it has no transport-wide
feedback. Private names are touched here; `server.door.rtp` checks them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from aiortc import RTCRtpReceiver
from aiortc.rtcrtpparameters import RTCRtpParameters
from aiortc.rtp import HeaderExtensions, HeaderExtensionsMap, RtcpSrPacket, RtpPacket, unpack_header_extensions

from server.door.feedback import Feedback
from server.door.mends import NTP_EPOCH_S

ABS_CAPTURE_TIME: Final = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"
FEEDBACK_S: Final = 0.05


def tap_video(
    receiver: RTCRtpReceiver,
    admit: Callable[[RtpPacket], bool],
    on_packet: Callable[[RtpPacket, bytes], None],
    on_capture_time: Callable[[int, int, int, bool], None],
    feedback: Feedback,
) -> None:
    """Hand each video packet (resends unwrapped) with its depayloaded data to `on_packet`, and never decode.

    `admit` sees each packet first, resends still wrapped; what it refuses goes no further.

    `on_capture_time` gets ssrc, NTP time in ns, RTP time (32 bit) and whether a header says so, or else a sender's report.
    `feedback` notes the transport-wide sequence numbers; from the first on, REMB is no longer sent.
    """
    receiver._RTCRtpReceiver__jitter_buffer = _Buffer(on_packet)  # type: ignore[attr-defined]
    handle_rtp, handle_rtcp = receiver._handle_rtp_packet, receiver._handle_rtcp_packet

    async def rtp(packet: RtpPacket, arrival_time_ms: int) -> None:
        number = packet.extensions.transport_sequence_number
        if number is not None:
            feedback.note(number, time.monotonic_ns(), packet.ssrc)
        if feedback.seen:
            packet.extensions.abs_send_time = None
        if admit(packet):
            captured = getattr(packet.extensions, "abs_capture_time", None)
            if captured is not None:
                on_capture_time(packet.ssrc, ntp_ns(captured), packet.timestamp, True)
            await handle_rtp(packet, arrival_time_ms=arrival_time_ms)

    async def rtcp(packet: Any) -> None:
        if isinstance(packet, RtcpSrPacket):
            sent = packet.sender_info
            on_capture_time(packet.ssrc, ntp_ns(sent.ntp_timestamp), sent.rtp_timestamp, False)
        await handle_rtcp(packet)

    receiver._handle_rtp_packet = rtp  # type: ignore[method-assign]
    receiver._handle_rtcp_packet = rtcp  # type: ignore[method-assign]


def tap_audio(
    receiver: RTCRtpReceiver, admit: Callable[[RtpPacket], bool], on_packet: Callable[[RtpPacket, bytes], None]
) -> None:
    """Hand each audio packet to `on_packet` undecoded; nothing collects in the track. `admit` as for video."""
    receiver._RTCRtpReceiver__jitter_buffer = _Buffer(on_packet)  # type: ignore[attr-defined]
    handle_rtp = receiver._handle_rtp_packet

    async def rtp(packet: RtpPacket, arrival_time_ms: int) -> None:
        if admit(packet):
            await handle_rtp(packet, arrival_time_ms=arrival_time_ms)

    receiver._handle_rtp_packet = rtp  # type: ignore[method-assign]


class _Buffer:
    """Stands where aiortc has its jitter buffer; what it returns keeps the decoder idle."""

    def __init__(self, on_packet: Callable[[RtpPacket, bytes], None]) -> None:
        self._on_packet = on_packet

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        self._on_packet(packet, packet._data)  # type: ignore[attr-defined]
        return False, None


def codec_of(receiver: RTCRtpReceiver, payload_type: int) -> str | None:
    """`h264`, `vp8`, `opus` …, or None for a payload type that was not negotiated."""
    codec = receiver._RTCRtpReceiver__codecs.get(payload_type)  # type: ignore[attr-defined]
    return codec.name.lower() if codec is not None else None


def is_resend(receiver: RTCRtpReceiver, ssrc: int) -> bool:
    return ssrc in receiver._RTCRtpReceiver__rtx_ssrc  # type: ignore[attr-defined]


async def send_pli(receiver: RTCRtpReceiver, ssrc: int) -> None:
    await receiver._send_rtcp_pli(ssrc)


async def send_nack(receiver: RTCRtpReceiver, ssrc: int, sequences: list[int]) -> None:
    await receiver._send_rtcp_nack(ssrc, sequences)


async def send_feedback(receiver: RTCRtpReceiver, feedback: Feedback) -> None:
    """Send what has been noted, every 50 ms, until cancelled."""
    while True:
        await asyncio.sleep(FEEDBACK_S)
        for packet in feedback.packets():
            await receiver._send_rtcp(packet)  # type: ignore[arg-type]


class IncomingExtensions(HeaderExtensionsMap):
    """Reads abs-capture-time too: 64 bit of NTP time, and perhaps an offset that is of no use here."""

    def __init__(self) -> None:
        super().__init__()
        self._capture: int | None = None

    def configure(self, parameters: RTCRtpParameters) -> None:
        super().configure(parameters)
        for extension in parameters.headerExtensions:
            if extension.uri == ABS_CAPTURE_TIME:
                self._capture = extension.id

    def get(self, extension_profile: int, extension_value: bytes) -> HeaderExtensions:
        values = super().get(extension_profile, extension_value)
        if self._capture is not None:
            for ident, value in unpack_header_extensions(extension_profile, extension_value):
                if ident == self._capture and len(value) >= 8:
                    values.abs_capture_time = int.from_bytes(value[:8], "big")  # type: ignore[attr-defined]
        return values


def ntp_ns(ntp_time: int) -> int:
    """NTP time of 64 bit, 32 of them below the second."""
    return ntp_time * 1_000_000_000 >> 32


def ntp_now_ns() -> int:
    """This machine's wall clock, in ns of the NTP era that SR packets count in."""
    return time.time_ns() + NTP_EPOCH_S * 1_000_000_000
