"""Peer connections whose video goes out, with sound and each frame's metadata beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Final

from aiortc import RTCDataChannel, RTCRtpSender

from engines.frame import RTP_CLOCK_HZ
from server.door import senders
from server.door.broadcast import AudioBroadcast, AudioTrack, Broadcast, FeedTrack
from server.door.network import Network
from server.door.offer import read
from server.door.peers import ANY_NETWORK, Peer, capabilities
from server.link import OPUS_CLOCK_HZ

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

    def show(self, broadcast: Broadcast) -> None:
        track = broadcast.attach()
        sender = self._add(track, [broadcast.codec])
        self._sender, self._packer = sender, senders.Packer(track.note_remb)
        senders.pack_with(sender, self._packer)
        senders.report_arrivals(sender, self._packer, RTP_CLOCK_HZ)
        senders.on_path_report(sender, track.note_report)
        senders.limit_resends(sender, track.may_resend)
        senders.on_key_request(sender, track.ask_for_key)
        senders.set_playout_delay(sender, *PLAYOUT_MS)

    def sound(self, audio: AudioBroadcast) -> None:
        sender = self._add(audio.attach(), ["opus"])
        packer = senders.Packer(lambda bit_rate: None)
        senders.pack_with(sender, packer)
        senders.report_arrivals(sender, packer, OPUS_CLOCK_HZ)

    def _add(self, track: FeedTrack | AudioTrack, codecs: Sequence[str]) -> RTCRtpSender:
        self._tracks.append(track)
        transceiver = self.pc.addTransceiver(track, direction="sendonly")
        transceiver.setCodecPreferences(capabilities(track.kind, codecs))
        return transceiver.sender

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
    try:
        viewer.show(broadcast)
        if audio is not None and parsed.has_audio:
            viewer.sound(audio)
        if metadata:
            viewer.pc.on("datachannel", viewer.take_channel)
        await viewer.describe(parsed)
        await viewer.answer(network)
    except BaseException:
        await viewer.close()
        raise
    return viewer
