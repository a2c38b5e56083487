"""What is logged, and what never is."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from client.publish import publish
from client.watch import Watcher
from server.logs import JsonFormatter, Limiter, LineFormatter
from tests.client.clips import write_clip
from tests.server.door.rtc import until
from tests.server.door.running import wait_until

TOKEN = "t0ken-that-nobody-may-see"
GARBAGE = 3000


class Output:
    """A logger of our own whose lines are kept, and a clock that is set by hand."""

    def __init__(self, formatter: logging.Formatter) -> None:
        self.now_s = 100.0
        self._text = io.StringIO()
        target = logging.StreamHandler(self._text)
        target.setFormatter(formatter)
        self.limiter = Limiter(target, clock_s=lambda: self.now_s)
        self.logger = logging.Logger("server.door.hub")  # not in the tree: nobody else's handlers, none of ours left
        self.logger.addHandler(self.limiter)

    def lines(self) -> list[str]:
        return self._text.getvalue().splitlines()


@pytest.fixture
def output() -> Output:
    return Output(LineFormatter("door"))


def complain(logger: logging.Logger, about: Any) -> None:
    logger.warning("a packet is refused: %s", about)


def test_of_thousands_of_warnings_the_first_is_said_and_then_one_a_second_with_their_count(output: Output) -> None:
    for number in range(5000):
        complain(output.logger, number)
        output.now_s += 0.0001
    assert [line.partition("door: ")[2] for line in output.lines()] == ["a packet is refused: 0"]
    output.limiter.say_counts()
    assert len(output.lines()) == 1, "less than a second has gone"
    output.now_s += 0.6
    output.limiter.say_counts()
    assert len(output.lines()) == 2
    assert output.lines()[1].endswith("WARNING door: a packet is refused: 4999 (4999 times more)")
    for number in range(7):
        complain(output.logger, number)
    output.now_s += 1
    output.limiter.say_counts()
    assert output.lines()[2].endswith("a packet is refused: 6 (7 times more)")
    output.now_s += 1
    output.limiter.say_counts()
    complain(output.logger, "again")
    assert output.lines()[3].endswith("a packet is refused: again"), "after a quiet second it is the first once more"
    assert len(output.lines()) == 4


def test_what_is_counted_from_many_threads_is_said_without_anyone_asking_and_none_is_lost() -> None:
    output = Output(JsonFormatter("door"))
    output.limiter._clock_s = time.monotonic
    threads = [threading.Thread(target=lambda: [complain(output.logger, "x") for _ in range(2000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: len(output.lines()) > 1, "the count")
    output.limiter.flush()
    told = [json.loads(line) for line in output.lines()]
    assert "times" not in told[0]
    assert 1 + sum(line["times"] for line in told[1:]) == 8000


def test_different_warnings_and_events_do_not_hide_each_other(output: Output) -> None:
    for number in range(4):
        complain(output.logger, number)
        output.logger.warning("stream %s", "ab"[number % 2], extra={"stream": "ab"[number % 2]})
        output.logger.info("event %d", number)
    texts = [line.partition("door: ")[2] for line in output.lines()]
    assert texts == ["a packet is refused: 0", "stream a", "event 0", "stream b", "event 1", "event 2", "event 3"]
    output.limiter.flush()
    assert [line.partition("door: ")[2] for line in output.lines()[7:]] == [
        "a packet is refused: 3 (3 times more)",
        "stream a (1 times more)",
        "stream b (1 times more)",
    ]


def test_what_a_stranger_sent_and_an_error_stay_on_their_line(output: Output) -> None:
    complain(output.logger, "x\n2026-01-01 00:00:00,000 INFO door: panic \x1b[2J\r\u2028!")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        output.logger.exception("failed")
    assert len(output.lines()) == 2
    assert r"refused: x\n2026-01-01" in output.lines()[0]
    assert r"\x1b[2J\r\u2028!" in output.lines()[0]
    assert re.search(r"failed: ValueError: two\\nlines at test_logs\.py:\d+ in test_what", output.lines()[1])


def test_as_json_a_line_has_its_time_level_message_and_what_is_known_besides() -> None:
    output = Output(JsonFormatter("studio"))
    output.logger.info("a\n%s", "b", extra={"stream": "lobby", "feed": "redacted"})
    output.logger.error("failed", exc_info=ValueError("why"))
    first, second = map(json.loads, output.lines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", first.pop("time"))
    assert first == {
        "level": "info", "process": "studio", "logger": "server.door.hub", "message": "a\nb", "stream": "lobby",
        "feed": "redacted",
    }  # fmt: skip
    assert (second["level"], second["error"]) == ("error", "ValueError: why")


@contextlib.contextmanager
def logging_server(folder: Path, *flags: str) -> Iterator[tuple[subprocess.Popen[str], str, Path]]:
    """`fancam serve` with the real studio: its process, its address and the file of its logs."""
    logs = folder / "stderr"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    with logs.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "client.cli.main", "serve", "--port", "0", "--token", TOKEN, *flags],
            stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=folder, env=environment,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert found, logs.read_text()
            yield process, found[0], logs
        finally:
            process.kill()
            process.communicate()


def status_of(url: str, token: str, body: bytes | None = None) -> int:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/sdp"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=15) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


async def publish_and_watch(url: str, path: Path) -> None:
    """A session of each kind, garbage in one of them, and offers that are refused."""
    said: list[str] = []
    publishing = asyncio.ensure_future(publish(str(path), f"{url}/whip/stage", token=TOKEN, loop=True, say=said.append))
    await until(lambda: said, "the stream")
    units: list[Any] = []
    async with Watcher(f"{url}/whep/stage/redacted", TOKEN, on_unit=units.append) as watcher:
        await until(lambda: len(units) > 3, "pictures", 45)
        connection = watcher._incoming.pc.getTransceivers()[0].receiver.transport.transport._connection
        for number in range(GARBAGE):
            await connection.send(b"\x80\x60" + os.urandom(60))
            if number % 10 == 0:  # the kernel drops what is not read in time
                await asyncio.sleep(0.005)
        spoilt = watcher._incoming.pc.localDescription.sdp.replace("m=video", "m=video x")
        assert await asyncio.to_thread(status_of, f"{url}/whip/other", TOKEN, spoilt.encode()) in (400, 422)
        assert await asyncio.to_thread(status_of, f"{url}/streams?token={TOKEN}", TOKEN[::-1]) == 401
    publishing.cancel()
    await asyncio.gather(publishing, return_exceptions=True)


def test_a_real_server_logs_no_token_and_no_sdp_and_counts_bad_packets(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    with logging_server(tmp_path, "--log-json", "--verbose") as (process, url, logs):
        wait_until(lambda: status_of(f"{url}/readyz", TOKEN) == 200, "a warm studio", 60)
        asyncio.run(publish_and_watch(url, clip))
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
        text = logs.read_text()
    told = [json.loads(line) for line in text.splitlines()]
    for secret in (TOKEN, TOKEN[::-1], "ice-pwd", "ice-ufrag", "a=", "v=0", "fingerprint", "Bearer"):
        assert secret not in text
    messages = [(line["process"], line["message"]) for line in told]
    assert ("door", "stage is published") in messages
    assert ("door", "stage: the publisher has gone") in messages
    assert any(message.startswith("stage: a viewer of redacted") for _, message in messages)
    assert {line["stream"] for line in told if "stage" in line["message"] and line["logger"].endswith("hub")} == {
        "stage"
    }
    deleted = [message for _, message in messages if '"DELETE ' in message]
    assert sorted(re.sub(r".*DELETE (\S+) .*", r"\1", message) for message in deleted) == [
        "/whep/session/***", "/whip/stage/***",
    ]  # fmt: skip
    assert ("door", "a GET without a token of ours is refused, from 127.0.0.1") in messages
    assert any(message.startswith("a whip offer is refused: 4") for _, message in messages)
    bad = [line for line in told if "SRTP unprotect failed" in line["message"]]
    assert not any("negotiated" in line["message"] for line in told), "what goes well is no warning"
    assert {line["level"] for line in bad} == {"warning"}
    assert len(bad) < 15, "one a second at most"
    assert GARBAGE // 2 < sum(line.get("times", 1) for line in bad) < GARBAGE + 50
