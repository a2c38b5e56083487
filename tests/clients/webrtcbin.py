"""GStreamer's webrtcbin over WHIP and WHEP, for the system's Python: `publish FILE.mp4 URL TOKEN` sends the file's H.264 as it
is and in real time, `watch URL TOKEN OUT.y4m` decodes what comes; both go on until they are told to stop, or the file ends."""

import signal
import sys
import urllib.parse
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

BIN = "webrtcbin name=rtc bundle-policy=max-bundle latency=20"
SIZE = "videoscale ! video/x-raw,width=640,height=480"
"""The scene's; the door's own slate has another, with which a Y4M would begin anew."""


def ask(method: str, url: str, token: str, offer: str = "") -> tuple[str, str]:
    """The answer's text and the address that it tells."""
    headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {token}"}
    request = urllib.request.Request(url, offer.encode() or None, headers, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == (201 if offer else 200)
        return answer.read().decode(), urllib.parse.urljoin(url, answer.headers.get("Location", ""))


class Session:
    """One offer, sent when all candidates are known, and its answer."""

    def __init__(self, pipeline: Gst.Pipeline, url: str, token: str) -> None:
        self._url, self._token, self._session = url, token, ""
        self._rtc = pipeline.get_by_name("rtc")
        # Loopback is left out unless it is named; the agent must be kept for as long.
        self._agent = self._rtc.get_property("ice-agent")
        self._agent.emit("add-local-ip-address", "127.0.0.1")
        self._rtc.connect("notify::ice-gathering-state", self._gathered)

    def offer(self) -> bool:
        self._rtc.emit("create-offer", None, Gst.Promise.new_with_change_func(self._offered))
        return GLib.SOURCE_REMOVE

    def _offered(self, promise: Gst.Promise) -> None:
        reply = promise.get_reply()  # what is taken out of it lives no longer than it does
        self._rtc.emit("set-local-description", reply.get_value("offer"), Gst.Promise.new())

    def _gathered(self, rtc: Gst.Element, _: object) -> None:
        if rtc.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            GLib.idle_add(self._exchange)

    def _exchange(self) -> bool:
        offer = self._rtc.get_property("local-description")
        text, self._session = ask("POST", self._url, self._token, offer.sdp.as_text())
        _, message = GstSdp.SDPMessage.new_from_text(text)
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
        self._rtc.emit("set-remote-description", answer, Gst.Promise.new())
        return GLib.SOURCE_REMOVE

    def delete(self) -> None:
        if self._session:
            ask("DELETE", self._session, self._token)


def publish(video: str) -> Gst.Pipeline:
    return Gst.parse_launch(
        f"filesrc location={video} ! qtdemux ! h264parse ! identity sync=true ! rtph264pay name=packets config-interval=-1 pt=96"
        f" ! application/x-rtp,media=video,encoding-name=H264,payload=96 ! {BIN}"
    )


def watch(out: str) -> Gst.Pipeline:
    pipeline, rtc = Gst.Pipeline(), Gst.parse_launch(BIN)
    pipeline.add(rtc)
    wanted = Gst.Caps.from_string(
        "application/x-rtp,media=video,encoding-name=H264,payload=96,clock-rate=90000,"
        "packetization-mode=(string)1,profile-level-id=(string)42e01f,rtcp-fb-nack-pli=(boolean)true"
    )
    rtc.emit("add-transceiver", GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY, wanted)

    def shown(_: Gst.Element, pad: Gst.Pad) -> None:
        decoded = Gst.parse_bin_from_description(
            f"rtph264depay ! h264parse ! openh264dec ! {SIZE} ! y4menc ! filesink location={out} sync=false buffer-mode=2",
            True,
        )
        pipeline.add(decoded)
        decoded.sync_state_with_parent()
        pad.link(decoded.get_static_pad("sink"))

    rtc.connect("pad-added", shown)
    return pipeline


def main() -> None:
    Gst.init(None)
    if sys.argv[1] == "publish":
        _, _, video, url, token = sys.argv
        pipeline = publish(video)
    else:
        _, _, url, token, out = sys.argv
        pipeline = watch(out)
    session = Session(pipeline, url, token)
    loop = GLib.MainLoop()
    pipeline.get_bus().add_signal_watch()
    pipeline.get_bus().connect("message::error", lambda _, message: sys.exit(str(message.parse_error())))
    pipeline.get_bus().connect("message::eos", lambda *_: loop.quit())
    GLib.unix_signal_add(GLib.PRIORITY_DEFAULT, signal.SIGTERM, loop.quit)
    packets = pipeline.get_by_name("packets")
    if packets is None:
        GLib.idle_add(session.offer)
    else:

        def first_packet(*_: object) -> Gst.PadProbeReturn:  # there is no offer before the formats are known
            GLib.idle_add(session.offer)
            return Gst.PadProbeReturn.REMOVE

        packets.get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, first_packet)
    pipeline.set_state(Gst.State.PLAYING)
    loop.run()
    session.delete()
    pipeline.set_state(Gst.State.NULL)


if __name__ == "__main__":
    main()
