"""A stranger's SDP offer, looked through before anything parses it at length."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

MAX_CANDIDATES: Final = 32
MAX_MEDIA: Final = 8
MAX_PAYLOAD_TYPES: Final = 64
CODECS: Final = ("h264", "vp8")
RTPMAP: Final = re.compile(r"a=rtpmap:(\d{1,3}) ([A-Za-z0-9-]{1,32})/\d+")
FMTP: Final = re.compile(r"a=fmtp:(\d{1,3}) (.{1,512})")
CANDIDATE: Final = re.compile(r"a=(?:candidate:|end-of-candidates)")


class OfferError(Exception):
    """An offer that cannot be answered: `status` 400 unparsable, 422 refused; `text` is for the client."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


@dataclass(frozen=True, slots=True)
class Offer:
    """`sdp` holds no candidates: a client reaches us at ours, and we learn its address from the connectivity checks that
    come from there (peer-reflexive), so nobody can make us send anything to a third party."""

    sdp: str
    candidates: int
    video: tuple[str, ...]
    """Codecs of ours that the offer's video has, in its order."""
    has_audio: bool


def read(text: str) -> Offer:
    """
    Raises:
        OfferError: 400 not SDP; 422 too much of something, or no video that we know.
    """
    lines = text.splitlines()
    if not lines or not lines[0].startswith("v=0"):
        raise OfferError(400, "the body is not SDP: it does not begin with v=0")
    candidates = count_candidates(lines)
    kept = [line for line in lines if not CANDIDATE.match(line)]
    media = [at for at, line in enumerate(kept) if line.startswith("m=")]
    if not media:
        raise OfferError(400, "the offer has no media")
    if len(media) > MAX_MEDIA:
        raise OfferError(422, f"{len(media)} media sections, at most {MAX_MEDIA}")
    sections = [kept[start:end] for start, end in zip(media, [*media[1:], len(kept)], strict=True)]
    for section in sections:
        if len(section[0].split()) - 3 > MAX_PAYLOAD_TYPES:
            raise OfferError(422, f"more than {MAX_PAYLOAD_TYPES} payload types in one media section")
    video = [section for section in sections if section[0].startswith("m=video ")]
    if len(video) != 1:
        raise OfferError(422, f"{len(video)} video sections: one is needed")
    codecs = _video_codecs(video[0])
    if not codecs:
        raise OfferError(422, "the video has neither H264 constrained baseline in packetization mode 1 nor VP8")
    has_audio = any(section[0].startswith("m=audio ") for section in sections)
    return Offer("\r\n".join(kept) + "\r\n", candidates, codecs, has_audio)


def count_candidates(lines: list[str]) -> int:
    """
    Raises:
        OfferError: 422 too many.
    """
    count = sum(line.startswith("a=candidate:") for line in lines)
    if count > MAX_CANDIDATES:
        raise OfferError(422, f"{count} candidates, at most {MAX_CANDIDATES}")
    return count


def _video_codecs(section: list[str]) -> tuple[str, ...]:
    parameters = {found[1]: found[2].lower() for line in section if (found := FMTP.match(line))}
    codecs: list[str] = []
    for line in section:
        found = RTPMAP.match(line)
        if found is None:
            continue
        name = found[2].lower()
        if name not in CODECS or (name == "h264" and not _baseline(parameters.get(found[1], ""))):
            continue
        if name not in codecs:
            codecs.append(name)
    return tuple(codecs)


def _baseline(fmtp: str) -> bool:
    """Whether an H264 format is one that both sides can take: profile 42, mode 1 (RFC 6184 §8.1)."""
    return "packetization-mode=1" in fmtp and ("profile-level-id=42" in fmtp or "profile-level-id" not in fmtp)
