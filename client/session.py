"""What our WHIP and WHEP clients have in common: an offer is posted, an answer comes back, the session is deleted at the end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
import urllib.error
import urllib.request
from email.message import Message
from typing import Final
from urllib.parse import urljoin, urlsplit

from aiortc import RTCIceServer

from server.ice import IceServer

TIMEOUT_S: Final = 10
FINAL: Final = (400, 401, 403, 404, 405, 415, 421, 422)
"""Answers that the same offer would get again."""

TURN: Final = re.compile(r"turns?:[A-Za-z0-9.-]+(:\d{1,5})?(\?transport=(udp|tcp))?")
"""What aiortc can use: it takes no IPv6 address here."""


class Refused(Exception):
    """The server said no; `final` when asking again is useless."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status, self.final = status, status in FINAL


class Unreachable(Exception):
    """Nobody answers there."""


def check_url(url: str) -> str:
    """
    Raises:
        ValueError: not an http or https address.
    """
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
        raise ValueError(f"{url!r} is not an http:// or https:// address")
    return url


async def turn_servers(url: str, token: str | None) -> list[RTCIceServer]:
    """The TURN servers that a WHIP or WHEP endpoint tells of (RFC 9725 §4.6); none when it says nothing.

    STUN servers are left out: the server learns this client's address from its packets.
    """
    try:
        _, headers, _ = await asyncio.to_thread(_ask, "OPTIONS", url, token, None)
    except (Refused, Unreachable):  # the offer that follows will say what is wrong
        return []
    return [
        RTCIceServer(urls=[server.url], username=server.username, credential=server.credential)
        for server in IceServer.from_links(headers.get_all("Link", []))
        if TURN.fullmatch(server.url)
    ]


async def post_offer(url: str, token: str | None, sdp: str) -> tuple[str, str]:
    """Post an offer; returns the answer and the session's address.

    Raises:
        Refused: the server answered with another status than 201.
        Unreachable: it did not answer.
    """
    return await asyncio.to_thread(_post, url, token, sdp)


async def delete(session_url: str, token: str | None) -> None:
    """End a session; whether the server is still there to hear it does not matter."""
    with contextlib.suppress(Refused, Unreachable):
        await asyncio.to_thread(_ask, "DELETE", session_url, token, None)


def _post(url: str, token: str | None, sdp: str) -> tuple[str, str]:
    status, headers, body = _ask("POST", url, token, sdp.encode())
    if status != 201 or "Location" not in headers:
        raise Refused(status, "this is no WHIP or WHEP address" if status == 200 else "no session was made")
    return body.decode(), urljoin(url, headers["Location"])


def _ask(method: str, url: str, token: str | None, body: bytes | None) -> tuple[int, Message, bytes]:
    headers = {"Content-Type": "application/sdp"} if body is not None else {}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            raise Refused(error.code, _detail(error.read()) or error.reason) from None
    except (urllib.error.URLError, OSError) as error:
        reason, host = getattr(error, "reason", error), urlsplit(url).netloc
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise Unreachable(
                f"{host} shows a certificate that is not trusted here ({reason.verify_message}): "
                "SSL_CERT_FILE=FILE in the environment names one that is"
            ) from None
        raise Unreachable(f"{host} does not answer: {getattr(reason, 'strerror', None) or reason}") from None


def _detail(body: bytes) -> str:
    """What our server says in JSON, or the first line of what another says."""
    text = body.decode(errors="replace")
    try:
        return str(json.loads(text)["detail"])
    except (ValueError, KeyError, TypeError):
        return text.strip().split("\n")[0][:200]
