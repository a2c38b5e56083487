"""rtsps and https: FFmpeg speaks without TLS to our tunnel, which speaks TLS to the source and checks its certificate."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from server.pull.address import SourceError
from server.pull.source import Source
from tests.client.clips import write_clip
from tests.server.pull.reading import sent_by
from tests.server.pull.servers import body, rtsp_server, web


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate of its own for 127.0.0.1, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a camera")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    path = tmp_path_factory.mktemp("tls") / "camera.pem"
    no_password = serialization.NoEncryption()
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_password)
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@contextlib.contextmanager
def with_tls(port: int, certificate: Path) -> Iterator[int]:
    """A port that takes TLS and leads to `port`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", 0))

    def carry(raw: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(raw, server_side=True) as near:
            with socket.create_connection(("127.0.0.1", port)) as far:
                while True:
                    ready = [near] if near.pending() else select.select([near, far], [], [])[0]
                    for side, other in ((near, far), (far, near)):
                        if side in ready:
                            data = side.recv(1 << 16)
                            if not data:
                                return
                            other.sendall(data)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=carry, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def test_rtsps_is_read_with_a_certificate_that_is_known(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with rtsp_server() as url, with_tls(int(url.rpartition(":")[2]), certificate) as port:
        with pytest.raises(SourceError, match="self-signed"):
            Source(f"rtsps://127.0.0.1:{port}/h264", False)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        video, sound = sent_by(Source(f"rtsps://127.0.0.1:{port}/h264", False), 20, pictures=30)
    assert len(video) > 15
    assert sound


def test_https_is_read_with_a_certificate_that_is_known(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        web(body(write_clip(tmp_path / "a.ts").read_bytes())) as server,
        with_tls(server.server_port, certificate) as port,
    ):
        with pytest.raises(SourceError, match="self-signed"):
            Source(f"https://127.0.0.1:{port}/a.ts", False)
        assert not server.asked
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        video, _ = sent_by(Source(f"https://127.0.0.1:{port}/a.ts", False), 20)
        with pytest.raises(SourceError, match="certificate"):
            Source(f"https://localhost:{port}/a.ts", False)
    assert len(video) == 30
