"""What aiortc and aioice get wrong, mended once a process: peers they leave out, packets that end or stop a connection, and a slow
clock.

`server.door.rtp` checks that the names which are replaced here are there; tests/server/door/test_rtp.py and tests/bad_input hold what
each mend does.
"""

from __future__ import annotations

import functools
import logging
import struct
import time
from collections.abc import Callable
from typing import Any, Final

import aiortc.clock
import aiortc.rtcsctptransport
from aioice import ice
from aiortc import RTCCertificate, RTCDtlsTransport, RTCSctpTransport
from aiortc.rate import AimdRateControl, BandwidthUsage
from aiortc.rtcsctptransport import SackChunk

logger = logging.getLogger(__name__)

SUITES: Final = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    b"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
    b"ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA"
)
NTP_EPOCH_S: Final = 2_208_988_800
"""Of 1970, counted from 1900."""
MAX_ACKNOWLEDGED: Final = 4096
REDUCE_INTERVAL_MS: Final = 200
LOOPBACK, LOOPBACK_6 = "127.0.0.1", "::1"
HANDLERS: Final = ((RTCDtlsTransport, ("_handle_rtp_data", "_handle_rtcp_data")), (RTCSctpTransport, ("_handle_data",)))
"""What takes packets off the wire."""


def apply() -> None:
    """Put all mends in; a second time changes nothing."""
    if not hasattr(RTCCertificate._create_ssl_context, "with_rsa"):
        RTCCertificate._create_ssl_context = _with_rsa(RTCCertificate._create_ssl_context)  # type: ignore[method-assign]
    for owner, names in HANDLERS:
        for name in names:
            if not hasattr(getattr(owner, name), "drops_broken"):
                setattr(owner, name, _dropping_broken(getattr(owner, name)))
    aiortc.rtcsctptransport.decode_params = _decode_parameters
    aiortc.clock.current_ntp_time = _ntp_time  # asked twice for each packet sent: a twelfth of what a viewer costs
    if not hasattr(AimdRateControl.update, "in_turn"):
        AimdRateControl.update = _in_turn(AimdRateControl.update)  # type: ignore[method-assign]
    if not hasattr(SackChunk.__init__, "has_bound"):
        SackChunk.__init__ = _with_bound(SackChunk.__init__)  # type: ignore[method-assign]
    if not hasattr(ice.get_host_addresses, "with_loopback"):
        ice.get_host_addresses = _with_loopback(ice.get_host_addresses)  # type: ignore[assignment]
    if not hasattr(ice.Connection.check_incoming, "with_priority"):
        ice.Connection.check_incoming = _with_priority(ice.Connection.check_incoming)  # type: ignore[method-assign]


def _ntp_time() -> int:
    """Seconds since 1900 in 32.32 fixed point (RFC 5905 §6), without going through `datetime`."""
    seconds, rest_ns = divmod(time.time_ns(), 1_000_000_000)
    return (seconds + NTP_EPOCH_S) << 32 | (rest_ns << 32) // 1_000_000_000


def _with_rsa(create: Callable[..., Any]) -> Callable[..., Any]:
    def create_ssl_context(self: RTCCertificate, srtp_profiles: Any) -> Any:
        context = create(self, srtp_profiles)
        context.set_cipher_list(SUITES)
        return context

    create_ssl_context.with_rsa = True  # type: ignore[attr-defined]
    return create_ssl_context


def _dropping_broken(handle: Callable[..., Any]) -> Callable[..., Any]:
    """aiortc ends the connection at what its parsers do not foresee: a header extension, REMB or chunk that is too short."""

    @functools.wraps(handle)
    async def handle_data(self: Any, data: bytes, *more: Any, **named: Any) -> None:
        try:
            await handle(self, data, *more, **named)
        except (struct.error, IndexError, ValueError):
            logger.debug("a broken packet of %d bytes is dropped", len(data))

    handle_data.drops_broken = True  # type: ignore[attr-defined]
    return handle_data


def _decode_parameters(body: bytes) -> list[tuple[int, bytes]]:
    """SCTP parameters (RFC 9260 §3.2.1): aiortc reads one of no length for ever. Raises ValueError at such a length."""
    found, at = [], 0
    while at <= len(body) - 4:
        kind, length = struct.unpack_from("!HH", body, at)
        if not 4 <= length <= len(body) - at:
            raise ValueError("an SCTP parameter of an impossible length")
        found.append((kind, body[at + 4 : at + length]))
        at += length + -length % 4
    return found


def _in_turn(update: Callable[..., int | None]) -> Callable[..., int | None]:
    """While packets come ever later, aiortc lowers its estimate, and says so, with each of them. One step shows in what comes only
    after a round trip, so the next has to wait (libwebrtc's `AimdRateControl::TimeToReduceFurther`)."""

    @functools.wraps(update)
    def update_in_turn(self: Any, usage: Any, throughput: int | None, now_ms: int) -> int | None:
        if usage is BandwidthUsage.OVERUSING:
            if now_ms - getattr(self, "lowered_ms", -REDUCE_INTERVAL_MS) < REDUCE_INTERVAL_MS:
                return None
            self.lowered_ms = now_ms
        return update(self, usage, throughput, now_ms)

    update_in_turn.in_turn = True  # type: ignore[attr-defined]
    return update_in_turn


def _with_bound(init: Callable[..., None]) -> Callable[..., None]:
    """aiortc counts one by one through what an SCTP acknowledgement says is there: 19 million numbers a packet."""

    @functools.wraps(init)
    def parse(self: SackChunk, *given: Any, **named: Any) -> None:
        init(self, *given, **named)
        if sum(max(0, last - first) for first, last in self.gaps) > MAX_ACKNOWLEDGED:
            raise ValueError("an SCTP acknowledgement of more than was ever sent")

    parse.has_bound = True  # type: ignore[attr-defined]
    return parse


def _with_loopback(find: Callable[[bool, bool], list[str]]) -> Callable[[bool, bool], list[str]]:
    def get_host_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        return [LOOPBACK] * use_ipv4 + [LOOPBACK_6] * use_ipv6 + find(use_ipv4, use_ipv6)

    get_host_addresses.with_loopback = True  # type: ignore[attr-defined]
    return get_host_addresses


def _with_priority(check: Callable[..., None]) -> Callable[..., None]:
    def check_incoming(self: ice.Connection, message: Any, addr: Any, protocol: Any) -> None:
        """FFmpeg 8.0 leaves PRIORITY out of its checks, against RFC 8445 §7.1.1; aioice would give the connection up."""
        component = protocol.local_candidate.component
        message.attributes.setdefault("PRIORITY", ice.candidate_priority(component, "prflx"))
        check(self, message, addr, protocol)

    check_incoming.with_priority = True  # type: ignore[attr-defined]
    return check_incoming
