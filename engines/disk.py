"""What a file holds, and where what can be made anew is kept."""

from __future__ import annotations

import os
from hashlib import file_digest
from pathlib import Path


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/fancam`, of this user."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(cache) if os.path.isabs(cache) else Path.home() / ".cache") / "fancam"
