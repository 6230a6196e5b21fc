"""The plain decode from the first packet to the last: what every reader is measured by."""

from collections.abc import Iterator
from typing import TypeAlias

import av
from av.video.stream import VideoStream

from actionrnn.video.errors import VideoUnreadable
from actionrnn.video.probe import open_container, video_stream

VideoPacket: TypeAlias = "av.Packet[VideoStream]"
# FFmpeg's bound for an MPEG-4 picture that says nothing but "as before" (MAX_NVOP_SIZE).
LARGEST_PLACEHOLDER_BYTES = 19


def decoded_frames(path: str) -> Iterator[av.VideoFrame]:
    """The pictures of a file in order, up to the first that cannot be decoded; none is made up.

    Raises:
        VideoError: if it is no video, or not one picture can be decoded.
    """
    number = 0
    with open_container(path) as container:
        stream = video_stream(container)
        stream.thread_type = "NONE"
        packets = container.demux(stream)
        while True:
            packet = None
            try:
                packet = next(packets, None)
                if packet is None or (not packet.size and _ends_with_a_copy(stream.codec_context)):
                    return
                frames = packet.decode()
            except MemoryError:  # FFmpeg's too: no end of the video
                raise
            except av.FFmpegError as error:
                # Where XviD did not write the file FFmpeg takes a placeholder for damage.
                if packet is not None and packet.size == 1:
                    continue
                if number == 0:
                    reason = f"not one frame can be decoded ({error.strerror or error})"
                    raise VideoUnreadable(path, reason) from error
                return
            for frame in frames:
                number += 1
                yield frame


def _ends_with_a_copy(codec: av.VideoCodecContext) -> bool:
    """Whether all that can come at the end is the last picture again (FFmpeg 6 and later).

    An MPEG-4 decoder that need not reorder holds nothing back; after a picture that is not coded
    it would repeat the one before.
    """
    return codec.name == "mpeg4" and not codec.has_b_frames


def is_hidden(packet: VideoPacket, codec_name: str) -> bool:
    """Whether a packet shows nothing: VP8's alternate references, which others refer to."""
    return codec_name.startswith("vp8") and not memoryview(packet)[0] & 0x10


def may_be_placeholder(packet: VideoPacket, codec_name: str) -> bool:
    """Whether a packet is so small that only decoding tells if it shows a picture.

    XviD puts the byte 7f where its encoder lags; pictures that are not coded stand for those
    packed into the packet before, or for none.
    """
    return codec_name == "mpeg4" and packet.size <= LARGEST_PLACEHOLDER_BYTES
