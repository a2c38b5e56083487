"""Offers of strangers: what is refused, how fast, and what is left for the library to read."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time

import pytest
from aiortc import RTCSessionDescription
from hypothesis import given
from hypothesis import strategies as st

from server.door import rtp, senders
from server.door.offer import OfferError, read, read_fragment
from server.door.publishers import Publisher, answer_publisher
from tests.server.door.plain import Sender, answered, encoded
from tests.server.door.rtc import until

CANDIDATE = "a=candidate:1 1 udp 2113937151 192.0.2.7 50000 typ host"
HEAD = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n"
FINGERPRINT = "a=fingerprint:sha-256 " + ":".join(["AB"] * 32)
COMMON = f"c=IN IP4 0.0.0.0\r\na=mid:0\r\na=ice-ufrag:abcd\r\na=ice-pwd:{'p' * 24}\r\na=setup:actpass\r\na=rtcp-mux\r\n"
BASELINE = "packetization-mode=1;profile-level-id=42e01f"
MAIN, HIGH = "packetization-mode=1;profile-level-id=4d0028", "packetization-mode=1;profile-level-id=640C1F"


def offer(*formats: tuple[str, str], more: str = "", direction: str = "sendonly") -> str:
    """An offer of one video with these (codec, fmtp), payload types from 96 on."""
    types = [str(96 + at) for at in range(len(formats))]
    text = f"{HEAD}m=video 9 UDP/TLS/RTP/SAVPF {' '.join(types)}\r\n{COMMON}{FINGERPRINT}\r\na={direction}\r\n"
    for number, (codec, parameters) in zip(types, formats, strict=True):
        text += f"a=rtpmap:{number} {codec}/90000\r\n"
        text += f"a=fmtp:{number} {parameters}\r\n" if parameters else ""
    return text + more


def refusal(text: str, any_profile: bool = False) -> OfferError:
    with pytest.raises(OfferError) as caught:
        read(text, any_profile=any_profile)
    assert "\n" not in caught.value.text
    return caught.value


@pytest.mark.parametrize("text", ["", "hello", "<html>", "\r\nv=0", "v=0\r\ns=-\r\n"])
def test_what_is_no_sdp_is_400(text: str) -> None:
    assert refusal(text).status == 400


def test_five_thousand_candidates_are_refused_at_once() -> None:
    text = offer(("H264", BASELINE), more=f"{CANDIDATE}\r\n" * 5000)
    begun_s = time.perf_counter()
    error = refusal(text)
    assert time.perf_counter() - begun_s < 0.15
    assert error.status == 422
    assert "5000 candidates" in error.text


def test_too_many_sections_and_payload_types_are_refused() -> None:
    assert "9 media sections" in refusal(offer(("VP8", ""), more="m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n" * 8)).text
    assert "64 payload types" in refusal(offer(*[("VP8", "")] * 65)).text
    assert refusal(offer(("VP8", ""), more="m=video 9 UDP/TLS/RTP/SAVPF 96\r\n")).status == 422


def test_simulcast_is_422() -> None:
    error = refusal(offer(("VP8", ""), more="a=rid:hi send\r\na=rid:lo send\r\na=simulcast:send hi;lo\r\n"))
    assert error.status == 422
    assert "one layer" in error.text


@pytest.mark.parametrize(
    "formats",
    [
        [("H265", ""), ("AV1", ""), ("VP9", "")],
        [("H264", "packetization-mode=0;profile-level-id=42e01f")],
        [("H264", MAIN), ("H264", HIGH)],
    ],
)
def test_a_viewer_without_a_codec_of_ours_is_422(formats: list[tuple[str, str]]) -> None:
    error = refusal(offer(*formats))
    assert error.status == 422
    assert "VP8" in error.text


@pytest.mark.parametrize("parameters", ["packetization-mode=1;profile-level-id=6e001f", MAIN.replace("=1", "=0")])
def test_a_publisher_with_a_format_that_is_not_decoded_is_422(parameters: str) -> None:
    assert refusal(offer(("H264", parameters)), any_profile=True).status == 422


def test_candidates_are_counted_and_go_no_further() -> None:
    more = f"{CANDIDATE}\r\na=candidate:2 1 udp 1 169.254.169.254 80 typ host\r\na=end-of-candidates\r\n"
    parsed = read(offer(("VP8", ""), ("H264", BASELINE), more=more))
    assert parsed.candidates == 2
    assert parsed.video == ("vp8", "h264")
    assert "candidate" not in parsed.sdp
    assert "169.254" not in parsed.sdp
    assert not parsed.has_audio
    assert read(offer(("VP8", ""), more="m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n")).has_audio


def test_profiles_are_left_alone_where_baseline_is_offered() -> None:
    parsed = read(offer(("H264", HIGH), ("H264", BASELINE)), any_profile=True)
    assert not parsed.profiles
    assert "640C1F" in parsed.sdp


def test_a_group_that_names_media_that_are_not_there_is_answered() -> None:
    """FFmpeg 8.0 without sound offers `BUNDLE 0 1` and one section, whose mid is 1."""
    text = offer(("H264", BASELINE)).replace("BUNDLE 0", "BUNDLE 0 1").replace("a=mid:0", "a=mid:1")
    answer = asyncio.run(answered(text))
    assert "a=group:BUNDLE 1\r\n" in answer
    assert "a=candidate:" in answer


@given(st.text(max_size=400), st.sampled_from(["", HEAD, offer(("H264", MAIN))]))
def test_nothing_but_a_refusal_comes_of_garbage(garbage: str, before: str) -> None:
    for any_profile in (False, True):
        with contextlib.suppress(OfferError):
            assert read(before + garbage, any_profile=any_profile).video


def test_fragments() -> None:
    ours = frozenset({"abcd"})
    fragment = f"a=ice-ufrag:abcd\r\na=ice-pwd:{'p' * 24}\r\nm=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"
    assert read_fragment(fragment + f"{CANDIDATE}\r\n{CANDIDATE}\r\na=end-of-candidates\r\n", ours) == 2
    for text, status in (
        ("", 400),
        ("hello", 400),
        ('{"candidate": "…"}', 400),
        (fragment.replace("abcd", "efgh"), 422),
        (fragment + f"{CANDIDATE}\r\n" * 33, 422),
    ):
        with pytest.raises(OfferError) as caught:
            read_fragment(text, ours)
        assert caught.value.status == status, text


@pytest.mark.parametrize("profile", ["4d0028", "640c1f"])
def test_a_publisher_of_main_or_high_profile_is_answered_with_it_and_its_video_comes(profile: str) -> None:
    async def run() -> None:
        sender = Sender("h264")
        offered = await sender.offer()
        only = re.sub(r"profile-level-id=[0-9a-fA-F]{6}", f"profile-level-id={profile}", offered)
        publisher: Publisher = await answer_publisher(
            only,
            on_unit=sender.units.append,
            on_gap=lambda: None,
            on_audio=lambda payload, rtp_time: None,
            on_closed=lambda: None,
        )
        answered = re.findall(r"profile-level-id=(\w+)", publisher.answer_sdp)
        assert answered
        assert set(answered) == {profile}
        # aiortc sends, and knows only Baseline: it is told what it offered.
        answer = publisher.answer_sdp.replace(profile, "42e01f")
        await sender.pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await until(lambda: publisher.connected and sender.pc.connectionState == "connected", "a connection")
        await sender.send(encoded("h264")[:5])
        await until(lambda: len(sender.units) == 5, "its frames")
        await sender.pc.close()
        await publisher.close()

    asyncio.run(run())


def test_a_session_takes_32_candidates_in_all_and_no_restart() -> None:
    async def run() -> None:
        sender = Sender("vp8")
        publisher = await sender.start()
        ufrag = re.findall(r"a=ice-ufrag:(\S+)", sender.pc.localDescription.sdp)[0]
        fragment = f"a=ice-ufrag:{ufrag}\r\n" + f"{CANDIDATE}\r\n" * 16
        await publisher.add_candidate(fragment)
        await publisher.add_candidate(fragment)
        for text in (fragment, "a=ice-ufrag:other\r\n"):
            with pytest.raises(OfferError) as caught:
                await publisher.add_candidate(text)
            assert caught.value.status == 422
        await sender.pc.close()
        await publisher.close()

    asyncio.run(run())


def test_extensions_are_offered_to_the_library_once() -> None:
    rtp.prepare()
    rtp.prepare()
    text = asyncio.run(_offered())
    assert text.count(senders.PLAYOUT_DELAY) == 1
    assert text.count(rtp.TRANSPORT_CC) == 1


async def _offered() -> str:
    sender = Sender("vp8")
    text = await sender.offer()
    await sender.pc.close()
    return text
