"""The review page's server: on loopback alone, for one browser, which comes by an address that can be used once."""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from client.review import Session, Stale
from engines.codecs.files import FileError
from server.door.access import Guard
from server.door.serve import Signalled

HOST: Final = "127.0.0.1"
WEB: Final = Path(__file__).with_name("web") / "review"
MAX_ORDER_BYTES: Final = 16 << 10
END_S: Final = 0.2
SPENT: Final = "This address has been used. The terminal shows a new one.\n"


class Gate:
    """ASGI middleware: an address that is used once gives the cookie without which nothing is answered.

    Whoever comes by the spent one is told to look at the terminal, where there is a new one then; who was let in before
    stays in until that is used.
    """

    def __init__(self, app: ASGIApp, cookie: str, announce: Callable[[str], None]) -> None:
        self.app, self._cookie, self._announce = app, cookie, announce
        self._session = ""
        self._renew()

    def _renew(self) -> None:
        self._token, self._spent = secrets.token_urlsafe(24), False
        self._announce(self._token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        token = request.query_params.get("token")
        known = request.cookies.get(self._cookie, "")
        right = token is not None and hmac.compare_digest(token.encode(), self._token.encode())
        if right and not self._spent:
            self._session, self._spent = secrets.token_urlsafe(24), True
            answer: ASGIApp = RedirectResponse("/", 303)
            answer.set_cookie(self._cookie, self._session, httponly=True, samesite="strict")  # type: ignore[attr-defined]
        elif self._session and hmac.compare_digest(known.encode(), self._session.encode()):
            answer = self.app
        else:
            answer = PlainTextResponse(SPENT if right else "This page has an address of its own.\n", 403)
            if right:
                self._renew()
        await answer(scope, receive, send)


def create_app(session: Session) -> Starlette:
    """The page and what it asks for."""

    def page(request: Request) -> Response:
        return FileResponse(WEB / "index.html")

    def about(request: Request) -> Response:
        return JSONResponse(session.about())

    def state(request: Request) -> Response:
        return JSONResponse(session.state())

    def covers(request: Request) -> Response:
        return JSONResponse(session.covers(request.path_params["number"]))

    def picture(request: Request) -> Response:
        covered = request.path_params["kind"] == "covered"
        return Response(session.picture(request.path_params["number"], covered=covered), media_type="image/jpeg")

    async def change(request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MAX_ORDER_BYTES:
                return JSONResponse({"detail": "too long"}, 413)
        return JSONResponse(await run_in_threadpool(session.change, json.loads(body)))

    def write(request: Request) -> Response:
        session.write()
        return JSONResponse(session.state())

    return Starlette(
        routes=[
            Route("/", page),
            Route("/about", about),
            Route("/state", state),
            Route("/frames/{number:int}", covers),
            Route("/frames/{number:int}/{kind:str}.jpg", picture),
            Route("/change", change, methods=["POST"]),
            Route("/write", write, methods=["POST"]),
            Mount("/static", StaticFiles(directory=WEB)),
        ],
        exception_handlers={
            ValueError: _problem(400),
            Stale: _problem(409),
            FileError: _problem(500),
            OSError: _problem(500),
        },
    )


def _problem(status: int) -> Callable[[Request, Exception], Response]:
    return lambda request, error: JSONResponse({"detail": str(error)}, status)


class Server(Signalled):
    """Ends on a signal, or a moment after the page has been told that the files are written."""

    def __init__(self, app: ASGIApp, session: Session) -> None:
        super().__init__(
            uvicorn.Config(app, ws="none", lifespan="off", log_config=None, access_log=False, server_header=False,
                           proxy_headers=False, timeout_graceful_shutdown=1)
        )  # fmt: skip
        self._session = session

    async def on_tick(self, counter: int) -> bool:
        if self._session.ended.is_set() and not self.should_exit:
            await asyncio.sleep(END_S)
            return True
        return await super().on_tick(counter)


def serve(session: Session, listener: socket.socket, announce: Callable[[str], None]) -> None:
    """Until the files are written or the process is told to end. `announce` gets each address that the page has."""
    port = listener.getsockname()[1]
    name = f"fancam-review-{port}"  # a browser sends its cookies to all ports of a host
    gate = Gate(create_app(session), name, lambda token: announce(f"http://{HOST}:{port}/?token={token}"))
    try:
        Server(Guard(gate, ()), session).run(sockets=[listener])
    finally:
        session.close()
