"""GStreamer's RTSP server with a few live pictures and sounds; runs in the system's Python, which has its bindings.

`rtsp_server.py PORT` says "ready" when it serves /h264 (its parameter sets in the SDP alone, with Opus), /b (B-frames),
/h265 (with A-law) and /vp8, 320x240 at 30 a second.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

PICTURES = "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=30/1 ! "
SOUND = " audiotestsrc is-live=true ! audioconvert ! "
MOUNTS = {
    "/h264": PICTURES + "x264enc tune=zerolatency key-int-max=15 ! video/x-h264,profile=baseline,stream-format=avc"
    " ! rtph264pay name=pay0 pt=96 config-interval=0" + SOUND + "opusenc ! rtpopuspay name=pay1 pt=97",
    "/b": PICTURES + "x264enc bframes=2 b-adapt=false key-int-max=30 speed-preset=ultrafast ! video/x-h264,profile=main"
    " ! rtph264pay name=pay0 pt=96",
    "/h265": PICTURES + "x265enc tune=zerolatency speed-preset=ultrafast key-int-max=30 ! rtph265pay name=pay0 pt=96"
    + SOUND + "alawenc ! rtppcmapay name=pay1 pt=8",
    "/vp8": PICTURES + "vp8enc deadline=1 keyframe-max-dist=30 ! rtpvp8pay name=pay0 pt=96",
}  # fmt: skip


def main() -> None:
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(sys.argv[1])
    for path, pipeline in MOUNTS.items():
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(f"( {pipeline} )")
        factory.set_shared(True)
        server.get_mount_points().add_factory(path, factory)
    if server.attach(None) == 0:
        sys.exit("no server")
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
