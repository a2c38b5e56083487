"""What is answered when something was wrong with a request: a status and `{"detail": …}`, one line; and how the docs say so."""

from __future__ import annotations

from typing import Any, Final

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from server.door.streams import Refused

WHY: Final = {
    400: "It cannot be read.",
    401: "A token is needed.",
    403: "The token lacks a scope, or another web page sent this.",
    404: "There is none.",
    408: "The body took too long.",
    409: "Somebody else is there.",
    412: "The If-Match header names another ETag.",
    413: "The body is too large.",
    415: "The body is of another type.",
    421: "This server does not go by that name.",
    422: "It was understood and is refused.",
    428: "An If-Match header is needed.",
    429: "Too many at once.",
    502: "The source failed.",
    503: "There is no room, or no studio, at present.",
    504: "The source is silent.",
}
BODY: Final = (400, 408, 413, 415, 422)
"""What a request with a body may get."""
_PROBLEM: Final = {
    "type": "object",
    "properties": {"detail": {"type": "string"}},
    "required": ["detail"],
}


def may_be(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """FastAPI's `responses` of a route that may answer with these, beside what every route may."""
    content = {"application/json": {"schema": _PROBLEM}}
    return {status: {"description": WHY[status], "content": content} for status in sorted({*statuses, 401, 403, 421})}


async def refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)
    headers = {"Retry-After": str(error.retry_after_s)} if error.retry_after_s is not None else None
    return JSONResponse({"detail": error.text}, error.status, headers)


async def invalid(request: Request, error: Exception) -> JSONResponse:
    """A path or query that does not fit: the first of what is wrong."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return JSONResponse({"detail": f"{first['loc'][-1]}: {first['msg']}"}, 422)
