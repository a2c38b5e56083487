"""Chromium changes its picture's size midway, as it does by itself when the network grows narrow: viewers go on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.browser import Server
from tests.browser.conftest import Watched

SCRIPT_JS = """async codec => {
    const answer = async (pc, path) => {
        await pc.setLocalDescription();
        await new Promise(done => {
            const look = () => pc.iceGatheringState === 'complete' && done();
            pc.onicegatheringstatechange = look; look();
        });
        for (let tries = 0; tries < 50; tries++) {
            const reply = await fetch(path, {method: 'POST', body: pc.localDescription.sdp,
                                             headers: {'Content-Type': 'application/sdp'}});
            if (reply.ok) { await pc.setRemoteDescription({type: 'answer', sdp: await reply.text()}); return; }
            await new Promise(done => setTimeout(done, 200));
        }
        throw new Error('no answer from ' + path);
    };
    const own = RTCRtpSender.getCapabilities('video').codecs.filter(one => one.mimeType === 'video/' + codec);
    const camera = await navigator.mediaDevices.getUserMedia({video: true});
    const publisher = new RTCPeerConnection(), viewer = new RTCPeerConnection();
    const transceiver = publisher.addTransceiver(camera.getVideoTracks()[0], {direction: 'sendonly'});
    transceiver.setCodecPreferences(own);
    const parameters = transceiver.sender.getParameters();
    parameters.degradationPreference = 'maintain-resolution';  // or a browser short of time sends smaller pictures
    await transceiver.sender.setParameters(parameters);
    const name = 'sizes-' + codec.toLowerCase();
    await answer(publisher, '/whip/' + name);
    const video = document.createElement('video');
    video.muted = video.autoplay = true;
    document.body.append(video);
    viewer.ontrack = event => { video.srcObject = new MediaStream([event.track]); };
    viewer.addTransceiver('video', {direction: 'recvonly'}).setCodecPreferences(own);
    await answer(viewer, '/whep/' + name + '/redacted');
    window.sizes = {
        publisher, viewer,
        get width() { return video.videoWidth; },
        get frames() { return video.getVideoPlaybackQuality().totalVideoFrames; },
        async shrink(by) {
            const parameters = transceiver.sender.getParameters();
            parameters.encodings[0].scaleResolutionDownBy = by;
            await transceiver.sender.setParameters(parameters);
        },
    };
}"""


@pytest.mark.parametrize("codec", ["H264", "VP8"])
def test_viewers_go_on_when_the_picture_changes_its_size(
    server: Server, open_page: Callable[[str], Watched], codec: str
) -> None:
    watched = open_page(server.url)
    watched.page.evaluate(SCRIPT_JS, codec)

    def shows(width: int) -> None:
        watched.until(lambda: watched.page.evaluate("sizes.width") == width, f"a redacted picture {width} px wide")
        before = watched.page.evaluate("sizes.frames")
        watched.until(lambda: watched.page.evaluate("sizes.frames") > before + 15, "more frames of it")

    shows(640)
    watched.page.evaluate("sizes.shrink(2)")
    shows(320)
    watched.page.evaluate("sizes.shrink(1)")
    shows(640)
    states = watched.page.evaluate("[sizes.publisher.connectionState, sizes.viewer.connectionState]")
    assert states == ["connected", "connected"]
    watched.page.evaluate("sizes.publisher.close(), sizes.viewer.close()")
