"""What goes out, of aiortc's senders: encoded frames passed through, and what viewers ask and report.

aiortc encodes for each viewer, and has no playout-delay extension. Private names are touched here; `server.door.rtp` checks them.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from typing import Any, Final

from aiortc import RTCRtpSender
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder
from aiortc.rtcrtpparameters import RTCRtpParameters
from aiortc.rtp import HeaderExtensions, HeaderExtensionsMap, RtcpSrPacket

from server.door.receivers import ntp_now_ns, ntp_ns

PLAYOUT_DELAY: Final = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
MID: Final = "urn:ietf:params:rtp-hdrext:sdes:mid"
ABS_SEND_TIME: Final = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
HISTORY_PACKETS: Final = 1024
"""Kept for each viewer to send again. Of aiortc's 128 one is gone after half a second, and Chromium then stands still for 3 s."""


def packetise(codec: str, data: bytes, picture_id: int) -> list[bytes]:
    """RTP payloads of an access unit: RFC 6184 (STAP-A, FU-A) or RFC 7741 with a 15-bit picture id."""
    if codec == "h264":
        # Between two start codes there may be nothing, which aiortc cannot take.
        return H264Encoder._packetize(nal for nal in H264Encoder._split_bitstream(data) if nal)
    return Vp8Encoder._packetize(data, picture_id & 0x7FFF)


class Payloads:
    """One access unit, packetised once for all who watch it; goes through a sender untouched."""

    __slots__ = ("arrival_ns", "key", "payloads", "rtp_time", "size")

    def __init__(self, payloads: list[bytes], rtp_time: int, key: bool, arrival_ns: int) -> None:
        self.payloads, self.rtp_time, self.key, self.arrival_ns = payloads, rtp_time, key, arrival_ns
        self.size = sum(map(len, payloads))


class Packer:
    """Stands where a sender has its encoder; `on_remb` gets the viewer's estimates in bit/s."""

    def __init__(self, on_remb: Callable[[int], None]) -> None:
        self._on_remb = on_remb
        self.last: int | None = None
        """RTP time of the last unit handed out."""
        self.arrival_ns = 0
        """When that one arrived here."""

    def pack(self, item: Payloads) -> tuple[list[bytes], int]:
        self.last, self.arrival_ns = item.rtp_time, item.arrival_ns
        return item.payloads, item.rtp_time & 0xFFFFFFFF

    @property
    def target_bitrate(self) -> int:
        return 0

    @target_bitrate.setter
    def target_bitrate(self, bit_rate: int) -> None:
        self._on_remb(bit_rate)


def pack_with(sender: RTCRtpSender, packer: Packer) -> None:
    sender._RTCRtpSender__encoder = packer  # type: ignore[attr-defined]


def report_arrivals(sender: RTCRtpSender, packer: Packer, clock_hz: int) -> None:
    """Let reports tell when what is sent arrived. aiortc tells when it was sent, and so each viewer would play the sound, which
    nothing holds up, ahead of the picture by what the studio took."""
    send = sender._send_rtcp

    async def with_arrival(packets: list[Any]) -> None:
        for packet in packets:
            if isinstance(packet, RtcpSrPacket) and packer.last is not None:
                arrived_ntp_ns = ntp_now_ns() - (time.monotonic_ns() - packer.arrival_ns)
                ticks = (ntp_ns(packet.sender_info.ntp_timestamp) - arrived_ntp_ns) * clock_hz // 1_000_000_000
                packet.sender_info.rtp_timestamp = (packet.sender_info.rtp_timestamp + ticks) & 0xFFFFFFFF
        await send(packets)

    sender._send_rtcp = with_arrival  # type: ignore[method-assign]


def on_key_request(sender: RTCRtpSender, ask: Callable[[], None]) -> None:
    """Call `ask` at each PLI and FIR of the viewer."""
    sender._send_keyframe = ask  # type: ignore[method-assign]


def on_receiver_report(sender: RTCRtpSender, heard: Callable[[], None]) -> None:
    """Call `heard` at each RTCP packet of the other side about what we send."""
    handle = sender._handle_rtcp_packet

    async def rtcp(packet: Any) -> None:
        heard()
        await handle(packet)

    sender._handle_rtcp_packet = rtcp  # type: ignore[method-assign]


def on_path_report(sender: RTCRtpSender, told: Callable[[int, int, float], None]) -> None:
    """Call `told` at each report of the viewer on what we send: packets lost so far, the highest sequence number, extended, and
    the round trip in seconds, 0 while it is not known (RFC 3550 §6.4.1). aiortc's own round trip is smoothed."""
    handle = sender._handle_rtcp_packet

    async def rtcp(packet: Any) -> None:
        await handle(packet)
        for report in getattr(packet, "reports", ()):
            if report.ssrc == sender._ssrc:
                told(report.packets_lost, report.highest_sequence, _round_trip_s(sender, report))

    sender._handle_rtcp_packet = rtcp  # type: ignore[method-assign]


def _round_trip_s(sender: Any, report: Any) -> float:
    sent_s = sender._RTCRtpSender__lsr_time
    if not report.dlsr or sender._RTCRtpSender__lsr != report.lsr or sent_s is None:
        return 0.0
    return max(0.0, float(time.time() - sent_s - report.dlsr / 65536))


def limit_resends(sender: RTCRtpSender, may: Callable[[int, int], bool]) -> None:
    """Send packets again that are asked for when `may` says so, told a packet's sequence number and its bytes."""
    resend = sender._retransmit

    async def retransmit(sequence_number: int) -> None:
        packet = sender._RTCRtpSender__rtp_history.get(sequence_number % HISTORY_PACKETS)  # type: ignore[attr-defined]
        known = packet is not None and packet.sequence_number == sequence_number
        if known and may(sequence_number, len(packet.payload)):
            await resend(sequence_number)

    sender._retransmit = retransmit  # type: ignore[method-assign]


def set_playout_delay(sender: RTCRtpSender, min_ms: int, max_ms: int) -> None:
    """Tell the viewer's jitter buffer with each packet how long to hold frames, where the extension was negotiated."""
    sender._RTCRtpSender__rtp_header_extensions_map = _VideoExtensions(min_ms, max_ms)  # type: ignore[attr-defined]


def rtp_origin(sender: RTCRtpSender, last_packed: int) -> int:
    """What this viewer's RTP times are ahead of the feed's, after `last_packed` has been sent; 32 bit."""
    return (sender._RTCRtpSender__rtp_timestamp - last_packed) & 0xFFFFFFFF  # type: ignore[attr-defined]


class _VideoExtensions(HeaderExtensionsMap):
    """One-byte header extensions (RFC 8285 §4.2) of video packets: mid, playout delay, absolute send time."""

    def __init__(self, min_ms: int, max_ms: int) -> None:
        super().__init__()
        self._delay = (min_ms // 10 << 12 | max_ms // 10).to_bytes(3, "big")
        self._ids: dict[str, int] = {}
        self._fit = True
        self._mid: str | None = None
        self._constant = b""

    def configure(self, parameters: RTCRtpParameters) -> None:
        super().configure(parameters)
        self._ids |= {extension.uri: extension.id for extension in parameters.headerExtensions}
        self._fit = all(ident <= 14 for ident in self._ids.values())

    def set(self, values: HeaderExtensions) -> tuple[int, bytes]:
        if not self._fit:
            return super().set(values)
        if values.mid != self._mid:
            self._mid = values.mid
            self._constant = self._one_byte(MID, values.mid.encode()) + self._one_byte(PLAYOUT_DELAY, self._delay)
        data = self._constant
        if values.abs_send_time is not None:
            data += self._one_byte(ABS_SEND_TIME, struct.pack("!L", values.abs_send_time)[1:])
        return (0xBEDE, data + bytes(-len(data) % 4)) if data else (0, b"")

    def _one_byte(self, uri: str, value: bytes) -> bytes:
        ident = self._ids.get(uri)
        return bytes([ident << 4 | len(value) - 1]) + value if ident else b""
