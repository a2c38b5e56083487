"""`--tls-cert` and `--tls-key`: HTTPS for browsers, our own clients and everybody else."""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import re
import select
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
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

FANCAM = (sys.executable, "-P", "-m", "client.cli.main")
DEADLINE_S = 60


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


@contextmanager
def serving(cert: Path, key: Path) -> Iterator[str]:
    flags = ["--port", "0", "--tls-cert", str(cert), "--tls-key", str(key)]
    process = subprocess.Popen(
        [*FANCAM, "serve", *flags], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], DEADLINE_S)[0], "nothing printed"
        found = re.search(r"https://127\.0\.0\.1:\d+", process.stdout.readline())
        assert found, "no https address announced"
        yield found[0]
    finally:
        process.terminate()
        process.communicate(timeout=DEADLINE_S)


def fancam(*words: str, trust: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **({"SSL_CERT_FILE": str(trust)} if trust else {})}
    return subprocess.run([*FANCAM, *words], capture_output=True, text=True, timeout=DEADLINE_S, env=env)


def test_own_clients_publish_and_watch_over_https(tmp_path: Path) -> None:
    cert, key = write_pair(tmp_path, "server")
    clip = write_clip(tmp_path / "clip.mp4", frames=60)
    with serving(cert, key) as url:
        with urllib.request.urlopen(f"{url}/healthz", context=ssl.create_default_context(cafile=cert)) as answer:
            assert answer.status == 200
        untrusted = fancam("watch", f"{url}/whep/stage/raw", "--seconds", "1")
        assert untrusted.returncode == 1
        assert untrusted.stderr.count("\n") == 1
        assert "not trusted" in untrusted.stderr
        assert "SSL_CERT_FILE" in untrusted.stderr
        publisher = subprocess.Popen(
            [*FANCAM, "publish", str(clip), f"{url}/whip/stage", "--loop"],
            env={**os.environ, "SSL_CERT_FILE": str(cert)},
            stdout=subprocess.PIPE,
        )
        try:
            assert publisher.stdout is not None
            assert select.select([publisher.stdout], [], [], DEADLINE_S)[0], "the publisher did not connect"
            watched = fancam("watch", f"{url}/whep/stage/raw", "--seconds", "2", "--json", trust=cert)
            assert watched.returncode == 0, watched.stderr
            assert json.loads(watched.stdout)["frames"] > 20
        finally:
            publisher.terminate()
            publisher.communicate(timeout=DEADLINE_S)


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
