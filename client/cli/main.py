"""The `fancam` command: a table of verbs, each a typer function `command` in `client.cli.<verb>`, imported only when it runs."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import sys
from typing import Final

VERBS: Final[dict[str, str]] = {
    "serve": "Run the server: WebRTC in, redacted feed and fancams out.",
    "demo": "Serve, and publish the built-in test scene to it.",
    "publish": "Publish a file or a webcam to a WHIP address.",
    "watch": "Watch a feed from a WHEP address: count it or write it to a file.",
    "process": "Redact a video file and cut its fancams.",
    "detect": "Find faces in pictures, one JSON line a picture.",
    "track": "Give detections of a video the ids of the people they show, MOT format in and out.",
    "models": "Add networks of your own, pull known ones, and see what there is.",
    "engines": "Build TensorRT plans of networks for this GPU, and list them.",
    "scene": "Write the drawn test scene and its exact ground truth.",
    "doctor": "Say what this machine can do, what is missing and how to mend it.",
    "dataset": "Complete labels by other networks, and label clips by the tracker.",
    "train": "Train the face model or the tracker.",
    "export": "Turn a network into ONNX: a trained checkpoint, one to measure with, or a file in fp16 or int8.",
    "bench": "Answer one question with a measurement.",
}


class Failure(Exception):
    """A verb could not do its work; the text is one line: what was wrong, where, what to do."""


def plain(text: str) -> str:
    """A line for a terminal: file names may hold what would move its cursor."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def overview() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}}  {text}" for verb, text in VERBS.items()]
    return "\n".join(
        [
            "Usage: fancam VERB [OPTIONS]",
            "",
            "Live video in, a redacted feed and one virtual camera per person out.",
            "",
            *lines,
            "",
            "fancam VERB --help says more; fancam --version prints the version.",
        ]
    )


def run_verb(verb: str, arguments: list[str]) -> None:
    from client.cli.verb import HELP, Verb, plain_app

    module = importlib.import_module(f"client.cli.{verb}")
    if hasattr(module, "APP"):  # a verb with verbs of its own
        for one in module.APP.registered_commands:
            one.cls = Verb
        module.APP(arguments, prog_name=f"fancam {verb}")
        return
    verb_app = plain_app()
    context = HELP | getattr(module, "CONTEXT", {})
    verb_app.command(help=VERBS[verb], cls=Verb, context_settings=context)(module.command)
    verb_app(arguments, prog_name=f"fancam {verb}")


def main(arguments: list[str] | None = None) -> None:
    """Run `fancam`; exit codes are 0, 1 (failed) and 2 (usage)."""
    words = sys.argv[1:] if arguments is None else arguments
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
    elif words[0] == "--version":
        print(importlib.metadata.version("fancam"))
    elif words[0] not in VERBS:
        near = difflib.get_close_matches(words[0], VERBS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "fancam --help lists the verbs"
        print(f"fancam: no verb {words[0]!r}: {hint}", file=sys.stderr)
        sys.exit(2)
    else:
        try:
            run_verb(words[0], words[1:])
        except Failure as failure:
            print(plain(f"fancam {words[0]}: {failure}"), file=sys.stderr)
            sys.exit(1)


if __name__ == "__main__":
    # By its name, so that a verb's `Failure` is this module's and not that of a second copy.
    importlib.import_module("client.cli.main").main()
