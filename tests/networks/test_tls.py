"""`--tls-cert` and `--tls-key`: HTTPS for browsers, our own clients and everybody else."""

from __future__ import annotations

import datetime
import ipaddress
import json
import ssl
import urllib.request
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from tests.client.clips import write_clip
from tests.networks.serving import fancam, serving, started


def write_pair(folder: Path, name: str, encryption: KeySerializationEncryption | None = None) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fancam test")])
    now = datetime.datetime.now(datetime.UTC)
    cert = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
    cert_file.write_bytes(cert.public_bytes(Encoding.PEM))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()))
    return cert_file, key_file


def test_own_clients_publish_and_watch_over_https(tmp_path: Path) -> None:
    cert, key = write_pair(tmp_path, "server")
    clip = write_clip(tmp_path / "clip.mp4", frames=60)
    trust = {"SSL_CERT_FILE": str(cert)}
    with serving("--tls-cert", str(cert), "--tls-key", str(key)) as url:
        assert url.startswith("https://127.0.0.1:")
        with urllib.request.urlopen(f"{url}/healthz", context=ssl.create_default_context(cafile=cert)) as answer:
            assert answer.status == 200
        untrusted = fancam("watch", f"{url}/whep/stage/raw", "--seconds", "1")
        assert untrusted.returncode == 1
        assert untrusted.stderr.count("\n") == 1
        assert "not trusted" in untrusted.stderr
        assert "SSL_CERT_FILE" in untrusted.stderr
        with started("publish", str(clip), f"{url}/whip/stage", "--loop", **trust):
            watched = fancam("watch", f"{url}/whep/stage/raw", "--seconds", "8", "--json", **trust)
            assert watched.returncode == 0, watched.stderr
            assert json.loads(watched.stdout)["frames"] > 80


def other_key(folder: Path) -> tuple[Path, Path]:
    return write_pair(folder, "one")[0], write_pair(folder, "two")[1]


def encrypted(folder: Path) -> tuple[Path, Path]:
    return write_pair(folder, "one", BestAvailableEncryption(b"secret"))


def key_for_a_certificate(folder: Path) -> tuple[Path, Path]:
    _, key = write_pair(folder, "one")
    return key, key


def certificate_for_a_key(folder: Path) -> tuple[Path, Path]:
    cert, _ = write_pair(folder, "one")
    return cert, cert


def not_there(folder: Path) -> tuple[Path, Path]:
    return write_pair(folder, "one")[0], folder / "missing.key"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (other_key, "is not the key of"),
        (encrypted, "is encrypted"),
        (key_for_a_certificate, "holds no PEM certificate"),
        (certificate_for_a_key, "holds no PEM private key"),
        (not_there, "missing.key"),
    ],
)
def test_files_that_will_not_do_are_one_line(make: object, says: str, tmp_path: Path) -> None:
    cert, key = make(tmp_path)  # type: ignore[operator]
    done = fancam("serve", "--port", "0", "--tls-cert", str(cert), "--tls-key", str(key))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("fancam serve: ")
    assert says in done.stderr
