"""A user's own networks: a folder with NAME.onnx and NAME.json for each, and what may be pulled into it."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import tomllib
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from engines.disk import sha256_of
from engines.models.onnx_file import BadModel

BUILT_IN: Final = "face_nano"
NAME: Final = r"[a-z0-9][a-z0-9_-]{0,63}"
CATALOGUE: Final = "catalogue.toml"
SHA256: Final = r"[0-9a-f]{64}"


@dataclass(frozen=True, slots=True)
class Model:
    """A network that has a name. `family` says how its outputs are read, `classes` what they are called; `members`: each class
    is a person's face. `source` is where the file came from."""

    name: str
    sha256: str
    bytes: int
    family: str
    classes: tuple[str, ...]
    members: bool = False
    source: str = ""
    licence: str = ""


@dataclass(frozen=True, slots=True)
class Offer:
    """A network that can be pulled: `address` and what must come from there. `family` and `classes` as for `Model`, where
    the file leaves them open."""

    name: str
    address: str
    sha256: str
    licence: str
    family: str | None = None
    classes: tuple[str, ...] = ()
    members: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """A network to use; `family` and `classes` as it was added with, else as its file says. `tried`: it passed its trial when
    it was added."""

    path: Path
    family: str | None = None
    classes: tuple[str, ...] = ()
    members: bool = False
    tried: bool = False


def default_folder() -> Path:
    """Where a user's own networks lie unless a setting says otherwise."""
    data = os.environ.get("XDG_DATA_HOME", "")
    return (Path(data) if os.path.isabs(data) else Path.home() / ".local/share") / "fancam/models"


def check_name(name: str) -> None:
    """Raises BadModel: what cannot be a network's name."""
    if not re.fullmatch(NAME, name):
        raise BadModel(f"{name!r} is no name: lower-case letters, digits, - and _, at most 64, such as street-plates")


class Registry:
    """The networks in a folder, which is made when the first is added."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        check_name(name)
        return self.folder / f"{name}.onnx"

    def all(self) -> list[Model]:
        """Raises BadModel: a description that cannot be read."""
        return [self._read(path) for path in sorted(self.folder.glob("*.json")) if re.fullmatch(NAME, path.stem)]

    def find(self, name: str) -> Model:
        """The network of that name, its file looked at.

        Raises:
            BadModel: there is none, or its file is not the one that was added.
        """
        path = self.path(name)
        if not path.with_suffix(".json").is_file():
            raise self._unknown(name)
        model = self._read(path.with_suffix(".json"))
        if not path.is_file() or sha256_of(path) != model.sha256:
            raise BadModel(f"{path} is not the file that was added: fancam models remove {name}, and add it again")
        return model

    def choose(self, word: str) -> Choice:
        """What `--model` names: a network of this folder, or a file by its path, which is told from a name by a dot or slash.

        Raises:
            BadModel: there is none.
        """
        if re.fullmatch(NAME, word):
            model = self.find(word)
            return Choice(self.path(word).absolute(), model.family, model.classes, model.members, tried=True)
        if not Path(word).is_file():
            raise BadModel(f"no model at {word}")
        return Choice(Path(word).absolute())

    def check_free(self, name: str) -> None:
        """Raises BadModel: the name is taken, or none."""
        if name == BUILT_IN:
            raise BadModel(f"{name!r} is the built-in model: choose another name")
        path = self.path(name).with_suffix(".json")
        if path.exists():
            raise BadModel(f"there is a model called {name!r}: choose another name, or fancam models remove {name}")

    def add(self, model: Model, source: Path) -> None:
        """Copy the file that `model` describes; it has its name when all of it is there.

        Raises:
            BadModel: the name is taken, or the file is another one by now.
            OSError: it cannot be read, or the folder not be written.
        """
        self.check_free(model.name)
        path = self.path(model.name)
        self.folder.mkdir(parents=True, exist_ok=True)
        aside, said = (path.with_name(f".{model.name}.part{suffix}") for suffix in (".onnx", ".json"))
        try:
            shutil.copyfile(source, aside)
            if sha256_of(aside) != model.sha256:
                raise BadModel(f"{source} was changed while it was added")
            said.write_text(json.dumps(asdict(model), indent=1) + "\n", encoding="utf-8")
            aside.replace(path)
            said.replace(path.with_suffix(".json"))
        finally:
            aside.unlink(missing_ok=True)
            said.unlink(missing_ok=True)

    def hold(self, name: str) -> int:
        """Keep the network of that name from being removed, by whatever process, as long as the descriptor returned is open.

        Raises:
            BadModel: there is none.
        """
        try:
            held = os.open(self.path(name), os.O_RDONLY)
        except OSError as error:
            raise BadModel(f"{error.filename}: {error.strerror}") from error
        fcntl.flock(held, fcntl.LOCK_SH)
        return held

    def remove(self, name: str) -> None:
        """Delete a network and its description, also one that is not as it was added.

        Raises:
            BadModel: there is none of that name, it is the built-in one, or it is in use.
            OSError: it cannot be deleted.
        """
        if name == BUILT_IN:
            raise BadModel(f"{name!r} is built in and cannot be removed")
        path = self.path(name)
        if not path.with_suffix(".json").is_file():
            raise self._unknown(name)
        with ExitStack() as stack:
            if path.is_file():
                file = stack.enter_context(path.open("rb"))
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise BadModel(f"{name!r} is in use: end the fancam that runs with it first") from None
            path.with_suffix(".json").unlink()
            path.unlink(missing_ok=True)

    def _unknown(self, name: str) -> BadModel:
        known = ", ".join(model.name for model in self.all())
        there = f"known are {known}" if known else "there is none yet"
        return BadModel(f"no model is called {name!r} in {self.folder}: {there}; a file is FILE.onnx")

    def _read(self, path: Path) -> Model:
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            model = Model(**{**told, "classes": tuple(told["classes"])})
            if model.name != path.stem or not re.fullmatch(SHA256, model.sha256):
                raise ValueError
            return model
        except OSError as error:
            raise BadModel(f"{path}: {error.strerror}") from error
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise BadModel(
                f"{path} does not describe a model: fancam models remove {path.stem}, and add it again"
            ) from error

    def offers(self) -> dict[str, Offer]:
        """What can be pulled: by Fancam's own list, and by the folder's catalogue.toml, which goes first.

        Raises:
            BadModel: a catalogue that cannot be read, in one line.
        """
        own = self.folder / CATALOGUE
        return read_offers(Path(__file__).with_name(CATALOGUE)) | (read_offers(own) if own.is_file() else {})


def read_offers(path: Path) -> dict[str, Offer]:
    """A catalogue: a table [NAME] for each network with `address`, `sha256`, `licence`, and `family`, `classes`, `members`
    where they are needed.

    Raises:
        BadModel: which entry is wrong, and how.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        return {name: _offer(name, table) for name, table in tables.items()}
    except OSError as error:
        raise BadModel(f"{path}: {error.strerror}") from error
    except (ValueError, BadModel) as error:
        raise BadModel(f"{path}: {error}") from None


def _offer(name: str, table: Any) -> Offer:
    check_name(name)
    if not isinstance(table, dict):
        raise BadModel(f"{name} is not a table")
    unknown = table.keys() - set(Offer.__dataclass_fields__) | table.keys() & {"name"}
    if unknown:
        raise BadModel(f"{name}: {min(unknown)} means nothing here")
    for key in ("address", "sha256", "licence"):
        if not isinstance(table.get(key), str) or not table[key]:
            raise BadModel(f"{name}: {key} is missing")
    if not re.fullmatch(SHA256, table["sha256"]):
        raise BadModel(f"{name}: sha256 is 64 lower-case hexadecimal digits")
    classes = table.get("classes", [])
    if not isinstance(classes, list) or not all(isinstance(word, str) for word in classes):
        raise BadModel(f"{name}: classes is a list of names")
    if not isinstance(table.get("family", ""), str) or not isinstance(table.get("members", False), bool):
        raise BadModel(f"{name}: family is a word, members true or false")
    return Offer(**{**table, "name": name, "classes": tuple(classes)})
