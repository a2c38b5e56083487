"""Opens a source with FFmpeg's demuxers, which are given files, our own connections and nothing else."""

from __future__ import annotations

import base64
import contextlib
import http.client
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import av

from engines.codecs.files import FORMATS, LENIENT
from server.pull.address import TIMEOUT_S, Address, Refused, Silent, SourceError
from server.pull.tunnel import Tunnel

HTTP_FORMATS: Final = "mov,matroska,webm,mpegts,mpeg,avi,flv,h264,hevc,ivf,ogg,asf,mpjpeg"
PROBE: Final = {"probesize": "5000000", "analyzeduration": "2000000"}
PLAYLISTS: Final = (b"#EXTM3U", b"ffconcat", b"<?xml", b"<MPD", b"[playlist]", b"[Reference]", b"v=0\r\n", b"v=0\n")
TIMED_OUT: Final = (TimeoutError, av.error.ExitError, av.error.TimeoutError)


@dataclass
class Opened:
    """An open source; `container` belongs to one thread."""

    container: Any
    is_live: bool
    """It comes in its own time; what is not live is read as fast as one likes, and has an end."""
    close: Callable[[], None]
    was_refused: Callable[[], bool] = lambda: False
    """Whether it was ended because it wanted to lead elsewhere."""


def open_source(name: str, *, allow_private: bool = True, allow_local: bool = True) -> Opened:
    """Open a file by its path, a webcam by its number or a network address.

    Raises:
        Refused: the address may not be read, or leads elsewhere. Silent: it does not answer. SourceError: all the rest.
    """
    if "://" in name or not allow_local:
        return _open_address(Address.parse(name), allow_private)
    is_camera = name.isdecimal()
    try:
        if is_camera:
            options = {"framerate": "30", "video_size": "640x480"}
            container: Any = av.open(f"/dev/video{name}", format="v4l2", options=options)
        else:
            if not Path(name).is_file():
                raise SourceError(f"{name}: no such file")
            container = av.open(name, options={"protocol_whitelist": "file", "format_whitelist": FORMATS}, **LENIENT)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise SourceError(f"{f'webcam {name}' if is_camera else name} cannot be opened: {reason(error)}") from error
    return Opened(container, is_camera, container.close)


def reason(error: Exception) -> str:
    """Why FFmpeg failed, without the address, which its own text holds."""
    return getattr(error, "strerror", None) or type(error).__name__


def _open_address(address: Address, allow_private: bool) -> Opened:
    return _open_http(address, allow_private) if address.protocol == "http" else _open_tunnel(address, allow_private)


def _open_tunnel(address: Address, allow_private: bool) -> Opened:
    """RTSP and RTMP, which FFmpeg speaks itself: through a tunnel, over TCP, with no other format or protocol allowed."""
    tunnel = Tunnel(address, allow_private)
    options = {"rtsp": {"protocol_whitelist": "tcp,rtp", "format_whitelist": "rtsp", "rtsp_transport": "tcp"},
               "rtmp": {"protocol_whitelist": "tcp,rtmp", "format_whitelist": "flv", "rtmp_live": "live"}}  # fmt: skip
    began_s = time.monotonic()
    try:
        container = av.open(
            tunnel.url, options=options[address.protocol] | PROBE, timeout=(TIMEOUT_S, TIMEOUT_S), **LENIENT
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        tunnel.close()
        if tunnel.redirected:
            raise Refused(f"{address} redirects to another address, which is not followed") from None
        is_late = time.monotonic() - began_s >= TIMEOUT_S  # of which RTMP makes an error of its own
        raise _failure(address, TimeoutError() if is_late else error) from None

    def close() -> None:
        container.close()
        tunnel.close()

    return Opened(container, True, close, lambda: tunnel.redirected)


def _open_http(address: Address, allow_private: bool) -> Opened:
    """A response of our own is all that FFmpeg reads."""
    with contextlib.ExitStack() as stack:
        try:
            response = _get(address, address.connect(address.resolve(allow_private)), stack)
            body = _Body(address, response)
            options = {"protocol_whitelist": "none", "format_whitelist": HTTP_FORMATS}
            container = av.open(body, options=options | PROBE, **LENIENT)
        except (av.FFmpegError, OSError, ValueError, http.client.HTTPException) as error:
            raise _failure(address, error) from None
        stack.callback(container.close)
        return Opened(container, body.is_live, stack.pop_all().close)


def _get(address: Address, link: socket.socket, stack: contextlib.ExitStack) -> http.client.HTTPResponse:
    """The answer to one request, which is not repeated elsewhere; `stack` closes it."""
    connection = http.client.HTTPConnection(address.host, address.port)
    connection.sock = link
    stack.callback(connection.close)
    headers = {"User-Agent": "fancam", "Accept": "*/*"}
    if address.user is not None:
        secret = base64.b64encode(f"{address.user}:{address.password or ''}".encode()).decode()
        headers["Authorization"] = f"Basic {secret}"
    connection.request("GET", address.path, headers=headers)
    response = connection.getresponse()
    stack.callback(response.close)
    if 300 <= response.status < 400:
        raise Refused(f"{address} redirects to another address, which is not followed")
    if response.status != 200:
        raise SourceError(f"{address} answers with status {response.status}")
    return response


class _Body:
    """A response as a file that is read forwards, with what has come so far; a playlist is refused at its first bytes."""

    def __init__(self, address: Address, response: http.client.HTTPResponse) -> None:
        self.is_live = response.length is None
        self._read = response.read1
        self._ahead = b""
        self._deadline_s = time.monotonic() + TIMEOUT_S
        while len(self._ahead) < max(map(len, PLAYLISTS)) and (more := self._read(4096)):
            self._ahead += more
            if time.monotonic() > self._deadline_s:
                raise TimeoutError
        if self._ahead.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(PLAYLISTS):
            raise Refused(f"{address} is a playlist, and playlists are not read")

    def read(self, size: int) -> bytes:
        if self._ahead:
            data, self._ahead = self._ahead[:size], self._ahead[size:]
            return data
        return self._read(size)


def _failure(address: Address, error: Exception) -> SourceError:
    if isinstance(error, TIMED_OUT):
        return Silent(f"{address} did not answer within {TIMEOUT_S} s")
    return SourceError(f"{address} cannot be read: {reason(error)}")
