"""A stranger's SDP offer, looked through before anything parses it at length."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

MAX_CANDIDATES: Final = 32
MAX_MEDIA: Final = 8
MAX_PAYLOAD_TYPES: Final = 64
CODECS: Final = ("h264", "vp8")
"""Ours, the one that we would rather have first."""
RTPMAP: Final = re.compile(r"a=rtpmap:(\d{1,3}) ([A-Za-z0-9-]{1,32})/\d+")
FMTP: Final = re.compile(r"a=fmtp:(\d{1,3}) (.{1,512})")
CANDIDATE: Final = re.compile(r"a=(?:candidate:|end-of-candidates)")
GROUP: Final = re.compile(r"a=group:\S+")
MID: Final = re.compile(r"a=mid:(\S+)")
FINGERPRINT: Final = re.compile(r"a=fingerprint:sha-(?:256|384|512) \S", re.I)
UFRAG: Final = re.compile(r"a=ice-ufrag:(\S{4,256})")
PROFILE: Final = re.compile(r"profile-level-id=([0-9a-f]{6})", re.I)
DECODED: Final = ("42", "4d", "64")
"""profile_idc of Baseline, Main and High, which are sent to us in 4:2:0 and 8 bits; anything else a key frame's header shows."""
NEUTRAL: Final = "42e01f"
"""What aiortc is told of the profiles that it does not know: it looks into no picture."""


class OfferError(Exception):
    """An offer that cannot be answered: `status` 400 unparsable, 422 refused, 503 not now; `text` is for the client."""

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
    ufrags: frozenset[str] = frozenset()
    profiles: dict[str, str] = field(default_factory=dict)
    """H264 profiles that stand in `sdp` as `NEUTRAL`, by payload type."""

    def restore(self, answer: str) -> str:
        """The answer with the profiles as they were offered (RFC 6184 §8.2.2: they must be the same)."""
        return "".join(self._restored(line) for line in answer.splitlines(keepends=True))

    def _restored(self, line: str) -> str:
        found = FMTP.match(line)
        profile = self.profiles.get(found[1]) if found else None
        return line if profile is None else PROFILE.sub(f"profile-level-id={profile}", line)


def read(text: str, *, any_profile: bool = False) -> Offer:
    """
    Look an offer through. `any_profile`: H264 Main and High will do where there is no Baseline, for we only decode it.

    Raises:
        OfferError: 400 not SDP; 422 too much of something, simulcast, or no video that we know.
    """
    lines = text.splitlines()
    if not lines or not lines[0].startswith("v=0"):
        raise OfferError(400, "the body is not SDP: it does not begin with v=0")
    candidates = count_candidates(lines)
    mids = {found[1] for line in lines if (found := MID.match(line))}
    kept = [_regrouped(line, mids) for line in lines if not CANDIDATE.match(line)]
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
    if any(line.startswith("a=simulcast:") for line in video[0]):
        # OBS takes an answer with fewer layers for an error (obs-studio PR 10885): this one says what to do.
        raise OfferError(422, "simulcast is not taken, set the client to one layer")
    codecs = _video_codecs(video[0])
    profiles: dict[str, str] = {}
    if any_profile and "h264" not in codecs:
        profiles = _other_profiles(video[0])
        kept = [_neutral(line, profiles) for line in kept]
        codecs = _video_codecs([_neutral(line, profiles) for line in video[0]])
    if not codecs:
        wanted = "H264" if any_profile else "H264 constrained baseline"
        raise OfferError(422, f"the video has neither {wanted} in packetization mode 1 nor VP8")
    if not any(FINGERPRINT.match(line) for line in lines):
        raise OfferError(400, "the offer has no fingerprint of sha-256, sha-384 or sha-512: nobody could be told by it")
    has_audio = any(section[0].startswith("m=audio ") for section in sections)
    return Offer("\r\n".join(kept) + "\r\n", candidates, codecs, has_audio, _ufrags(lines), profiles)


def read_fragment(fragment: str, ufrags: frozenset[str]) -> int:
    """How many candidates a trickled fragment (RFC 8840 §9) holds. `ufrags`: those of the offer.

    Raises:
        OfferError: 400 no fragment; 422 too many candidates, or a restart of ICE.
    """
    lines = fragment.splitlines()
    if not lines or not all(re.match(r"[a-z]=", line) for line in lines if line):
        raise OfferError(400, "the body is no SDP fragment")
    if not _ufrags(lines) <= ufrags:
        raise OfferError(422, "no ICE restarts: open a new session")
    return count_candidates(lines)


def count_candidates(lines: list[str]) -> int:
    """
    Raises:
        OfferError: 422 too many.
    """
    count = sum(line.startswith("a=candidate:") for line in lines)
    if count > MAX_CANDIDATES:
        raise OfferError(422, f"{count} candidates, at most {MAX_CANDIDATES}")
    return count


def _regrouped(line: str, mids: set[str]) -> str:
    """A group without the media that are not there: FFmpeg 8.0 groups a sound that it does not send."""
    if not GROUP.match(line):
        return line
    semantics, *named = line.split()
    return " ".join([semantics, *(name for name in named if name in mids)])


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


def _other_profiles(section: list[str]) -> dict[str, str]:
    """Payload types and profiles of H264 that is not Baseline, but can be decoded."""
    named = {found[1] for line in section if (found := RTPMAP.match(line)) and found[2].lower() == "h264"}
    profiles = {}
    for line in section:
        found, profile = FMTP.match(line), PROFILE.search(line)
        if found is None or profile is None or found[1] not in named or "packetization-mode=1" not in found[2]:
            continue
        if profile[1][:2].lower() in DECODED:
            profiles[found[1]] = profile[1]
    return profiles


def _neutral(line: str, profiles: dict[str, str]) -> str:
    found = FMTP.match(line)
    return PROFILE.sub(f"profile-level-id={NEUTRAL}", line) if found and found[1] in profiles else line


def _ufrags(lines: list[str]) -> frozenset[str]:
    return frozenset(found[1] for line in lines if (found := UFRAG.match(line)))
