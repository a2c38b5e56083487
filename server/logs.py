"""How door and studio log: one line an event, as text or as JSON; a complaint that comes again and again is counted."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

INTERVAL_S: Final = 1.0
MAX_FRAMES: Final = 12
"""Of a traceback, the innermost."""
EXTRAS: Final = ("stream", "feed", "times")
"""What a record may carry besides its message: `logger.info(…, extra={"stream": name})`."""

Place = tuple[str, int, str | None]
"""File, line, stream."""

CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
SESSION: Final = re.compile(r"^(/whip/[^/?]+/|/whep/session/)[^/?]+")
"""The address of a session is all that one needs to end it, where there are no tokens."""

DTLS: Final = "aiortc.rtcdtlstransport"
"""The logger of aiortc that tells, at DEBUG and with an x before them, of packets that SRTP or a parser has refused ..."""
GOOD: Final = "handshake negotiated"
"""... and of this, which is none."""


def set_up(process: str, *, as_json: bool = False, verbose: bool = False) -> None:
    """Log to stderr. `process` is "door" or "studio"; `verbose` adds a line for each HTTP request."""
    target = logging.StreamHandler(sys.stderr)
    target.setFormatter((JsonFormatter if as_json else LineFormatter)(process))
    logging.basicConfig(level=logging.INFO, handlers=[Limiter(target)])
    for library in ("aiortc", "aioice", "uvicorn.error"):
        logging.getLogger(library).setLevel(logging.WARNING)
    access = logging.getLogger("uvicorn.access")
    access.setLevel(logging.INFO if verbose else logging.WARNING)
    access.addFilter(hide_secrets_of_request)
    refusals = logging.getLogger(DTLS)
    refusals.setLevel(logging.DEBUG)
    refusals.addFilter(raise_refusals)


def hide_secrets_of_request(record: logging.LogRecord) -> bool:
    """Take the query and the session's name out of a line of uvicorn.access."""
    if isinstance(record.args, tuple) and len(record.args) == 5:
        address, method, path, version, status = record.args
        path = SESSION.sub(r"\1***", str(path).partition("?")[0])
        record.args = (address, method, path, version, status)
    return True


def raise_refusals(record: logging.LogRecord) -> bool:
    """Packets that aiortc refuses are worth a warning, its other steps nothing."""
    if record.levelno == logging.DEBUG and ") x " in record.msg and GOOD not in record.msg:
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return record.levelno >= logging.WARNING


class Limiter(logging.Handler):
    """Hands on to `target`; of the warnings from one line of code about one stream, the first, and then one a second with how
    many there were.
    """

    def __init__(self, target: logging.Handler, clock_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._target, self._clock_s = target, clock_s
        self._said_s: dict[Place, float] = {}
        self._unsaid: dict[Place, tuple[int, logging.LogRecord]] = {}
        self._timer: threading.Timer | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.WARNING:
            self._target.handle(record)
            return
        place = (record.pathname, record.lineno, getattr(record, "stream", None))
        if place in self._said_s:
            self._unsaid[place] = (self._unsaid.get(place, (0, record))[0] + 1, record)
            return
        self._said_s[place] = self._clock_s()
        self._target.handle(record)
        if self._timer is None:
            self._wait()

    def say_counts(self, *, all_of_them: bool = False) -> None:
        """Say the last one of what has come again, if a second has gone since; forget what has not."""
        self.acquire()
        try:
            now_s = self._clock_s()
            for place, said_s in list(self._said_s.items()):
                if not all_of_them and now_s - said_s < INTERVAL_S:
                    continue
                if place in self._unsaid:
                    times, record = self._unsaid.pop(place)
                    record.times = times
                    self._said_s[place] = now_s
                    self._target.handle(record)
                else:
                    del self._said_s[place]
        finally:
            self.release()

    def flush(self) -> None:
        self.say_counts(all_of_them=True)
        self._target.flush()

    def _wait(self) -> None:
        self._timer = threading.Timer(INTERVAL_S, self._wake)
        self._timer.daemon = True
        self._timer.start()

    def _wake(self) -> None:
        self.say_counts()
        self.acquire()
        try:
            self._timer = None
            if self._said_s:
                self._wait()
        finally:
            self.release()


class LineFormatter(logging.Formatter):
    """`2026-11-21 08:41:22,699 WARNING studio: message (12 times more): ValueError: text at file.py:3 in name < …`."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        times = getattr(record, "times", 0)
        parts = [f"{self.formatTime(record)} {record.levelname} {self._process}: {one_line(record.getMessage())}"]
        if times:
            parts.append(f" ({times} times more)")
        if record.exc_info and record.exc_info[1]:
            parts.append(f": {error_line(record.exc_info[1])}")
        return "".join(parts)


class JsonFormatter(logging.Formatter):
    """One object a line: time (UTC), level, process, logger, message, and where known stream, feed, times, error."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        told |= {name: getattr(record, name) for name in EXTRAS if hasattr(record, name)}
        if record.exc_info and record.exc_info[1]:
            told["error"] = error_line(record.exc_info[1])
        return json.dumps(told, ensure_ascii=False)


def one_line(text: str) -> str:
    """What a stranger has sent cannot begin a line of its own, nor move the terminal's cursor."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text.strip())


def error_line(error: BaseException) -> str:
    """An exception and where it came from, innermost first."""
    frames = traceback.extract_tb(error.__traceback__)[-MAX_FRAMES:]
    places = [f"{Path(frame.filename).name}:{frame.lineno} in {frame.name}" for frame in reversed(frames)]
    text = one_line(f"{type(error).__name__}: {error}")
    return f"{text} at {' < '.join(places)}" if places else text
