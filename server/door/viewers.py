"""Peer connections whose video goes out, with sound and each frame's metadata beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Final

from aiortc import RTCDataChannel, RTCRtpSender

from server.door import senders
from server.door.broadcast import AudioBroadcast, AudioTrack, Broadcast, FeedTrack
from server.door.network import Network
from server.door.offer import read
from server.door.peers import ANY_NETWORK, Peer, capabilities

MAX_BUFFERED_BYTES: Final = 16 << 10
CHANNEL: Final = "fancam"
PLAYOUT_MS: Final = (0, 100)


class Viewer(Peer):
    """A connection whose video goes out."""

    def __init__(self, on_closed: Callable[[], None]) -> None:
        super().__init__(on_closed)
        self.origin: int | None = None
        """What this viewer's RTP times are ahead of the feed's, known once the first frame has been sent."""
        self._channel: RTCDataChannel | None = None
        self._tracks: list[FeedTrack | AudioTrack] = []
        self._sender: RTCRtpSender | None = None
        self._packer: senders.Packer | None = None

    def show(self, sender: RTCRtpSender, track: FeedTrack, broadcast: Broadcast) -> None:
        self._sender, self._packer = sender, senders.Packer(track.note_remb)
        self._tracks.append(track)
        senders.pack_with(sender, self._packer)
        senders.report_arrivals(sender, self._packer, senders.VIDEO_CLOCK_HZ)
        senders.on_path_report(sender, track.note_report)
        senders.limit_resends(sender, track.may_resend)
        senders.on_key_request(sender, track.ask_for_key)
        senders.set_playout_delay(sender, *PLAYOUT_MS)

    def sound(self, sender: RTCRtpSender, track: AudioTrack) -> None:
        self._tracks.append(track)
        packer = senders.Packer(lambda bit_rate: None)
        senders.pack_with(sender, packer)
        senders.report_arrivals(sender, packer, senders.AUDIO_CLOCK_HZ)

    def take_channel(self, channel: RTCDataChannel) -> None:
        if channel.label == CHANNEL:
            self._channel = channel

    def send_metadata(self, text: str) -> None:
        """Send one frame's JSON to a viewer that has opened the data channel; skipped while the channel lags behind."""
        channel = self._channel
        if channel is None or channel.readyState != "open" or channel.bufferedAmount > MAX_BUFFERED_BYTES:
            return
        if self.origin is None:
            if self._sender is None or self._packer is None or self._packer.last is None:
                return
            self.origin = senders.rtp_origin(self._sender, self._packer.last)
            channel.send(json.dumps({"type": "origin", "rtp": self.origin}))
        channel.send(text)

    def _closed(self) -> None:
        for track in self._tracks:
            track.stop()
        super()._closed()


async def answer_viewer(
    offer: str,
    *,
    pick: Callable[[Sequence[str]], Broadcast],
    audio: AudioBroadcast | None,
    metadata: bool,
    on_closed: Callable[[], None],
    network: Network = ANY_NETWORK,
) -> Viewer:
    """Answer a WHEP offer. `pick` chooses the broadcast from the codecs that the viewer takes; its exceptions pass through.

    Raises:
        OfferError: 400, 422, or 503 when no UDP port is free.
    """
    parsed = read(offer)
    broadcast = pick(parsed.video)
    viewer = Viewer(on_closed)
    track = broadcast.attach()
    try:
        video = viewer.pc.addTransceiver(track, direction="sendonly")
        video.setCodecPreferences(capabilities("video", [broadcast.codec]))
        if audio is not None and parsed.has_audio:
            heard = audio.attach()
            sound = viewer.pc.addTransceiver(heard, direction="sendonly")
            sound.setCodecPreferences(capabilities("audio", ["opus"]))
            viewer.sound(sound.sender, heard)
        viewer.show(video.sender, track, broadcast)
        if metadata:
            viewer.pc.on("datachannel", viewer.take_channel)
        await viewer.describe(parsed)
        await viewer.answer(network)
    except BaseException:
        track.stop()
        raise
    return viewer
