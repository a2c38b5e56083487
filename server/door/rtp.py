"""The private names of aiortc and aioice that Fancam uses, checked and prepared once, and the sockets of a connection.

`check()` is called when the door starts and fails there when a name has gone; tests/server/door/test_rtp.py, test_receivers.py
and test_senders.py hold what each does. `server.door.receivers` and `server.door.senders` take packets in and send them out;
here aioice, which takes any port and tells its own addresses only, gets our sockets. What is wrong in either library is mended in
`server.door.mends`.
"""

from __future__ import annotations

import asyncio
import functools
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
from aiortc.rtcrtpparameters import RTCRtcpFeedback, RTCRtpHeaderExtensionParameters

from server.door import mends
from server.door.network import Network
from server.door.receivers import ABS_CAPTURE_TIME, IncomingExtensions
from server.door.senders import HISTORY_PACKETS, PLAYOUT_DELAY

TRANSPORT_CC: Final = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"

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
SET: Final[dict[tuple[Any, str], tuple[str, ...]]] = {
    (RTCRtpReceiver, "__init__"): tuple(f"_RTCRtpReceiver__{name}" for name in ("jitter_buffer", "codecs", "rtx_ssrc")),
    (RTCRtpReceiver, "_handle_rtp_packet"): ("_data",),
    (RTCRtpSender, "__init__"): (
        "_ssrc",
        *(
            f"_RTCRtpSender__{name}"
            for name in ("encoder", "rtp_header_extensions_map", "rtp_timestamp", "rtp_history", "lsr", "lsr_time")
        ),
    ),
    (RTCIceGatherer, "__init__"): ("_connection",),
    (RTCDtlsTransport, "__init__"): ("HeaderExtensionsMap",),
    (ice.Connection, "__init__"): ("_protocols",),
}
"""What methods set: instances have it from their `__init__` on, a packet once it is taken in."""


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
    for (owner, method), names in SET.items():
        for name in names:
            if name not in getattr(owner, method).__code__.co_names:
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
    aiortc.rtp.HeaderExtensionsMap = IncomingExtensions  # type: ignore[misc]
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
