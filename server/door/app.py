"""The door's application: its routes put together, around one `Door`."""

from __future__ import annotations

import importlib.metadata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.staticfiles import StaticFiles

from server.door import inputs, problems, routes, whep, whip
from server.door.access import Guard
from server.door.door import Door
from server.door.streams import Refused


def create_app(door: Door) -> FastAPI:
    """The ASGI application; the door runs from its start-up to its shutdown."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        door.start()
        try:
            yield
        finally:
            await door.close()

    app = FastAPI(
        title="Fancam",
        version=importlib.metadata.version("fancam"),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.door = door
    app.add_middleware(Guard, allowed_hosts=door.settings.allow_host)
    app.add_exception_handler(Refused, problems.refused)
    app.add_exception_handler(RequestValidationError, problems.invalid)
    app.include_router(routes.router)
    app.include_router(inputs.router)
    app.mount("/static", StaticFiles(directory=routes.WEB, check_dir=False))
    app.include_router(whip.router)
    app.include_router(whep.router)
    return app
