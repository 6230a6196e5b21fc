"""How a file is built, read from its bytes: the boxes of an MP4, the chunks of an AVI."""

import os


def mp4_boxes(path: str) -> dict[bytes, tuple[int, int]]:
    """Position and length in bytes of the outermost boxes of an MP4, by their type."""
    boxes, position, size = {}, 0, os.path.getsize(path)
    with open(path, "rb") as file:
        while position + 8 <= size:
            file.seek(position)
            header = file.read(16)
            length = int.from_bytes(header[:4], "big")
            if length == 1:  # the true length follows, in 64 bits
                length = int.from_bytes(header[8:16], "big")
            if length < 8:  # 0 is "up to the end"
                length = size - position
            boxes[header[4:8]] = (position, length)
            position += length
    return boxes


def avi_is_whole(path: str) -> bool:
    """Whether an AVI reaches as far as its outermost chunks say."""
    position, size = 0, os.path.getsize(path)
    with open(path, "rb") as file:
        while position + 12 <= size:
            file.seek(position)
            header = file.read(12)
            if header[:4] != b"RIFF":  # what other programs append
                return position > 0
            length = int.from_bytes(header[4:8], "little")
            position += 8 + length + length % 2
            if not length:  # its writer never came to the end
                return False
    return position - length % 2 <= size
