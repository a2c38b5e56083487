"""All that we use of aiortc and aioice beyond their documented interface, checked when this module is imported.

aiortc's receiver waits for the next frame before it hands one out, decodes everything, and stops for seconds after a loss; its
sender packs and encodes for each peer. Here are the few seams by which we take packets out of the one and put payloads into the
other. Each name has a test of its own; an aiortc in which one is missing is refused at start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Protocol

import aioice.ice
import aiortc.rtcrtpsender
import aiortc.rtp
from aiortc import RTCCertificate, RTCRtpReceiver, RTCRtpSender, RTCRtpTransceiver
from aiortc.rtcrtpparameters import RTCRtcpFeedback, RTCRtpHeaderExtensionParameters
from aiortc.rtp import HeaderExtensions, HeaderExtensionsMap, RtcpSrPacket, RtpPacket, pack_header_extensions

HISTORY_PACKETS: Final = 512
"""What a sender keeps for resends; aiortc's 128 are less than a large key frame. The payloads are shared by all viewers."""
RSA_SUITES: Final = b":ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES256-SHA"
PLAYOUT_DELAY_STEP_MS: Final = 10

METHODS: Final = {
    RTCRtpReceiver: ("_handle_rtp_packet", "_handle_rtcp_packet", "_send_rtcp", "_send_rtcp_nack", "_send_rtcp_pli"),
    RTCRtpSender: ("_send_keyframe", "_next_encoded_frame"),
    RTCCertificate: ("_create_ssl_context",),
    HeaderExtensionsMap: ("configure", "set"),
}
FIELDS: Final = {
    RTCRtpReceiver: (
        "_RTCRtpReceiver__jitter_buffer",
        "_RTCRtpReceiver__nack_generator",
        "_RTCRtpReceiver__rtx_ssrc",
        "_RTCRtpReceiver__rtcp_ssrc",
    ),
    RTCRtpSender: (
        "_RTCRtpSender__encoder",
        "_RTCRtpSender__rtp_header_extensions_map",
        "_RTCRtpSender__rtp_timestamp",
    ),
    RTCRtpTransceiver: ("_codecs", "_headerExtensions"),
}


class UnknownLibrary(RuntimeError):
    """This aiortc or aioice is not one that we know our way in."""


def check() -> None:
    """Look for every private name we use.

    Raises:
        UnknownLibrary: one is missing.
    """
    missing = [
        f"{owner.__name__}.{name}" for owner, names in METHODS.items() for name in names if not hasattr(owner, name)
    ]
    for owner, names in FIELDS.items():
        set_there = owner.__init__.__code__.co_names  # type: ignore[misc]
        missing += [f"{owner.__name__}.{name}" for name in names if name not in set_there]
    if not hasattr(aioice.ice, "get_host_addresses"):
        missing.append("aioice.ice.get_host_addresses")
    if not hasattr(aiortc.rtcrtpsender, "RTP_HISTORY_SIZE"):
        missing.append("aiortc.rtcrtpsender.RTP_HISTORY_SIZE")
    if missing:
        raise UnknownLibrary(f"aiortc {aiortc.__version__} lacks {', '.join(missing)}: install the version asked for")


# Addresses

_hosts: ContextVar[Sequence[str] | None] = ContextVar("hosts", default=None)
_all_host_addresses = aioice.ice.get_host_addresses


def _host_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
    chosen = _hosts.get()
    if chosen is None:
        return _all_host_addresses(use_ipv4=use_ipv4, use_ipv6=use_ipv6)
    return list(chosen)


@contextmanager
def host_addresses(hosts: Sequence[str] | None) -> Iterator[None]:
    """Within this block candidates are gathered on `hosts` alone; None: on all addresses but the loopback ones."""
    token = _hosts.set(hosts)
    try:
        yield
    finally:
        _hosts.reset(token)


# Receiving


class Intake(Protocol):
    """Takes a receiver's packets. The methods are called in this order for each packet."""

    def admit(self, packet: RtpPacket) -> bool:
        """Any packet of the track, resends still wrapped; False drops it."""

    def take(self, packet: RtpPacket) -> None:
        """A media packet, resends unwrapped; `payload_data` has what is in it."""

    async def flush(self) -> None:
        """Act on what was taken."""

    def report(self, ntp_time: int, rtp_time: int) -> None:
        """A sender report: NTP time (32.32 bits) of an RTP time."""


def payload_data(packet: RtpPacket) -> bytes:
    """H.264 with start codes, VP8 without its descriptor, Opus as it is; empty for padding."""
    data: bytes = packet._data  # type: ignore[attr-defined]
    return data


class _InsteadOfJitterBuffer:
    """Passes packets on at once; aiortc's decoder never gets any."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        self._intake.take(packet)
        return False, None


def tap(receiver: RTCRtpReceiver, intake: Intake) -> None:
    """Give all packets of a receiver to `intake` and none to its decoder; call it before the first can arrive."""
    receiver._RTCRtpReceiver__jitter_buffer = _InsteadOfJitterBuffer(intake)
    receiver._RTCRtpReceiver__nack_generator = None
    handle_rtp: Callable[..., Awaitable[None]] = receiver._handle_rtp_packet
    handle_rtcp: Callable[..., Awaitable[None]] = receiver._handle_rtcp_packet

    async def rtp_packet(packet: RtpPacket, arrival_time_ms: int) -> None:
        if intake.admit(packet):
            await handle_rtp(packet, arrival_time_ms)
            await intake.flush()

    async def rtcp_packet(packet: Any) -> None:
        if isinstance(packet, RtcpSrPacket):
            intake.report(packet.sender_info.ntp_timestamp, packet.sender_info.rtp_timestamp)
        await handle_rtcp(packet)

    receiver._handle_rtp_packet = rtp_packet  # type: ignore[method-assign]
    receiver._handle_rtcp_packet = rtcp_packet  # type: ignore[method-assign]


def learn_resends(receiver: RTCRtpReceiver, resend_ssrc: int, media_ssrc: int) -> None:
    """Tell a receiver which SSRC carries the resends (RFC 4588) of another, for offers that do not say it."""
    receiver._RTCRtpReceiver__rtx_ssrc.setdefault(resend_ssrc, media_ssrc)


async def ask_again(receiver: RTCRtpReceiver, media_ssrc: int, sequences: list[int]) -> None:
    """NACK (RFC 4585, 6.2.1)."""
    await receiver._send_rtcp_nack(media_ssrc, sequences)


async def ask_for_key(receiver: RTCRtpReceiver, media_ssrc: int) -> None:
    """PLI (RFC 4585, 6.3.1)."""
    await receiver._send_rtcp_pli(media_ssrc)


async def send_feedback(receiver: RTCRtpReceiver, packet: bytes) -> None:
    """An RTCP packet made elsewhere, in a datagram of its own."""
    await receiver._send_rtcp(packet)  # type: ignore[arg-type]


def own_ssrc(receiver: RTCRtpReceiver) -> int:
    """By which the receiver calls itself in its feedback."""
    return receiver._RTCRtpReceiver__rtcp_ssrc or 0


# Negotiation


def agree(transceiver: RTCRtpTransceiver, extensions: dict[str, int], feedback: Sequence[str]) -> None:
    """Set the header extensions (URI to id) and add RTCP feedback types to what is answered for a transceiver."""
    transceiver._headerExtensions = [RTCRtpHeaderExtensionParameters(id=n, uri=uri) for uri, n in extensions.items()]
    for kind in feedback:
        transceiver._codecs[0].rtcpFeedback.append(RTCRtcpFeedback(kind))


# Sending


class Outgoing(Protocol):
    """Stands where aiortc keeps an encoder, and gives what the track's `recv` returned its payloads."""

    target_bitrate: int
    """Set at every REMB of the peer, bit/s."""

    def pack(self, unit: Any) -> tuple[list[bytes], int]:
        """Payloads and RTP time."""


class _PlayoutDelayMap(HeaderExtensionsMap):
    """Writes the playout-delay extension (min, max in 10 ms, 12 bits each) into every packet beside aiortc's own."""

    def __init__(self, uri: str, range_ms: tuple[int, int]) -> None:
        super().__init__()
        low, high = (value // PLAYOUT_DELAY_STEP_MS for value in range_ms)
        self._uri, self._value = uri, (low << 12 | high).to_bytes(3, "big")
        self._ids: dict[str, int] = {}

    def configure(self, parameters: Any) -> None:
        super().configure(parameters)
        self._ids = {extension.uri.rsplit(":", 1)[-1].rsplit("/", 1)[-1]: extension.id for extension in parameters.headerExtensions}

    def set(self, values: HeaderExtensions) -> tuple[int, bytes]:
        written = []
        if values.mid is not None and "mid" in self._ids:
            written.append((self._ids["mid"], values.mid.encode()))
        if values.abs_send_time is not None and "abs-send-time" in self._ids:
            written.append((self._ids["abs-send-time"], values.abs_send_time.to_bytes(3, "big")))
        if "playout-delay" in self._ids:
            written.append((self._ids["playout-delay"], self._value))
        return pack_header_extensions(written)


def feed(
    sender: RTCRtpSender, outgoing: Outgoing, *, key_needed: Callable[[], None], playout_delay_ms: tuple[int, int] | None
) -> None:
    """Make a sender send what its track returns through `outgoing.pack`, never through an encoder of aiortc's."""
    sender._RTCRtpSender__encoder = outgoing
    sender._send_keyframe = key_needed  # type: ignore[method-assign]
    if playout_delay_ms is not None:
        sender._RTCRtpSender__rtp_header_extensions_map = _PlayoutDelayMap("", playout_delay_ms)


def sent_timestamp(sender: RTCRtpSender) -> int:
    """The RTP timestamp of the last packet sent."""
    stamp: int = sender._RTCRtpSender__rtp_timestamp
    return stamp


def _accept_rsa() -> None:
    """Peers with RSA certificates (GStreamer) need suites that aiortc does not offer."""
    create = RTCCertificate._create_ssl_context
    suites = b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA"

    def create_with_rsa(self: RTCCertificate, srtp_profiles: Any) -> Any:
        context = create(self, srtp_profiles)
        context.set_cipher_list(suites + RSA_SUITES)
        return context

    RTCCertificate._create_ssl_context = create_with_rsa  # type: ignore[method-assign]


check()
aioice.ice.get_host_addresses = _host_addresses
aiortc.rtcrtpsender.RTP_HISTORY_SIZE = HISTORY_PACKETS
_accept_rsa()
