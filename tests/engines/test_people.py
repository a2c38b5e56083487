"""The people of a file: files whose names say who is shown."""

from __future__ import annotations

import pytest

from engines.people import file_names


@pytest.mark.parametrize(
    ("names", "files"),
    [
        ([None, "ada"], ["fancam-1.mp4", "fancam-ada.mp4"]),
        (["ada", "Ada"], ["fancam-ada-1.mp4", "fancam-Ada-2.mp4"]),
        ([None, "1"], ["fancam-1.mp4", "fancam-1-2.mp4"]),
        (["../x/y", "지수"], ["fancam-_x_y.mp4", "fancam-지수.mp4"]),
    ],
)
def test_files_are_called_by_whom_they_show_and_never_alike(names: list[str | None], files: list[str]) -> None:
    assert file_names(["1", "2"], names) == files
