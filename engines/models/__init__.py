"""The networks that Fancam ships, as ONNX files beside their cards."""

from pathlib import Path
from typing import Final, Literal

Precision = Literal["f32", "int8"]
COCO: Final = Path(__file__).with_name("coco.txt")
"""The names of COCO's 80 classes, one a line, which networks trained on it rarely hold themselves."""
_FILES = {"f32": "face_nano.onnx", "int8": "face_nano_int8.onnx"}


def default_face_model(precision: Precision = "f32") -> Path:
    """The default face network; face_nano.md beside it says what it can do and what it was trained on."""
    return Path(__file__).with_name(_FILES[precision])
