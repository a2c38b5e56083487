"""Decode one stream of access units, each into at most one frame, at once."""

from __future__ import annotations

from typing import Final, Literal, cast

import av
import cv2
import numpy as np

from engines.bitstream import MAX_PIXELS, Refusable, picture_size
from engines.frame import Frame, Ledger, plane_view

Codec = Literal["h264", "vp8"]
FULL_TO_LIMITED_LUMA: Final = np.round(16 + np.arange(256) * (219 / 255)).astype(np.uint8)
FULL_TO_LIMITED_CHROMA: Final = np.round(128 + (np.arange(256) - 128) * (224 / 255)).astype(np.uint8)
LOW_DELAY: Final = av.codec.context.Flags.low_delay


class DecodeError(Exception):
    """The data is not decodable; decoding goes on at the next key frame."""


def to_i420(picture: av.VideoFrame) -> av.VideoFrame:
    """The picture as limited-range yuv420p, itself when it is that already."""
    name = picture.format.name
    full_range = name == "yuvj420p" or (
        name == "yuv420p" and picture.color_range == av.video.reformatter.ColorRange.JPEG
    )
    if full_range:
        return _limit_range(picture)
    if name == "yuv420p":
        return picture
    return picture.reformat(format="yuv420p", dst_color_range="MPEG")


def _limit_range(picture: av.VideoFrame) -> av.VideoFrame:
    limited = av.VideoFrame(picture.width, picture.height, "yuv420p")
    tables = (FULL_TO_LIMITED_LUMA, FULL_TO_LIMITED_CHROMA, FULL_TO_LIMITED_CHROMA)
    for source, target, table in zip(picture.planes, limited.planes, tables, strict=True):
        size = source.width, source.height
        cv2.LUT(plane_view(source, *size), table, dst=plane_view(target, *size))
    return limited


class VideoDecoder:
    """Holds no frame back: one thread, low delay. Pictures over `max_pixels` are refused before memory is taken."""

    def __init__(self, codec: Codec, max_pixels: int = MAX_PIXELS) -> None:
        self._context = cast(av.VideoCodecContext, av.CodecContext.create(codec, "r"))
        self._context.thread_count = 1
        self._context.flags |= LOW_DELAY
        self._context.options = {"max_pixels": str(max_pixels)}
        self._codec, self._max_pixels = codec, max_pixels

    def decode(self, data: bytes, rtp_time: int, arrival_ns: int, ledger: Ledger | None = None) -> list[Frame]:
        """Decode one access unit (Annex B, or a VP8 frame); usually one frame, none while the decoder waits for a key.

        Raises:
            DecodeError: broken data, or a picture that is too large.
        """
        if self._codec == "h264":
            self._refuse_large(data)
        try:
            pictures = self._context.decode(av.Packet(data))
        except av.FFmpegError as error:
            raise DecodeError(str(error)) from error
        return [Frame.from_video_frame(to_i420(picture), rtp_time, arrival_ns, ledger) for picture in pictures]

    def _refuse_large(self, data: bytes) -> None:
        """FFmpeg holds `max_pixels` against what is left of a picture once it is cropped, and takes memory for the whole."""
        try:
            size = picture_size("h264", data)
        except Refusable as error:
            raise DecodeError(str(error)) from error
        if size is not None and size[0] * size[1] > self._max_pixels:
            raise DecodeError(f"a picture of {size[0]}x{size[1]} px is too large")
