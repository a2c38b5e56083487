"""FFmpeg's WHIP muxer, as PyAV brings it, publishes."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import av
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks.browser import Server
from tests.clients.conftest import TOKEN, need
from tests.clients.watching import Scene, assert_redacted, seen


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The muxer's options for a P-256 certificate: the key that its GnuTLS makes by itself is refused by OpenSSL."""
    folder, key = tmp_path_factory.mktemp("certificate"), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ffmpeg")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "cert.pem").write_bytes(made.public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, plain))
    return {"cert_file": str(folder / "cert.pem"), "key_file": str(folder / "key.pem")}


@contextmanager
def publishing(video: Path, url: str, options: dict[str, str]) -> Iterator[None]:
    """A file, undecoded and in real time, from a thread."""
    stop = threading.Event()

    def publish() -> None:
        with av.open(str(video)) as source, av.open(url, "w", format="whip", options=options) as target:
            track = target.add_stream_from_template(source.streams.video[0])
            begin_s = time.monotonic()
            for packet in source.demux(video=0):
                if packet.dts is None or stop.wait(
                    max(0.0, begin_s + float(packet.dts * packet.time_base) - time.monotonic())
                ):
                    return
                packet.stream = track
                target.mux(packet)

    with ThreadPoolExecutor(1) as pool:
        published = pool.submit(publish)
        try:
            yield
        finally:
            stop.set()
        published.result()


def test_its_h264_comes_out_redacted(server: Server, scene: Scene, certificate: dict[str, str]) -> None:
    need("whip" in av.formats_available, "this PyAV has no WHIP muxer (17 and later have one)")
    options = {"authorization": TOKEN, "handshake_timeout": "20000", **certificate}
    with publishing(scene.again, f"{server.url}/whip/ffmpeg", options):
        planes = seen(f"{server.url}/whep/ffmpeg/redacted", TOKEN, 60)
    assert_redacted(planes, scene, 60)
