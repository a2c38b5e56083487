"""HTTPS: the certificate and the key that the door serves with."""

from __future__ import annotations

import ssl
from pathlib import Path

from server.settings import Settings, SettingsError


def context_of(settings: Settings) -> ssl.SSLContext | None:
    """What `--tls-cert` and `--tls-key` make, TLS 1.2 or later; None without them.

    Raises:
        SettingsError: files that are no certificate and key, or do not go together.
    """
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return _load(settings.tls_cert, settings.tls_key)


def _load(cert: Path, key: Path) -> ssl.SSLContext:
    def password() -> str:  # without this OpenSSL would ask at the terminal
        raise SettingsError(f"tls_key {key} is encrypted: give the key without a passphrase, readable by you alone")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cert)
    except ssl.SSLError:
        raise SettingsError(f"tls_cert {cert} holds no PEM certificate") from None
    except OSError as error:
        raise SettingsError(f"tls_cert {cert}: {error.strerror}") from None
    try:
        context.load_cert_chain(cert, key, password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise SettingsError(f"tls_key {key} is not the key of tls_cert {cert}") from None
        raise SettingsError(f"tls_key {key} holds no PEM private key that can be used ({error.reason})") from None
    except OSError as error:
        raise SettingsError(f"tls_key {key}: {error.strerror}") from None
    return context
