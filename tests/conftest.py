"""Fixtures that more than one folder of tests needs."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_configure(config: pytest.Config) -> None:
    """Hypothesis ends no example for its time: the machine may be busy."""
    if config.pluginmanager.hasplugin("hypothesispytest"):
        from hypothesis import settings

        settings.register_profile("patient", settings(), deadline=None)
        settings.load_profile("patient")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real clips, faces and other people's weights, where it stands beside the checkout."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"real test data is not here: {SHARED} does not exist")
    return SHARED
