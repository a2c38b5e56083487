"""Who may do what: bearer tokens with scopes, and the checks that keep other people's web pages out.

A browser on this machine can be made to call us by any page it shows. So every request must name us by a host we know (DNS
rebinding), and a request that changes something must come from our own page or from no page at all (CSRF).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from fastapi import HTTPException, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.settings import Settings, SettingsError

logger = logging.getLogger(__name__)

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
MAPPED: Final = "::ffff:"
"""What stands before the IPv4 address of those who reach a server on `::` by IPv4 (RFC 4291 §2.5.5.2)."""
RESPONSE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob:; media-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Right(StrEnum):
    """A token's scope."""

    PUBLISH = "publish"
    VIEW_REDACTED = "view-redacted"
    VIEW_FANCAM = "view-fancam"
    VIEW_RAW = "view-raw"
    ADMIN = "admin"


ALL_RIGHTS: Final = frozenset(Right)
ANY_VIEW: Final = frozenset({Right.VIEW_REDACTED, Right.VIEW_FANCAM, Right.VIEW_RAW})


def right_to_view(feed: str) -> Right:
    """The scope a feed needs; the overlay shows faces, so it needs the same as the raw picture."""
    if feed == "redacted":
        return Right.VIEW_REDACTED
    return Right.VIEW_FANCAM if feed.startswith("fancam/") else Right.VIEW_RAW


@dataclass(frozen=True, slots=True)
class Token:
    """Only the secret's hash is kept."""

    digest: bytes
    rights: frozenset[Right]

    @classmethod
    def parse(cls, text: str) -> Token:
        """`SECRET` for every scope or `scope[,scope…]:SECRET`.

        Raises:
            SettingsError: an unknown scope or no secret; the text names no secret.
        """
        names, colon, secret = text.strip().rpartition(":")
        try:
            rights = frozenset(Right(name.strip()) for name in names.split(",")) if colon else ALL_RIGHTS
        except ValueError as error:
            known = ", ".join(Right)
            raise SettingsError(
                f"a token is SECRET or scope[,scope]:SECRET (no other colon), scopes are {known}"
            ) from error
        if not secret:
            raise SettingsError("a token without a secret")
        return cls(_digest(secret), rights)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request: an opaque key to count by, and what it may do."""

    key: str
    rights: frozenset[Right]

    @property
    def may_know_names(self) -> bool:
        """Of members: only who decides about them needs to know what they are called."""
        return Right.ADMIN in self.rights


class Access:
    """Which tokens there are; without any, every caller (on loopback only) may do everything."""

    def __init__(self, tokens: Iterable[Token]) -> None:
        self._tokens = tuple(tokens)

    @classmethod
    def from_settings(cls, settings: Settings) -> Access:
        """Raises SettingsError: tokens that cannot be read, or an address open to others without any."""
        lines = list(settings.token)
        if settings.tokens_file is not None:
            try:
                text = settings.tokens_file.read_text()
            except OSError as error:
                raise SettingsError(f"tokens file {settings.tokens_file}: {error.strerror}") from error
            lines += [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
            if not lines:
                raise SettingsError(f"tokens file {settings.tokens_file}: no token in it")
        access = cls(Token.parse(line) for line in lines)
        if not access.needs_token and not settings.is_loopback:
            raise SettingsError(
                f"{settings.host} can be reached by others: set --token or --tokens-file, or serve on 127.0.0.1"
            )
        return access

    @property
    def needs_token(self) -> bool:
        return bool(self._tokens)

    def caller(self, authorization: str | None, address: str) -> Caller | None:
        """Who an Authorization header speaks for; None when a token is needed and this is none of ours."""
        if not self._tokens:
            return Caller(f"address {address}", ALL_RIGHTS)
        words = (authorization or "").split()
        while (
            words and words[0].lower() == "bearer"
        ):  # "Bearer Bearer X" is what pasting "Bearer X" into a client makes
            del words[0]
        if len(words) != 1:
            return None
        digest = _digest(words[0])
        found = None
        for number, token in enumerate(self._tokens):
            if hmac.compare_digest(token.digest, digest):
                found = Caller(f"token {number}", token.rights)
        return found

    def authorize(self, request: Request, needed: frozenset[Right]) -> Caller:
        """The caller, who holds at least one of the `needed` scopes.

        Raises:
            HTTPException: 401 without a token of ours, 403 with one of another scope.
        """
        caller = self.caller(request.headers.get("authorization"), client_address(request))
        if caller is None:
            logger.warning("a %s without a token of ours is refused, from %s", request.method, client_address(request))
            raise HTTPException(401, "a token is needed", {"WWW-Authenticate": 'Bearer realm="fancam"'})
        if not caller.rights & needed:
            scopes = " ".join(sorted(needed))
            logger.warning("a %s by %s is refused, which lacks %s", request.method, caller.key, scopes)
            challenge = f'Bearer realm="fancam", error="insufficient_scope", scope="{scopes}"'
            raise HTTPException(403, f"this token lacks the scope {scopes}", {"WWW-Authenticate": challenge})
        return caller


def client_address(request: Request) -> str:
    return request.client.host.removeprefix(MAPPED) if request.client else "unknown"


def require(*rights: Right) -> Callable[[Request], Caller]:
    """A dependency of a route: any one of these scopes."""
    needed = frozenset(rights)

    def check(request: Request) -> Caller:
        caller: Caller = request.app.state.door.access.authorize(request, needed)
        return caller

    return check


def host_name(host: str) -> str:
    """A Host header or netloc without its port, in lower case; addresses in their canonical form without brackets.

    Raises:
        ValueError: it can be no host.
    """
    parts = urlsplit(f"//{host}")
    _ = parts.port  # raises when it is no number
    name = parts.hostname or ""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name.rstrip(".")


def is_origin(origin: str, host: str) -> bool:
    """Whether an Origin header names the host of the request it came with."""
    try:
        return urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:  # such as an open bracket
        return False


class Guard:
    """ASGI middleware around everything: Host, Origin, and the headers that every response carries."""

    def __init__(self, app: ASGIApp, allowed_hosts: Iterable[str]) -> None:
        self.app = app
        self.allowed = {"localhost", *(host_name(host) for host in allowed_hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in RESPONSE_HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refuse(scope)
        await (refusal or self.app)(scope, receive, send_with_headers)

    def _refuse(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._knows(hosts[0], scope):
            return JSONResponse({"detail": "this server does not go by that name (--allow-host adds one)"}, 421)
        if scope["method"] in SAFE_METHODS:
            return None
        origin = headers.get("origin")
        foreign = origin is not None and not is_origin(origin, hosts[0])
        if foreign or headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return JSONResponse({"detail": "requests from other web pages are refused"}, 403)
        return None

    def _knows(self, host: str, scope: Scope) -> bool:
        try:
            name = host_name(host)
        except ValueError:
            return False
        bound = (scope.get("server") or ("",))[0].removeprefix(MAPPED)
        return name in self.allowed or (bool(name) and name == bound)
