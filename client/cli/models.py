"""`fancam models add | list | show | pull | remove`: networks of one's own, by name."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from client.cli.main import Failure
from client.cli.verb import group

APP = group("models")
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="A name from `fancam models list`.")]


def registry() -> Any:
    """The user's networks, in the folder that the settings say.

    Raises:
        Failure: the settings cannot be read.
    """
    from engines.models.registry import Registry, default_folder
    from server.settings import SettingsError, load_settings

    try:
        return Registry(load_settings().model_folder or default_folder())
    except SettingsError as error:
        raise Failure(str(error)) from None


@contextmanager
def failing() -> Iterator[None]:
    from engines.models.onnx_file import BadModel

    try:
        yield
    except BadModel as error:
        raise Failure(str(error)) from None
    except OSError as error:
        raise Failure(f"{error.filename}: {error.strerror}") from None


@APP.command(help="Try a network, and give it a name.")
def add(
    file: Annotated[Path, typer.Argument(help="An ONNX file.")],
    name: Annotated[str, typer.Option(help="What to call it: lower-case letters, digits, - and _.")],
    family: Annotated[
        str | None, typer.Option(help="How its outputs are read, where the file leaves that open.")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(help="What its classes are called, in order: a,b,c or coco or a text file with one a line."),
    ] = None,
    members: Annotated[
        bool, typer.Option("--members", help="Its classes are people: each is somebody's face.")
    ] = False,
    licence: Annotated[str, typer.Option(help="Its licence, shown by `fancam models show`.")] = "",
) -> None:
    with failing():
        model = _add(registry(), file, name, family, _classes(classes), members, str(file.absolute()), licence)
    print(f"{model.name}: {model.family}, finds {_few(model.classes)}")


@APP.command("list", help="The networks there are, and those that can be pulled.")
def list_models(json: Json = False) -> None:
    from engines.models.registry import BUILT_IN

    with failing():
        there = registry()
        models, offers = there.all(), there.offers()
    if json:
        told = {
            "models": [asdict(model) for model in models],
            "can_be_pulled": [asdict(one) for one in offers.values()],
        }
        print(jsonlib.dumps(told, indent=1))
        return
    rows = [(BUILT_IN, "fancam", "face", "built in")]
    rows += [(model.name, model.family, _few(model.classes), f"{model.bytes / 1e6:.1f} MB") for model in models]
    there_names = {model.name for model in models}
    rows += [
        (offer.name, offer.family or "?", _few(offer.classes), f"fancam models pull {offer.name}")
        for offer in offers.values()
        if offer.name not in there_names
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        print("  ".join([*(word.ljust(width) for word, width in zip(row, widths, strict=False)), row[3]]))


@APP.command(help="All that is known of a network.")
def show(name: Name, json: Json = False) -> None:
    with failing():
        there = registry()
        model = there.find(name)
        told = {"file": str(there.path(name)), **asdict(model)}
    if json:
        print(jsonlib.dumps(told, indent=1))
        return
    told["classes"] = ", ".join(model.classes)
    told["members"] = "each class is a person" if model.members else ""
    for key, value in told.items():
        if value != "":
            print(f"{key:<8} {value}")


@APP.command(help="Download a known network, try it, and keep it under its name.")
def pull(name: Name) -> None:
    from client.cli.progress import progress
    from client.download import DownloadError, download
    from engines.models.onnx_file import MAX_BYTES, BadModel

    with failing():
        there = registry()
        there.check_free(name)
        offer = there.offers().get(name)
        if offer is None:
            raise BadModel(
                f"{name!r} cannot be pulled: known are {', '.join(there.offers())}, and {there.folder}/catalogue.toml"
            )
        print(f"{offer.address}\nlicence: {offer.licence}")
        there.folder.mkdir(parents=True, exist_ok=True)
        aside = there.folder / f".{name}.pull"
        try:
            with progress("pulling", "KiB") as update:
                download(offer.address, aside, offer.sha256, MAX_BYTES, lambda done, of: update(done >> 10, of >> 10))
        except DownloadError as error:
            raise Failure(str(error)) from None
        try:
            model = _add(there, aside, name, offer.family, offer.classes, offer.members, offer.address, offer.licence)
        finally:
            aside.unlink()
    print(f"{model.name}: {model.family}, finds {_few(model.classes)}")


@APP.command(help="Delete a network of one's own.")
def remove(name: Name) -> None:
    with failing():
        registry().remove(name)
    print(f"{name} is removed")


def _add(
    there: Any,
    file: Path,
    name: str,
    family: str | None,
    classes: tuple[str, ...],
    members: bool,
    source: str,
    licence: str,
) -> Any:
    """Raises BadModel or OSError."""
    from engines.detect.trial import try_model
    from engines.disk import sha256_of
    from engines.models.onnx_file import check
    from engines.models.registry import Model

    there.check_free(name)
    check(file)
    sha256 = sha256_of(file)
    trial = try_model(file, family, classes)
    size = file.stat().st_size
    model = Model(name, sha256, size, trial.family, trial.classes, members, source, licence)
    there.add(model, file)
    return model


def _classes(text: str | None) -> tuple[str, ...]:
    """Raises OSError."""
    from engines.models import COCO

    if not text:
        return ()
    words = text.split(",")
    file = COCO if text == "coco" else Path(text)
    if len(words) == 1 and file.is_file():
        words = file.read_text(encoding="utf-8").splitlines()
    return tuple(word.strip() for word in words if word.strip())


def _few(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 4 else ""
    return ", ".join(names[:3] if more else names) + more
