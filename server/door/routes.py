"""Everything over HTTP that is not WebRTC: what exists, its latency, its redaction, health, metrics, the page and the docs."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from server.door.access import ANY_VIEW, Caller, Right, require
from server.door.latency import DEFAULT_S, KEPT_S
from server.door.limits import StreamName, read_json, takes_json
from server.door.problems import BODY, may_be
from server.redaction import Redaction

WEB: Final = Path(__file__).resolve().parents[2] / "client" / "web"

router = APIRouter()
viewer_or_admin = require(*ANY_VIEW, Right.ADMIN)
EVENTS: Final = {200: {"description": "It goes on.", "content": {"text/event-stream": {}}}, **may_be(429, 503)}
METRICS: Final = {200: {"description": "Prometheus's text format.", "content": {"text/plain": {}}}, **may_be()}
READY: Final = {503: {"description": "Not yet, or not at present.", "content": {"application/json": {}}}, **may_be()}


class Budget(BaseModel):
    """How long a stream's frames may take."""

    model_config = ConfigDict(extra="forbid", strict=True)

    budget_ms: int = Field(ge=20, le=10_000)
    """Milliseconds from a frame's arrival until it is sent."""


@router.get("/streams", tags=["Streams"], responses=may_be())
async def streams(request: Request, caller: Annotated[Caller, Depends(viewer_or_admin)]) -> dict[str, Any]:
    """The streams, their feeds and the people in them; members' names for `admin` alone."""
    described: dict[str, Any] = request.app.state.door.hub.describe(names=caller.may_know_names)
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
async def latency(
    stream: StreamName, request: Request, seconds: Annotated[int, Query(ge=1, le=KEPT_S)] = DEFAULT_S
) -> dict[str, Any]:
    """Where the frames' milliseconds went in the last seconds: p50, p95, p99 and the last frame, by stage; misses of the budget;
    drops by reason.

    `total` is from arrival until sent, without `waited` and `delayed`, which were asked for.
    `arrived`, from capture to arrival, is an estimate; where the publisher's clock does not agree with the server's, it
    counts from the fastest frame of the last seconds.
    """
    found: dict[str, Any] = request.app.state.door.hub.latency(stream, seconds)
    return found


@router.patch(
    "/streams/{stream}/latency",
    tags=["Streams"],
    responses=may_be(*BODY, 404),
    dependencies=[Depends(require(Right.ADMIN))],
    openapi_extra=takes_json(Budget),
)
async def budget(stream: StreamName, request: Request) -> dict[str, Any]:
    """Give the stream's frames another budget, from the next one on."""
    change = await read_json(request, Budget)
    request.app.state.door.hub.policies.set_budget(stream, change.budget_ms)
    return change.model_dump()


@router.patch(
    "/streams/{stream}/redaction",
    tags=["Streams"],
    responses=may_be(*BODY, 404),
    openapi_extra=takes_json(Redaction),
)
async def redaction(
    stream: StreamName, request: Request, caller: Annotated[Caller, Depends(require(Right.ADMIN))]
) -> dict[str, Any]:
    """Panic, who is covered and how, or other privacy zones, from the next frame on; logged with who asked for it."""
    change = await read_json(request, Redaction)
    hub = request.app.state.door.hub
    policy: dict[str, Any] = hub.policies.change(stream, change.model_dump(exclude_none=True), caller.key)
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
