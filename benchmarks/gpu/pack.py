"""Puts together what the rows of TODO.md need beside the checkout.

    python benchmarks/gpu/pack.py OUT [--no-faces] [--go-on RUN] [--wheels NAME…]

OUT becomes a folder to carry along with the tracked files: outside the checkout, or where git ignores it. Both together stay below 64 MiB,
or nothing is left there. Needs only Python and OpenCV.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MOST_BYTES = 64 << 20
LONGEST_PX, JPEG_QUALITY = 640, 90
"""Training takes no larger pictures (engines/train/data.py); only those are written anew."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--faces", type=Path, default=ROOT.parent / "shared" / "data" / "faces", help="labelled pictures"
    )
    parser.add_argument("--no-faces", action="store_true", help="for rows that train nothing")
    parser.add_argument("--go-on", type=Path, help="the folder of a training run to resume: its checkpoint comes along")
    parser.add_argument("--wheels", nargs="*", default=[], help="packages that the machine lacks")
    parser.add_argument("--python", default="3.12", help="of the machine, for its wheels")
    asked = parser.parse_args()
    if asked.out.exists():
        sys.exit(f"{asked.out} exists: name a new folder")
    aside = asked.out.with_name(asked.out.name + ".part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    if not asked.no_faces:
        pack_faces(asked.faces, aside / "faces")
    if asked.go_on:
        (aside / "run").mkdir()
        for name in ("checkpoint.pt", "log.jsonl"):
            shutil.copy(asked.go_on / name, aside / "run")
    if asked.wheels:
        download(asked.wheels, asked.python, aside / "wheels")
    total = size(aside) + checkout()
    if total > MOST_BYTES:
        shutil.rmtree(aside)
        sys.exit(
            f"{total / 2**20:.1f} MiB with the checkout, {MOST_BYTES >> 20} are allowed: leave --faces or wheels out"
        )
    aside.rename(asked.out)
    print(
        f"{asked.out}: {size(asked.out) / 2**20:.1f} MiB; with the checkout {total / 2**20:.1f} of {MOST_BYTES >> 20} MiB"
    )


def pack_faces(faces: Path, out: Path) -> None:
    """The label files and their pictures, none longer than `LONGEST_PX`."""
    (out / "images").mkdir(parents=True)
    for labels in sorted(faces.glob("*.jsonl")):
        lines = labels.read_text(encoding="utf-8").splitlines()
        (out / labels.name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        for line in lines:
            name = json.loads(line)["file"]
            shrink(faces / "images" / name, out / "images" / name)


def shrink(source: Path, out: Path) -> None:
    import cv2

    picture = cv2.imread(str(source))
    if picture is None:
        sys.exit(f"{source} cannot be read")
    scale = LONGEST_PX / max(picture.shape[:2])
    if scale >= 1:
        shutil.copy(source, out)
        return
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(out), small, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


def download(names: list[str], python: str, out: Path) -> None:
    systems = [word for minor in (28, 27, 17) for word in ("--platform", f"manylinux_2_{minor}_x86_64")]
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--python-version", python]
    subprocess.run([*command, *systems, "--dest", str(out), *names], check=True)


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def checkout() -> int:
    """Bytes of the files that git tracks."""
    names = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, check=True).stdout.split(b"\0")
    return sum((ROOT / name.decode()).stat().st_size for name in names if name and (ROOT / name.decode()).is_file())


if __name__ == "__main__":
    main()
