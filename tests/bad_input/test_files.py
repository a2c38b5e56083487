"""Files that are not what their names say: one line each, in bounded time, or what can be read of them."""

from __future__ import annotations

import contextlib
import random
import resource
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from client.cli.detect import Unreadable, read
from client.cli.main import main
from engines.codecs.files import FileError, VideoFile
from server.pull.address import SourceError
from server.pull.source import Source
from tests.engines.videos import write_video

LONGEST_S = 10.0
MOST_RSS = 1 << 30
FRAMES = 12


@cache
def video(suffix: str) -> bytes:
    """A third of a second in some container."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        codec = "libvpx" if suffix == "webm" else "libx264"
        return write_video(Path(folder, f"a.{suffix}"), FRAMES, codec=codec).read_bytes()


def picture(suffix: str) -> bytes:
    noise = np.random.default_rng(1).integers(0, 255, (48, 64, 3), np.uint8)
    return cv2.imencode(suffix, noise)[1].tobytes()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def flipped(data: bytes, seed: int) -> bytes:
    chance, changed = random.Random(seed), bytearray(data)
    for _ in range(1 + len(data) // 200):
        changed[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(changed)


OTHERS = {
    "empty": b"",
    "one byte": b"\0",
    "zeros": bytes(4096),
    "ones": b"\xff" * 4096,
    "text": b"words " * 99,
    "noise": random.Random(1).randbytes(5000),
    "page": b"<!doctype html><script>1</script>",
    "script": b"#!/bin/sh\nrm -rf /\n",
    "PDF": b"%PDF-1.7\n",
    "ELF": b"\x7fELF" + bytes(99),
    "ZIP": b"PK\x03\x04" + bytes(99),
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "XML bomb": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><MPD>&b;</MPD>',
}

VIDEOS = OTHERS | {
    "playlist": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
    "concat": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    "session description": b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=video 9 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n",
    "only ftyp": b"\0\0\0\x18ftypisom\0\0\2\0isomiso2",
    "atom of no size": b"\0\0\0\0ftyp" + bytes(64),
    "atom of 2^64": b"\0\0\0\1ftyp" + b"\xff" * 8,
    "atoms in atoms": b"".join(struct.pack(">I", 8 * (5000 - n)) + b"moov" for n in range(5000)),
    "IVF of 65535": b"DKIF\0\0\x20\0VP80\xff\xff\xff\xff" + bytes(64),
    "IVF frame of 4 GB": b"DKIF\0\0\x20\0VP80\x40\0\x40\0\x1e\0\0\0\1\0\0\0" + bytes(8) + b"\xff" * 12,
    "Y4M of 65535": b"YUV4MPEG2 W65535 H65535 F30:1 C420\nFRAME\n" + bytes(99),
    "Y4M of nothing": b"YUV4MPEG2 W0 H0 F0:0 C420\nFRAME\n",
    "Y4M below nothing": b"YUV4MPEG2 W-5 H-5 F-1:0 C420\nFRAME\n",
    "RIFF of 4 GB": b"RIFF\xff\xff\xff\xffAVI LIST\xff\xff\xff\xffhdrlavih" + b"\xff" * 60,
    "GIF of 65535": b"GIF89a\xff\xff\xff\xff\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\xff\xff\xff\xff\0\2\2D\1\0;",
    "FLV of 16 MB": b"FLV\1\5\0\0\0\x09\0\0\0\0\x09\xff\xff\xff" + bytes(20),
    "EBML of 2^56": b"\x1aE\xdf\xa3\x01" + b"\xff" * 7 + b"webm" * 9,
    "a bomb of PNG": png(30_000, 30_000, bytes(30_001)),
    "tags of Ogg": b"OggS" + b"\xff" * 300,
}
VIDEOS |= {
    f"{suffix} cut at {part} of 9": video(suffix)[: len(video(suffix)) * part // 9]
    for suffix in ("mp4", "mkv", "webm", "ts", "avi", "flv")
    for part in (1, 4, 8)
}
VIDEOS |= {
    f"{suffix} damaged {seed}": flipped(video(suffix), seed)
    for suffix in ("mp4", "mkv", "webm", "ts", "avi", "flv")
    for seed in range(4)
}


@pytest.mark.parametrize("data", VIDEOS.values(), ids=VIDEOS)
def test_no_videos_to_process(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(data)
    began_s = time.monotonic()
    try:
        with VideoFile(path) as opened:
            frames = sum(1 for _ in opened)
    except FileError as error:
        said = str(error)
    else:
        said = f"{path}: readable"
        assert 0 < frames <= 2 * FRAMES
    assert is_line(said, path)
    assert time.monotonic() - began_s < LONGEST_S


@pytest.mark.parametrize("data", VIDEOS.values(), ids=VIDEOS)
def test_no_videos_to_publish(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(data)
    began_s = time.monotonic()
    units, said = played(path)
    assert is_line(said)
    assert len(units) <= 2 * FRAMES
    assert time.monotonic() - began_s < LONGEST_S


def played(path: Path) -> tuple[list[bytes], str]:
    """What a publisher would send of a file, and why it ended."""
    units: list[bytes] = []
    try:
        source = Source(str(path), loop=False)
        stop = threading.Timer(1.5, source.stopped.set)  # times that are damaged may lie hours apart
        stop.start()
        try:
            source.run(lambda data, *_: units.append(data), lambda *_: None)
        finally:
            stop.cancel()
            stop.join()
    except SourceError as error:
        return units, str(error)
    return units, "the end"


def is_line(text: str, path: Path | None = None) -> bool:
    return len(text.splitlines()) == 1 and (path is None or str(path) in text)


PICTURES = OTHERS | {
    "GIF": b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\1\0\1\0\0\2\2D\1\0;",
    "PNM of 2^31": b"P6 99999 99999 255\n",
    "HDR": b"#?RADIANCE\n\n-Y 99999 +X 99999\n",
    "EXR": b"v/1\1\2\0\0\0" + bytes(99),
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(99),
    "only a JPEG's start": b"\xff\xd8",
    "JPEG of fill": b"\xff\xd8" + b"\xff" * 99_999,
    "JPEG segment of no length": b"\xff\xd8" + b"\xff\xe0\0\0" * 999,
    "only a PNG's start": b"\x89PNG\r\n\x1a\n",
    "PNG of no size": png(0, 0),
    "PNG below zero": png(2**31, 1),
    "TIFF that points at itself": b"II*\0\4\0\0\0" + bytes(99),
    "TIFF that points away": b"II*\0\xff\xff\xff\xff",
    "TIFF of 65535 entries": b"MM\0*\0\0\0\x08\xff\xff",
    "BMP of header 0": b"BM" + bytes(99),
    "only RIFF": b"RIFF\x04\0\0\0WEBP",
    "WebP of nothing": b"RIFF\x0c\0\0\0WEBPVP8 \0\0\0\0",
}
PICTURES |= {f"{suffix} cut": picture(suffix)[:40] for suffix in (".png", ".jpg", ".webp", ".tiff", ".bmp")}


@pytest.mark.parametrize("data", PICTURES.values(), ids=PICTURES)
def test_no_pictures(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    began_s = time.monotonic()
    with pytest.raises(Unreadable) as refusal:
        read(path)
    assert is_line(str(refusal.value), path)
    assert time.monotonic() - began_s < LONGEST_S


def tiff(order: str, kind: int) -> bytes:
    mark = b"II*\0" if order == "<" else b"MM\0*"
    value = struct.pack(order + ("HH" if kind == 3 else "I"), *([60_000, 0] if kind == 3 else [60_000]))
    entries = b"".join(struct.pack(f"{order}HHI", tag, kind, 1) + value for tag in (256, 257))
    return mark + struct.pack(f"{order}IH", 8, 2) + entries + bytes(64)


LARGE = {
    "PNG": png(60_000, 60_000, bytes(60_001)),
    "BMP": b"BM" + bytes(12) + struct.pack("<IiiHH", 40, 60_000, 60_000, 1, 24) + bytes(60),
    "BMP from the top": b"BM" + bytes(12) + struct.pack("<IiiHH", 40, 60_000, -60_000, 1, 24) + bytes(60),
    "BMP of OS/2": b"BM" + bytes(12) + struct.pack("<IHHHH", 12, 60_000, 60_000, 1, 24) + bytes(60),
    "TIFF": tiff("<", 4),
    "TIFF of shorts": tiff("<", 3),
    "TIFF of the other order": tiff(">", 3),
    "JPEG": b"\xff\xd8\xff\xe0\0\x10"
    + bytes(14)
    + b"\xff\xc0\0\x11\x08"
    + struct.pack(">HH", 60_000, 60_000)
    + bytes(99),
    "JPEG after much else": b"\xff\xd8"
    + (b"\xff\xe2\xff\xff" + bytes(65_533)) * 3
    + b"\xff\xc2\0\x11\x08"
    + struct.pack(">HH", 60_000, 60_000)
    + bytes(99),
    "WebP": b"RIFF\x99\0\0\0WEBPVP8 \x80\0\0\0\x10\0\0\x9d\x01\x2a\xff\x3f\xff\x3f" + bytes(99),
    "WebP without loss": b"RIFF\x99\0\0\0WEBPVP8L\x80\0\0\0\x2f\xff\xff\xff\x0f" + bytes(99),
    "WebP with more": b"RIFF\x99\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + (59_999).to_bytes(3, "little") * 2 + bytes(99),
}


@pytest.mark.parametrize("data", LARGE.values(), ids=LARGE)
def test_pictures_that_claim_to_be_huge_are_not_decoded(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(data)
    with pytest.raises(Unreadable, match="more than 50 megapixels"):
        read(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tiff", ".bmp"])
def test_damaged_pictures(suffix: str, tmp_path: Path, tried: Callable[[int], None]) -> None:
    path = tmp_path / "picture"
    end_s, count = time.monotonic() + 1, 0
    while count < 300 and time.monotonic() < end_s:
        path.write_bytes(flipped(picture(suffix), count))
        with contextlib.suppress(Unreadable):
            _, width, height = read(path)
            assert width * height <= 50_000_000
        count += 1
    tried(count)


NAMES = ["a\nb", "a\rb", "a\x1b[2Jb", "a\x07b", "a\u202egnp", "a\x7fb", "a\x9bb", "\u2028", "a\udcffb"]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
@pytest.mark.parametrize("verb", ["process", "detect", "publish"])
def test_names_that_would_move_the_cursor(
    verb: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.write_bytes(b"no video, no picture")
    more = {"process": ["--out", str(tmp_path / "out")], "publish": ["http://127.0.0.1:9/whip/x"], "detect": []}[verb]
    with pytest.raises(SystemExit) as left:
        main([verb, str(path), *more])
    assert left.value.code == 1
    said = capsys.readouterr().err
    assert all(line.isprintable() for line in said.removesuffix("\n").split("\n")), ascii(said)
    assert len(said.splitlines()) == 1 + (verb == "detect")


def test_what_is_huge_takes_no_memory(tmp_path: Path) -> None:
    """All bombs in turn, in a process of its own."""
    for name, data in (VIDEOS | LARGE).items():
        if " of " in name or name in LARGE:
            (tmp_path / name.replace("/", "")).write_bytes(data)
    code = "import pathlib, sys, contextlib; from engines.codecs.files import FileError, VideoFile; from client.cli.detect import *\n"
    code += "for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):\n"
    code += "    with contextlib.suppress(FileError): sum(1 for _ in VideoFile(path))\n"
    code += "    with contextlib.suppress(Unreadable): read(path)\n"
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    subprocess.run([sys.executable, "-P", "-c", code, str(tmp_path)], check=True, stderr=subprocess.DEVNULL, timeout=60)
    assert max(before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * 1024 < MOST_RSS
