"""A plain aiortc server, as its own examples build one: a publisher's video is decoded, and encoded again for each viewer.

python aiortc_echo.py PORT [cover]

Answers POST /whip/NAME and POST /whep/NAME/FEED on loopback. Without `cover` it detects and covers nothing: the floor of what such a
server costs. With it each picture goes through a callback on BGR arrays, as in FastRTC and streamlit-webrtc, that blurs what Fancam's
own detector finds.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from fractions import Fraction

import cv2
import numpy as np
import uvicorn
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaRelay
from av import VideoFrame
from fastapi import FastAPI, HTTPException, Request, Response

from engines.detect.detector import Detector, open_detector
from engines.frame import Frame

COVER = sys.argv[2:] == ["cover"]
BLUR_SHARE = 8

app = FastAPI()
relay = MediaRelay()
sources: dict[str, object] = {}
peers: dict[str, RTCPeerConnection] = {}


class Covered(MediaStreamTrack):
    """The pictures of `source` after the callback."""

    kind = "video"

    def __init__(self, source: MediaStreamTrack) -> None:
        super().__init__()
        self._source, self._detector = source, open_detector()

    async def recv(self) -> VideoFrame:
        frame = await self._source.recv()
        picture = await asyncio.to_thread(cover, self._detector, frame.to_ndarray(format="bgr24"))
        # Converted once: encoders that each convert the frame they share crash (segmentation fault in PyAV 18, aiortc 1.16).
        covered = VideoFrame.from_ndarray(picture, format="bgr24").reformat(format="yuv420p")
        covered.pts, covered.time_base = frame.pts, Fraction(frame.time_base)
        return covered


def cover(detector: Detector, picture: np.ndarray) -> np.ndarray:
    """The callback: BGR in, BGR with blurred faces out."""
    height, width = picture.shape[:2]
    planes = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420)
    u, v = planes[height:].reshape(2, height // 2, width // 2)
    (found,) = detector.detect([Frame(planes[:height], u, v, 0, 0)])
    for left, top, right, bottom in found.boxes.astype(int).clip(0):
        face = picture[top:bottom, left:right]
        if face.size:
            picture[top:bottom, left:right] = cv2.GaussianBlur(face, (0, 0), max(1, (right - left) / BLUR_SHARE))
    return picture


async def answer(pc: RTCPeerConnection, offer: str, before_answer: object = None) -> Response:
    await pc.setRemoteDescription(RTCSessionDescription(offer, "offer"))
    if before_answer is not None:
        before_answer()
    await pc.setLocalDescription(await pc.createAnswer())
    ident = uuid.uuid4().hex
    peers[ident] = pc
    headers = {"Location": f"/session/{ident}"}
    return Response(pc.localDescription.sdp, 201, headers, "application/sdp")


@app.post("/whip/{name}")
async def whip(name: str, request: Request) -> Response:
    pc = RTCPeerConnection()

    @pc.on("track")
    def on_track(track: object) -> None:
        if track.kind == "video":
            sources[name] = Covered(track) if COVER else track

    return await answer(pc, (await request.body()).decode())


@app.post("/whep/{name}/{feed:path}")
async def whep(name: str, feed: str, request: Request) -> Response:
    if name not in sources:
        raise HTTPException(404)
    pc = RTCPeerConnection()

    def give() -> None:
        video = next(one for one in pc.getTransceivers() if one.kind == "video")
        video.sender.replaceTrack(relay.subscribe(sources[name]))
        video.direction = "sendonly"

    return await answer(pc, (await request.body()).decode(), give)


@app.delete("/session/{ident}")
async def end(ident: str) -> None:
    if ident in peers:
        await peers.pop(ident).close()


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
