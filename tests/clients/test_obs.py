"""An offer as OBS (30 and later, libdatachannel) writes it: ICE and the fingerprint once for the session, `a=group:LS`, Opus before
H.264, no candidates. OBS itself has no version without a screen; here aiortc connects behind an offer of that shape."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import av
import pytest
from aiortc import AudioStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription, VideoStreamTrack

from benchmarks.browser import Server
from tests.clients.conftest import TOKEN
from tests.clients.watching import Scene, assert_redacted, seen
from tests.server.door.rtc import preferred

SESSION = """\
v=0
o=rtc 3877212184 0 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=group:LS 0 1
a=msid-semantic:WMS *
a=setup:actpass
a=ice-ufrag:{ufrag}
a=ice-pwd:{pwd}
a=ice-options:ice2,trickle
a=fingerprint:{fingerprint}
"""
MEDIA = """\
m={kind} 9 UDP/TLS/RTP/SAVPF {payload}
c=IN IP4 0.0.0.0
a=mid:{mid}
a=sendonly
a=ssrc:{ssrc} cname:qJ0mZ7sUfLw2Xc5e
a=ssrc:{ssrc} msid:tG4nR8yKdVb1Ha6p tG4nR8yKdVb1Ha6p-{kind}
a=msid:tG4nR8yKdVb1Ha6p tG4nR8yKdVb1Ha6p-{kind}
a=rtcp-mux
"""
OPUS = """\
a=rtpmap:{payload} opus/48000/2
a=fmtp:{payload} minptime=10;maxaveragebitrate=96000;stereo=1;sprop-stereo=1;useinbandfec=1
"""
H264 = """\
a=rtpmap:{payload} H264/90000
a=rtcp-fb:{payload} nack
a=rtcp-fb:{payload} nack pli
a=rtcp-fb:{payload} goog-remb
a=fmtp:{payload} profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1
"""
SIMULCAST = "a=rid:0 send\na=rid:1 send\na=simulcast:send 0;1\n"
MADE_UP = {"ufrag": "nxcM", "pwd": "p" * 22, "fingerprint": "sha-256 " + ":".join(["AB"] * 32)}


def obs_offer(*, ufrag: str, pwd: str, fingerprint: str, ssrcs: tuple[str, str] = ("11", "12"), more: str = "") -> str:
    """The whole offer; `more` goes below the video."""
    audio = (MEDIA + OPUS).format(kind="audio", payload=111, mid=0, ssrc=ssrcs[0])
    video = (MEDIA + H264).format(kind="video", payload=96, mid=1, ssrc=ssrcs[1])
    text = SESSION.format(ufrag=ufrag, pwd=pwd, fingerprint=fingerprint) + audio + video + more
    return text.replace("\n", "\r\n")


def as_obs(sdp: str) -> str:
    """What a connection offered, in OBS's words."""

    def first(name: str) -> str:
        return next(line.split(":", 1)[1] for line in sdp.splitlines() if line.startswith(f"a={name}:"))

    ssrcs = [section.split("a=ssrc:")[1].split()[0] for section in sdp.split("\r\nm=")[1:]]
    return obs_offer(
        ufrag=first("ice-ufrag"), pwd=first("ice-pwd"), fingerprint=first("fingerprint"), ssrcs=(ssrcs[0], ssrcs[1])
    )


def ask(method: str, url: str, bearer: str, body: str | None = None) -> tuple[int, dict[str, str], str]:
    """As OBS asks: the field's text goes behind `Bearer` as it was pasted."""
    headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {bearer}"}
    request = urllib.request.Request(url, body.encode() if body else None, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, dict(answer.headers), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read().decode()


class Pictures(VideoStreamTrack):
    """The scene's pictures over and over, in real time."""

    def __init__(self, video: Path) -> None:
        super().__init__()
        with av.open(str(video)) as box:
            self._frames = itertools.cycle(list(box.decode(video=0)))

    async def recv(self) -> av.VideoFrame:
        frame = next(self._frames)
        frame.pts, frame.time_base = await self.next_timestamp()
        frame.pict_type = av.video.frame.PictureType.NONE  # what it was in the file is no order to the encoder
        return frame


async def publish(video: Path, url: str, bearer: str, stop: threading.Event) -> None:
    """Sound and the scene, from the one offer to the DELETE."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    try:
        peer.addTransceiver(AudioStreamTrack(), "sendonly")
        peer.addTransceiver(Pictures(video), "sendonly").setCodecPreferences(preferred(("H264",)))
        await peer.setLocalDescription(await peer.createOffer())
        offer = as_obs(peer.localDescription.sdp)
        status, headers, answer = await asyncio.to_thread(ask, "POST", url, bearer, offer)
        while status == 503 and not stop.is_set():  # no room before the server has seen that the last stream is gone
            await asyncio.sleep(0.5)
            status, headers, answer = await asyncio.to_thread(ask, "POST", url, bearer, offer)
        assert status == 201, answer
        session = urljoin(url, headers["location"])
        await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await asyncio.to_thread(stop.wait)
        assert peer.connectionState == "connected"
        assert (await asyncio.to_thread(ask, "DELETE", session, bearer))[0] == 200
    finally:
        await peer.close()


@contextmanager
def publishing(video: Path, url: str, bearer: str) -> Iterator[None]:
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        published = pool.submit(asyncio.run, publish(video, url, bearer, stop))
        try:
            yield
        finally:
            stop.set()
            published.result()  # says why nothing was to be seen


@pytest.mark.parametrize("bearer", [TOKEN, f"Bearer {TOKEN}"], ids=["token", "pasted with Bearer"])
def test_a_session_as_obs_opens_it_comes_out_redacted(server: Server, scene: Scene, bearer: str) -> None:
    name = f"obs-{len(bearer)}"
    with publishing(scene.video, f"{server.url}/whip/{name}", bearer):
        planes = seen(f"{server.url}/whep/{name}/redacted", TOKEN, 45)
    assert_redacted(planes, scene, 45)


def test_the_answer_says_what_obs_needs(server: Server) -> None:
    """OBS takes one H264 and Opus, and stops at a 201 without Location (obs-studio issue 9459)."""
    url = f"{server.url}/whip/obs-answer"
    status, headers, answer = ask("POST", url, TOKEN, obs_offer(**MADE_UP))
    assert (status, headers["content-type"]) == (201, "application/sdp")
    assert urlsplit(urljoin(url, headers["location"])).path.startswith("/whip/obs-answer/")
    audio, video = answer.split("\r\nm=")[1:]
    assert "a=rtpmap:111 opus/48000/2" in audio
    assert "a=rtpmap:96 H264/90000" in video
    assert "a=group:BUNDLE 0 1" in answer
    for section in (audio, video):
        assert "a=recvonly" in section
        assert "a=setup:active" in section
    assert "a=candidate:" in answer  # there is no trickling later
    assert ask("DELETE", urljoin(url, headers["location"]), TOKEN)[0] == 200


def test_simulcast_is_refused_in_one_line(server: Server) -> None:
    """OBS 32.1 and later offer it, and stop at an answer that takes only some of the layers."""
    status, _, body = ask("POST", f"{server.url}/whip/obs-layers", TOKEN, obs_offer(**MADE_UP, more=SIMULCAST))
    assert status == 422
    detail = json.loads(body)["detail"]
    assert "simulcast" in detail
    assert "one" in detail
    assert "\n" not in detail


@pytest.mark.parametrize("bearer", ["", "another"])
def test_without_its_token_it_is_told_so(server: Server, bearer: str) -> None:
    status, headers, _ = ask("POST", f"{server.url}/whip/obs-nobody", bearer, obs_offer(**MADE_UP))
    assert (status, headers["www-authenticate"].split()[0]) == (401, "Bearer")
