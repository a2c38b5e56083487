"""Everything over HTTP that is not WebRTC: what exists, its latency, its redaction, health, metrics, the page and the docs."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from engines.policy import parse_zones
from server.door.access import ANY_VIEW, Caller, Right, require
from server.door.limits import MAX_JSON_BYTES, StreamName, read_body
from server.door.problems import BODY, may_be

WEB: Final = Path(__file__).resolve().parents[2] / "client" / "web"

router = APIRouter()
viewer_or_admin = require(*ANY_VIEW, Right.ADMIN)
EVENTS: Final = {200: {"description": "It goes on.", "content": {"text/event-stream": {}}}, **may_be(429, 503)}
METRICS: Final = {200: {"description": "Prometheus's text format.", "content": {"text/plain": {}}}, **may_be()}
READY: Final = {503: {"description": "Not yet, or not at present.", "content": {"application/json": {}}}, **may_be()}


class Redaction(BaseModel):
    """A change of a stream's redaction; what is left out stays as it is. There is no way to turn it off."""

    model_config = ConfigDict(extra="forbid", strict=True)

    panic: bool | None = None
    """Cover the whole picture of every feed, at once."""
    style: Literal["solid", "mosaic", "blur"] | None = None
    """How a face is covered; every style destroys it."""
    zones: list[list[tuple[float, float]]] | None = None
    """Polygons, x and y from 0 to 1, that are blacked out in every feed, in place of those before; with any, there is no
    raw feed."""

    @field_validator("zones")
    @classmethod
    def _are_zones(cls, value: Any) -> Any:
        parse_zones(value or [])
        return value


@router.get("/streams", tags=["Streams"], responses=may_be(), dependencies=[Depends(viewer_or_admin)])
async def streams(request: Request) -> dict[str, Any]:
    """The streams, their feeds and the people in them."""
    described: dict[str, Any] = request.app.state.door.hub.describe()
    return described


@router.get("/events", tags=["Streams"], response_class=Response, responses=EVENTS)
async def events(request: Request, caller: Annotated[Caller, Depends(viewer_or_admin)]) -> Response:
    """Server-sent events: `streams` with the body of GET /streams whenever it changes, `heartbeat` every 5 s at least."""
    response: Response = request.app.state.door.events.listen(caller)
    return response


@router.get(
    "/streams/{stream}/latency",
    tags=["Streams"],
    responses=may_be(404, 422),
    dependencies=[Depends(viewer_or_admin)],
)
async def latency(stream: StreamName, request: Request) -> dict[str, Any]:
    """Where the latest frames' milliseconds went: p50, p95 and the last frame, by stage.

    `arrived`, from capture to arrival, is an estimate; where the publisher's clock does not agree with the server's, it
    counts from the fastest frame of the last seconds.
    """
    found: dict[str, Any] = request.app.state.door.hub.latency(stream)
    return found


@router.patch(
    "/streams/{stream}/redaction",
    tags=["Streams"],
    responses=may_be(*BODY, 404),
    dependencies=[Depends(require(Right.ADMIN))],
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": Redaction.model_json_schema()}}}
    },
)
async def redaction(stream: StreamName, request: Request) -> dict[str, Any]:
    """Panic, another style or other privacy zones, from the next frame on."""
    body = await read_body(request, "application/json", MAX_JSON_BYTES)
    try:
        change = Redaction.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        raise HTTPException(422, f"{'.'.join(map(str, first['loc'])) or 'the body'}: {first['msg']}") from None
    policy: dict[str, Any] = request.app.state.door.hub.set_policy(stream, change.model_dump(exclude_none=True))
    return policy


@router.get(
    "/metrics", tags=["Health"], response_class=Response, responses=METRICS, dependencies=[Depends(viewer_or_admin)]
)
async def metrics(request: Request) -> Response:
    """Prometheus metrics."""
    door = request.app.state.door
    door.refresh_metrics()
    return Response(door.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/healthz", tags=["Health"], responses=may_be())
async def healthz(request: Request) -> dict[str, Any]:
    """The door lives; and how its studio and its inputs are."""
    door = request.app.state.door
    supervisor = door.supervisor
    return {
        "status": "ok" if supervisor.active else "degraded",
        "studio": supervisor.description,
        "spare": supervisor.spare_ready,
        "trouble": supervisor.trouble,
        "inputs": door.inputs.describe(),
    }


@router.get("/readyz", tags=["Health"], responses=READY)
async def readyz(request: Request) -> Response:
    """200 once a warm studio serves, 503 until then and while none does."""
    supervisor = request.app.state.door.supervisor
    if supervisor.active:
        return JSONResponse({"ready": True})
    return JSONResponse({"ready": False, "trouble": supervisor.trouble}, 503, {"Retry-After": "2"})


@router.get("/", include_in_schema=False)
async def page() -> Response:
    """The page."""
    return FileResponse(WEB / "index.html", headers={"Cache-Control": "no-cache"})


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> Response:
    """The routes as a table, without anything from another host."""
    rows = []
    for path, methods in request.app.openapi()["paths"].items():
        for method, route in methods.items():
            about = route.get("description") or route.get("summary") or ""
            rows.append(
                f"<tr><td>{method.upper()}</td><td><code>{escape(path)}</code></td><td>{escape(about)}</td></tr>"
            )
    title = escape(request.app.title)
    return HTMLResponse(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}: HTTP</title><h1>{title}: HTTP</h1>'
        f'<p>As OpenAPI: <a href="/openapi.json">/openapi.json</a></p><table>{"".join(rows)}</table></html>'
    )
