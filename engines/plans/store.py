"""Where plans lie: a folder of this user's alone, each file signed, so that nothing foreign reaches the deserialiser.

A plan is executable content that TensorRT trusts. A file is four parts: a line that names the format, a line with the HMAC-SHA256 (hex) of
all that follows, a line of JSON (the manifest), the plan. The HMAC's key lies in the folder, readable by its owner alone.
"""

from __future__ import annotations

import fcntl
import hmac
import json
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from engines.disk import cache_folder
from engines.plans.key import Key, Target, key_of

FORMAT: Final = b"fancam plan 1\n"
SUFFIX: Final = ".plan"
SIGNING_KEY: Final = "signing-key"
SIGNING_BYTES: Final = 32
MANIFEST_MAX: Final = 1 << 20


class PlanError(Exception):
    """A plan that cannot be used, or a folder that is not safe; one line: what, where, what to do."""


class NoPlan(PlanError):
    """There is none for this key; the line says how the nearest one differs."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`data`: what the deserialiser takes, already checked. `ports`: each input and output, by name, with its `mode` (INPUT,
    OUTPUT), `dtype` (TensorRT's name: FLOAT, HALF, UINT8 …) and `shape` (−1 for the batch)."""

    path: Path
    key: Key
    ports: dict[str, dict[str, Any]]
    data: memoryview


def default_folder() -> Path:
    """`$XDG_CACHE_HOME/fancam/plans`: plans can always be made anew."""
    return cache_folder() / "plans"


class Store:
    """The plans in a folder, which is made (0700) when it is not there.

    Raises:
        PlanError: the folder is somebody else's, or others may read or write it.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or default_folder()
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise PlanError(f"cannot make the folder of plans {self.folder}: {error.strerror}") from error
        _check_private(self.folder, "700")
        self._secret = self._signing_key()

    def find(self, onnx: str, target: Target, size: tuple[int, int] | None = None) -> Plan:
        """The plan of the ONNX file with this sha256, for here, its signature checked; for pictures of `size` (height, width), or
        of whichever it was built for.

        Raises:
            NoPlan: there is none; where there is one for elsewhere, how that differs.
            PlanError: its file is damaged, or was not written here.
        """
        found = [key for key in self.built() if key.onnx == onnx and size in (None, key.size)]
        if not found:
            raise NoPlan("there is no plan of this network here: fancam engines build makes one")
        for key in found:
            if key.target == target:
                return self._read(self._path(key), key)
        nearest = min((target.differences(key.target) for key in found), key=len)
        raise NoPlan(f"the plan is for elsewhere: {'; '.join(nearest)}: fancam engines build makes a new one")

    def put(self, key: Key, ports: dict[str, dict[str, Any]], data: memoryview | bytes) -> Path:
        """Keep a plan, and remove those whose place it takes."""
        manifest = json.dumps({"key": asdict(key), "ports": ports}, sort_keys=True).encode() + b"\n"
        path = self._path(key)
        with locked(self.folder):
            write_private(path, FORMAT, self._sign(manifest, data).encode() + b"\n", manifest, data)
            for built in self.built():
                if built != key and key.replaces(built):
                    self._path(built).unlink(missing_ok=True)
        return path

    def timing(self, target: Target) -> bytes:
        """The timing cache of this library on such GPUs; empty where there is none or it is not to be trusted."""
        try:
            whole = self._timing(target).read_bytes()
        except FileNotFoundError:
            return b""
        signature, cache = whole[:64], whole[64:]
        return cache if hmac.compare_digest(signature, self._sign(cache).encode()) else b""

    def put_timing(self, target: Target, cache: bytes) -> None:
        with locked(self.folder):
            write_private(self._timing(target), self._sign(cache).encode(), cache)

    def built(self) -> list[Key]:
        """Of all readable plans here, as their manifests say; a manifest alone is not trusted with more than words."""
        found = []
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            try:
                with path.open("rb") as file:
                    _, _, line = file.readline(), file.readline(), file.readline(MANIFEST_MAX)
                found.append(key_of(json.loads(line)["key"]))
            except (OSError, ValueError, KeyError, TypeError):
                continue  # a foreign file, which `find` would refuse
        return found

    def _timing(self, target: Target) -> Path:
        named = sha256(json.dumps([target.tensorrt, target.device, target.capability]).encode()).hexdigest()
        return self.folder / f"{named[:32]}.timing"

    def _path(self, key: Key) -> Path:
        return self.folder / f"{key.digest()[:32]}{SUFFIX}"

    def _read(self, path: Path, key: Key) -> Plan:
        _check_private(path, "600")
        whole = memoryview(path.read_bytes())
        signature, signed = whole[len(FORMAT) : len(FORMAT) + 64], whole[len(FORMAT) + 65 :]
        if bytes(whole[: len(FORMAT)]) != FORMAT or not hmac.compare_digest(signature, self._sign(signed).encode()):
            raise PlanError(f"{path} is damaged or was not written here: remove it; fancam engines build makes it anew")
        end = bytes(signed[:MANIFEST_MAX]).index(b"\n") + 1
        told = json.loads(bytes(signed[:end]))
        if key_of(told["key"]) != key:
            raise PlanError(f"{path} changed while it was read: try again")
        return Plan(path, key, told["ports"], signed[end:])

    def _sign(self, *parts: bytes | memoryview) -> str:
        mac = hmac.new(self._secret, digestmod=sha256)
        for part in parts:
            mac.update(part)
        return mac.hexdigest()

    def _signing_key(self) -> bytes:
        path = self.folder / SIGNING_KEY
        with locked(self.folder):
            if not path.exists():
                write_private(path, secrets.token_bytes(SIGNING_BYTES))
        _check_private(path, "600")
        secret = path.read_bytes()
        if len(secret) != SIGNING_BYTES:
            raise PlanError(f"{path} is damaged: remove it and the plans beside it")
        return secret


def _check_private(path: Path, mode: str) -> None:
    found = path.stat()
    if found.st_uid != os.geteuid():
        raise PlanError(f"{path} belongs to another user: plans are executable content; name a folder of your own")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise PlanError(f"{path} is open to other users: chmod {mode} {path}, if nobody else has written there")


def write_private(path: Path, *parts: bytes | memoryview) -> None:
    """Write a file of mode 0600 aside, then rename it: a kill leaves the old one or the new one."""
    aside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            for part in parts:
                file.write(part)
        os.replace(aside, path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise PlanError(f"cannot write {path}: {error.strerror}") from error


@contextmanager
def locked(folder: Path, what: str = ".lock") -> Iterator[None]:
    """One process at a time in here; the lock ends with the process."""
    descriptor = os.open(folder / what, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
