"""schemathesis makes requests of what the OpenAPI says, right and wrong ones: no 5xx, and no answer that is not in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings, strategies

from tests.bad_input.serving import Server

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed: pip install -e '.[dev]'")

from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.specs.openapi import checks  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")  # schemathesis's own
EXAMPLES = 16
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]
ROUTES = Path(__file__).parents[1] / "golden" / "http_routes.json"
HELD_OPEN = "GET /events"
"""Has no end; test_events.py has it."""


@schemathesis.serializer("application/sdp", "application/trickle-ice-sdpfrag")
def as_text(ctx: Any, value: Any) -> bytes:
    return str(value).encode(errors="replace")


@pytest.fixture(scope="module")
def openapi(server: Server) -> Any:
    return schemathesis.openapi.from_url(f"{server.url}/openapi.json")


@pytest.mark.parametrize("route", [route for route in json.loads(ROUTES.read_text()) if route != HELD_OPEN])
def test_every_answer_is_one_that_is_documented(openapi: Any, route: str, tried: Callable[[int], None]) -> None:
    method, path = route.split(" ")
    operation, count = openapi[path][method], 0

    @seed(11)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategies.one_of(operation.as_strategy(mode) for mode in schemathesis.GenerationMode))
    def ask(case: Any) -> None:
        nonlocal count
        count += 1
        case.call_and_validate(checks=CHECKS, timeout=10)

    ask()
    tried(count)
