"""Files from the web whose hash is known beforehand: resumed where a download broke off, kept only when the hash is right."""

from __future__ import annotations

import ipaddress
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from engines.disk import sha256_of

TIMEOUT_S: Final = 30
CHUNK_BYTES: Final = 1 << 18
PARTIAL, NOT_THAT_RANGE = 206, 416


class DownloadError(Exception):
    """The file is not here; the text is one line: why, and whether to try again."""


def download(
    address: str,
    target: Path,
    sha256: str,
    max_bytes: int,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> None:
    """Write what `address` gives to `target`; a part of it that is there already is gone on with.

    `progress` is called with the bytes there are and will be (0 when unknown). A file with a wrong hash is removed.

    Raises:
        DownloadError: not an https address, no or a wrong answer, too large, or not the file that was meant.
        OSError: `target` cannot be written.
    """
    check_address(address)
    try:
        _fetch(address, target, max_bytes, progress)
    except urllib.error.HTTPError as error:
        error.close()
        raise DownloadError(f"{address}: the server says {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise DownloadError(f"{address}: {error.reason}") from None
    except (HTTPException, ConnectionError, TimeoutError) as error:
        raise DownloadError(
            f"{address}: the connection broke off ({error}): the same command goes on from there"
        ) from None
    got = sha256_of(target)
    if got != sha256:
        target.unlink()
        raise DownloadError(
            f"{address}: not the file that was meant, and removed: its sha256 is {got}, expected {sha256}"
        )


def check_address(address: str) -> None:
    """Raises DownloadError: neither https nor this machine itself."""
    parts = urlsplit(address)
    if parts.hostname and (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname))):
        return
    raise DownloadError(f"{address!r} is not an https:// address")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        check_address(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _fetch(address: str, target: Path, max_bytes: int, progress: Callable[[int, int], None]) -> None:
    have = target.stat().st_size if target.is_file() else 0
    headers = {"User-Agent": "fancam", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    opener = urllib.request.build_opener(_Redirects)
    try:
        answer = opener.open(urllib.request.Request(address, headers=headers), timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code != NOT_THAT_RANGE or not have:
            raise
        error.close()
        return  # all of it is there already, or it is another file: the hash says which
    with closing(answer):
        if answer.status != PARTIAL:
            have = 0
        length = int(answer.headers.get("Content-Length") or 0)
        of = have + length if length else 0
        if of > max_bytes:
            raise DownloadError(f"{address}: {of >> 20} MiB is more than {max_bytes >> 20} MiB")
        with target.open("ab" if have else "wb") as file:
            while chunk := answer.read(CHUNK_BYTES):
                have += len(chunk)
                if have > max_bytes:
                    raise DownloadError(f"{address}: more than {max_bytes >> 20} MiB came")
                file.write(chunk)
                progress(have, of)
    if of and have < of:
        raise ConnectionError(f"{have} of {of} bytes")
