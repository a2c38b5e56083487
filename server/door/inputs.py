"""The server's own inputs: those of `--input`, and those that an admin adds over HTTP, which may not lead everywhere."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from server.door.access import Right, require
from server.door.broadcast import AccessUnit
from server.door.delay import Delay
from server.door.hub import Hub
from server.door.limits import StreamName, read_json, takes_json
from server.door.problems import BODY, may_be
from server.door.pull import Lost, Pull, label_of
from server.door.sessions import Sessions
from server.door.streams import Refused, Source
from server.metrics import Metrics
from server.pull.address import MAX_CHARS, Address
from server.pull.address import Refused as AddressRefused
from server.settings import Settings, SettingsError

logger = logging.getLogger(__name__)

READY_S: Final = 20
STATUS: Final = {"refused": 422, "silent": 504, "failed": 502, "ended": 502}

router = APIRouter(tags=["Streams"], dependencies=[Depends(require(Right.ADMIN))])


class Wanted(BaseModel):
    """An input to be added."""

    model_config = ConfigDict(extra="forbid", strict=True)

    source: Annotated[str, Field(max_length=MAX_CHARS)]
    """An rtsp(s), rtmp(s) or http(s) address."""


class Inputs:
    """All inputs by their streams' names. The hub takes what they give as it takes a publisher's."""

    def __init__(
        self,
        settings: Settings,
        hub: Hub,
        delay: Delay,
        sessions: Sessions,
        metrics: Metrics,
        changed: Callable[[], None],
    ) -> None:
        """
        Raises:
            SettingsError: an input that cannot be, or more of them than streams.
        """
        self.hub, self.delay, self.metrics, self.changed = hub, delay, metrics, changed
        self._sessions = sessions
        self._allow_private, self._loop = settings.allow_private, settings.loop
        self._inputs: dict[str, Input] = {}
        self._own = dict(text.split("=", 1) for text in settings.input)
        for name, source in self._own.items():
            _check_own(name, source)
        if len(self._own) > settings.max_streams:
            raise SettingsError(f"{len(self._own)} inputs, but --max-streams is {settings.max_streams}")

    def start(self) -> None:
        """Begin with the inputs of the settings, in the running event loop."""
        for name, source in self._own.items():
            added = Input(self, name, {"source": source, "loop": self._loop, "allow_private": True})
            self.publish(added)
            added.pull.start()

    async def put(self, name: str, source: str) -> bool:
        """Add an input, once it runs, or put it in place of another one; true when there was none.

        Raises:
            Refused: 422 it may not be read, 502 it cannot, 504 it is silent, 409 the stream has a publisher, 503 there are
                as many as may be.
        """
        is_new = name not in self._inputs
        if is_new:
            self.hub.check_free(name)
        try:
            wishes = {"source": source, "loop": False, "allow_private": self._allow_private, "allow_local": False}
            Address.parse(source)
            added = Input(self, name, wishes)
        except AddressRefused as error:
            raise Refused(422, str(error)) from None
        if is_new:
            self._take_place(added)
        added.pull.start()
        try:
            async with asyncio.timeout(READY_S):
                await added.first
        except TimeoutError:
            raise Refused(504, f"{added.pull.label} did not answer within {READY_S} s") from None
        except Lost as lost:
            raise Refused(STATUS[lost.why], str(lost)) from None
        finally:
            if not added.is_published:
                self._give_place(added)
                await added.pull.close()
        return is_new

    async def remove(self, name: str) -> None:
        """End an input.

        Raises:
            Refused: 404 there is none of this name.
        """
        added = self._inputs.get(name)
        if added is None:
            raise Refused(404, f"{name} is no input")
        self.forget(added)
        await added.pull.close()

    async def close(self) -> None:
        """End all inputs."""
        await asyncio.gather(*(added.pull.close() for added in self._inputs.values()))

    def describe(self) -> dict[str, int]:
        """What /healthz says of them."""
        pulls = [added.pull for added in self._inputs.values()]
        running = sum(pull.state == "running" for pull in pulls)
        return {
            "running": running,
            "not_running": len(pulls) - running,
            "restarts": sum(pull.restarts for pull in pulls),
        }

    def publish(self, added: Input) -> None:
        """Make it its stream's source, in place of the input that was.

        Raises:
            Refused: the stream has a publisher by now, or another has the place of the input that was.
        """
        before = self._inputs.get(added.name)
        if before is not None:
            self.forget(before)
            self._sessions.run(before.pull.close())
        self._take_place(added)
        silent = self.hub.start(added.name, added.source, added.pull)
        if silent is not None:
            self._sessions.run(silent.close())
        self._inputs[added.name] = added
        added.is_published = True

    def forget(self, added: Input) -> None:
        """It is over, for the hub and for all others; one that another has taken the place of was forgotten then."""
        if self._inputs.get(added.name) is not added:
            return
        del self._inputs[added.name]
        self._give_place(added)
        self.delay.stop(added.name, added.source)
        with contextlib.suppress(KeyError):
            self.metrics.input_restarts.remove(added.name)

    def _take_place(self, added: Input) -> None:
        """A new input has its place while it is tried; one that is put in place of another gets it when that one is over."""
        if not added.has_place:
            self._sessions.take_place()
            added.has_place = True

    def _give_place(self, added: Input) -> None:
        if added.has_place:
            self._sessions.give_place()
            added.has_place = False


class Input:
    """One input: what its pull says, told to the hub."""

    def __init__(self, inputs: Inputs, name: str, wishes: dict[str, Any]) -> None:
        """
        Raises:
            server.pull.address.Refused: an address that cannot be one.
        """
        self.name, self._inputs = name, inputs
        self.pull = Pull(name, wishes, self)
        self.source = Source(0, describe_input=self.pull.describe)  # silent from the beginning
        self.first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when it runs, or has failed, for the first time."""
        self.is_published = self.has_place = False

    def on_ready(self) -> None:
        if self.first.cancelled():
            return
        try:
            if not self.is_published:
                self._inputs.publish(self)
        except Refused as refusal:
            self._tell_first(refusal)
            return
        self._tell_first(None)
        self._inputs.changed()

    def on_unit(self, unit: AccessUnit) -> None:
        self._inputs.delay.on_unit(self.name, self.source, unit)

    def on_audio(self, payload: bytes, rtp_time: int) -> None:
        self._inputs.delay.on_audio(self.name, self.source, payload, rtp_time)

    def on_lost(self, lost: Lost) -> bool:
        if not self.is_published:
            self._tell_first(lost)
            return False
        if lost.why == "ended":
            logger.info("input %s has ended", self.name, extra={"stream": self.name})
            self._inputs.forget(self)
            return False
        self._inputs.delay.on_gap(self.name, self.source)
        self._inputs.metrics.input_restarts.labels(self.name).inc()
        self._inputs.changed()
        return True

    def _tell_first(self, error: Exception | None) -> None:
        if self.first.done():
            return
        if error is None:
            self.first.set_result(None)
        else:
            self.first.set_exception(error)


def _check_own(name: str, source: str) -> None:
    """Raises SettingsError: a source that there cannot be."""
    try:
        _, kind = label_of(source)
    except AddressRefused as error:
        raise SettingsError(f"input {name}: {error}") from None
    if kind == "file" and not Path(source).is_file():
        raise SettingsError(f"input {name}: no file {source}")


@router.put(
    "/streams/{stream}/input",
    status_code=201,
    responses={200: {"description": "Another input was there before."}, **may_be(*BODY, 409, 502, 503, 504)},
    openapi_extra=takes_json(Wanted),
)
async def put(stream: StreamName, request: Request) -> Response:
    """Read a stream from an address, which must be a public one (or the server be told --allow-private); answers once it runs."""
    wanted = await read_json(request, Wanted)
    is_new = await request.app.state.door.inputs.put(stream, wanted.source)
    return JSONResponse({"name": stream}, 201 if is_new else 200)


@router.delete("/streams/{stream}/input", status_code=204, responses=may_be(404, 422))
async def delete(stream: StreamName, request: Request) -> Response:
    """End a stream that is read from an address."""
    await request.app.state.door.inputs.remove(stream)
    return Response(status_code=204)
