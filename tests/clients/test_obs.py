"""An offer as OBS (30 and later, libdatachannel) writes it: ICE and the fingerprint once for the session, `a=group:LS`, Opus before
H.264, no candidates. OBS itself has no version without a screen; here aiortc connects behind an offer of that shape."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import Callable
from urllib.parse import urljoin

import pytest
from aiortc import AudioStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaPlayer

from benchmarks.browser import Server
from tests.clients.conftest import TOKEN
from tests.clients.watching import Scene
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

    def first(name: str, at: int = 0) -> str:
        return [line.split(":", 1)[1] for line in sdp.splitlines() if line.startswith(f"a={name}:")][at]

    ssrcs = [section.split("a=ssrc:")[1].split()[0] for section in sdp.split("m=")[1:]]
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


async def publish(scene: Scene, url: str, bearer: str, until: Callable[[], bool]) -> None:
    """Sound and the scene over and over, from one offer to the DELETE."""
    peer, player = RTCPeerConnection(RTCConfiguration(iceServers=[])), MediaPlayer(str(scene.video), loop=True)
    try:
        peer.addTransceiver(AudioStreamTrack(), "sendonly").setCodecPreferences(preferred(("opus",), "audio"))
        peer.addTransceiver(player.video, "sendonly").setCodecPreferences(preferred(("H264",)))
        await peer.setLocalDescription(await peer.createOffer())
        status, headers, answer = await asyncio.to_thread(ask, "POST", url, bearer, as_obs(peer.localDescription.sdp))
        assert status == 201, answer
        session = urljoin(url, headers["location"])
        await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        while not until():
            await asyncio.sleep(0.05)
        assert (await asyncio.to_thread(ask, "DELETE", session, bearer))[0] == 200
    finally:
        player.video.stop()
        await peer.close()


@pytest.mark.parametrize("bearer", [TOKEN, f"Bearer {TOKEN}"])
def test_a_session_as_obs_opens_it_comes_out_redacted(server: Server, scene: Scene, bearer: str) -> None:
    pass
