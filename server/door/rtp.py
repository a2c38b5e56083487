"""Everything private to aiortc and aioice that Fancam uses.

`check()` is called when the door starts and fails there when a name has gone; tests/server/door/test_rtp.py holds what each
does. Why each is needed: aiortc's video jitter buffer waits for the next frame and falls silent for seconds after a loss; its
senders encode for each viewer; it has no transport-wide feedback and no playout-delay extension; and aioice takes any port and
tells its own addresses only. What is wrong in either is mended in `server.door.mends`.
"""

from __future__ import annotations

import asyncio
import functools
import struct
import time
from collections.abc import Callable
from typing import Any, Final

import aiortc.codecs
import aiortc.rtcsctptransport
import aiortc.rtp
from aioice import ice
from aioice.candidate import candidate_foundation, candidate_priority
from aiortc import (
    RTCCertificate,
    RTCDtlsTransport,
    RTCIceGatherer,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCRtpSender,
    RTCSctpTransport,
    clock,
    rtcrtpsender,
)
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder
from aiortc.rate import AimdRateControl
from aiortc.rtcrtpparameters import RTCRtcpFeedback, RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import HeaderExtensions, HeaderExtensionsMap, RtcpSrPacket, RtpPacket, unpack_header_extensions

from server.door import mends
from server.door.feedback import Feedback
from server.door.network import Network

PLAYOUT_DELAY: Final = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
TRANSPORT_CC: Final = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
MID: Final = "urn:ietf:params:rtp-hdrext:sdes:mid"
ABS_CAPTURE_TIME: Final = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"
ABS_SEND_TIME: Final = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
FEEDBACK_S: Final = 0.05
HISTORY_PACKETS: Final = 1024
"""Kept for each viewer to send again. Of aiortc's 128 one is gone after half a second, and Chromium then stands still for 3 s."""
NTP_EPOCH_S: Final = 2_208_988_800
VIDEO_CLOCK_HZ: Final = 90_000

USED: Final[dict[Any, tuple[str, ...]]] = {
    RTCRtpReceiver: ("_handle_rtp_packet", "_handle_rtcp_packet", "_send_rtcp", "_send_rtcp_nack", "_send_rtcp_pli"),
    RTCRtpSender: ("_send_keyframe", "_send_rtcp", "_next_encoded_frame", "_handle_rtcp_packet", "_retransmit"),
    RTCCertificate: ("_create_ssl_context",),
    RTCDtlsTransport: ("_handle_rtp_data", "_handle_rtcp_data"),
    RTCSctpTransport: ("_handle_data",),
    aiortc.rtcsctptransport: ("decode_params",),
    rtcrtpsender: ("RTP_HISTORY_SIZE",),
    clock: ("current_ntp_time",),
    AimdRateControl: ("update",),
    ice: ("get_host_addresses", "StunProtocol"),
    ice.Connection: ("get_component_candidates", "check_incoming"),
    H264Encoder: ("_packetize", "_split_bitstream"),
    Vp8Encoder: ("_packetize",),
}
INSTANCE: Final[dict[Any, tuple[str, ...]]] = {
    RTCRtpReceiver: tuple(f"_RTCRtpReceiver__{name}" for name in ("jitter_buffer", "codecs", "rtx_ssrc")),
    RTCRtpSender: tuple(
        f"_RTCRtpSender__{name}"
        for name in ("encoder", "rtp_header_extensions_map", "rtp_timestamp", "rtp_history", "lsr", "lsr_time")
    ),
    RTCIceGatherer: ("_connection",),
    RTCDtlsTransport: ("HeaderExtensionsMap",),
    ice.Connection: ("_protocols",),
}
"""What instances have from their `__init__` on."""


class Changed(Exception):
    """aiortc is not the one that was read; the text names what is missing."""


def check() -> None:
    """
    Raises:
        Changed: a private name is gone.
    """
    for owner, names in USED.items():
        for name in names:
            if not hasattr(owner, name):
                raise _changed(owner, name)
    for owner, names in INSTANCE.items():
        for name in names:
            if name not in owner.__init__.__code__.co_names:
                raise _changed(owner, name)


def _changed(owner: Any, name: str) -> Changed:
    return Changed(f"{owner.__name__}.{name} is gone: this aiortc or aioice is not one Fancam was tested with")


def prepare() -> None:
    """Teach aiortc, once a process: header extensions, transport-wide feedback, a longer memory, and what `mends` has."""
    check()
    extensions = aiortc.codecs.HEADER_EXTENSIONS["video"]
    for ident, uri in ((4, TRANSPORT_CC), (5, PLAYOUT_DELAY), (6, ABS_CAPTURE_TIME)):
        if all(extension.uri != uri for extension in extensions):
            extensions.append(RTCRtpHeaderExtensionParameters(id=ident, uri=uri))
    aiortc.rtp.HeaderExtensionsMap = _IncomingExtensions  # type: ignore[misc]
    rtcrtpsender.RTP_HISTORY_SIZE = HISTORY_PACKETS
    feedback = RTCRtcpFeedback(type="transport-cc")
    for codec in aiortc.codecs.CODECS["video"]:
        if codec.name != "rtx" and feedback not in codec.rtcpFeedback:
            codec.rtcpFeedback.append(feedback)
    mends.apply()


def own_addresses() -> list[str]:
    """This machine's addresses, loopback first: each gets a socket of a session. Call `prepare` before."""
    return ice.get_host_addresses(use_ipv4=True, use_ipv6=True)


def gather_from(pc: RTCPeerConnection, network: Network) -> None:
    """Let a connection that has its remote description take its sockets from `network`, whose NoPort then comes out of
    `setLocalDescription`. There are host candidates only: no STUN server is asked."""
    transports = {transceiver.receiver.transport for transceiver in pc.getTransceivers()}
    if pc.sctp is not None:
        transports.add(pc.sctp.transport)
    for transport in transports:
        connection = transport.transport.iceGatherer._connection
        connection.get_component_candidates = functools.partial(_host_candidates, connection, network)  # type: ignore[method-assign]


async def _host_candidates(
    connection: ice.Connection, network: Network, component: int, addresses: list[str], timeout: int = 5
) -> list[ice.Candidate]:
    """Stands where aioice binds its sockets; the candidates are what the answer tells."""

    def candidate(host: str, port: int) -> ice.Candidate:
        foundation, priority = candidate_foundation("host", "udp", host), candidate_priority(component, "host")
        return ice.Candidate(foundation, component, "udp", priority, host, port, "host")

    sockets = network.bind(addresses)
    told = [candidate(*address) for address in network.tell(sockets)]
    for sock in sockets:
        own = candidate(*sock.getsockname()[:2])
        _, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: ice.StunProtocol(connection), sock=sock
        )
        protocol.local_candidate = own
        connection._protocols.append(protocol)
    return told


def packetise(codec: str, data: bytes, picture_id: int) -> list[bytes]:
    """RTP payloads of an access unit: RFC 6184 (STAP-A, FU-A) or RFC 7741 with a 15-bit picture id."""
    if codec == "h264":
        # Between two start codes there may be nothing, which aiortc cannot take.
        return H264Encoder._packetize(nal for nal in H264Encoder._split_bitstream(data) if nal)
    return Vp8Encoder._packetize(data, picture_id & 0x7FFF)


# What comes in


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
                on_capture_time(packet.ssrc, _ns(captured), packet.timestamp, True)
            await handle_rtp(packet, arrival_time_ms=arrival_time_ms)

    async def rtcp(packet: Any) -> None:
        if isinstance(packet, RtcpSrPacket):
            sent = packet.sender_info
            on_capture_time(packet.ssrc, _ns(sent.ntp_timestamp), sent.rtp_timestamp, False)
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


class _IncomingExtensions(HeaderExtensionsMap):
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


def _ns(ntp_time: int) -> int:
    """NTP time of 64 bit, 32 of them below the second."""
    return ntp_time * 1_000_000_000 >> 32


def ntp_now_ns() -> int:
    """This machine's wall clock, in ns of the NTP era that SR packets count in."""
    return time.time_ns() + NTP_EPOCH_S * 1_000_000_000


# What goes out


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
        self.held_ns = 0
        """How long that one had been here."""

    def pack(self, item: Payloads) -> tuple[list[bytes], int]:
        self.last, self.held_ns = item.rtp_time, time.monotonic_ns() - item.arrival_ns
        return item.payloads, item.rtp_time & 0xFFFFFFFF

    @property
    def target_bitrate(self) -> int:
        return 0

    @target_bitrate.setter
    def target_bitrate(self, bit_rate: int) -> None:
        self._on_remb(bit_rate)


def pack_with(sender: RTCRtpSender, packer: Packer) -> None:
    sender._RTCRtpSender__encoder = packer  # type: ignore[attr-defined]


def report_arrivals(sender: RTCRtpSender, packer: Packer) -> None:
    """Let the reports about a video tell when its frames arrived. aiortc tells when they were sent, and so each viewer would
    play the sound, which nothing holds up, ahead of the picture by what the studio took."""
    send = sender._send_rtcp

    async def with_arrival(packets: list[Any]) -> None:
        for packet in packets:
            if isinstance(packet, RtcpSrPacket):
                ticks = packer.held_ns * VIDEO_CLOCK_HZ // 1_000_000_000
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


def closed(peer: RTCPeerConnection) -> bool:
    return peer.connectionState in ("failed", "closed")


async def close(pc: RTCPeerConnection) -> None:
    """Close a connection, and what aiortc leaves open when it was described only in part, where its own closing raises."""
    try:
        await pc.close()
    except AttributeError:
        transports = {transceiver.receiver.transport for transceiver in pc.getTransceivers()}
        for transport in transports | ({pc.sctp.transport} if pc.sctp else set()):
            if transport is not None:
                await transport.stop()
                await transport.transport.stop()
