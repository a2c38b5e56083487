"""A plain aiortc server, as its own examples build one: a publisher's video is decoded, and encoded again for each viewer.

python aiortc_echo.py PORT

Answers POST /whip/NAME and POST /whep/NAME/FEED on loopback. Detects and covers nothing: it is the floor of what such a server costs.
"""

from __future__ import annotations

import sys
import uuid

import uvicorn
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaRelay
from fastapi import FastAPI, HTTPException, Request, Response

app = FastAPI()
relay = MediaRelay()
sources: dict[str, object] = {}
peers: dict[str, RTCPeerConnection] = {}


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
            sources[name] = track

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
