"""What can be wrong with a video file; every error names the path and the reason."""

from typing import Self

from actionrnn.errors import ActionRNNError


class VideoError(ActionRNNError):
    """A video that cannot be read as asked.

    Attributes:
        path: the file.
        reason: what is wrong with it, in words.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path!r}: {self.reason}"

    def about(self, path: str) -> Self:
        """The same error of another path: of the address whose copy was read."""
        self.path, self.args = path, (path, *self.args[1:])
        return self


class VideoNotFound(VideoError):
    """There is no such file, it is a directory, or it may not be read."""


class VideoUnreadable(VideoError):
    """The file is not a video, is damaged beyond its first frame, or has no video stream."""


class DecoderRefused(VideoError):
    """A decoder asked for by name fails on the file, or would not be exact; PyAV may read it."""

    def __str__(self) -> str:
        return f"{super().__str__()}; PyAV may read it: leave out --features.reader"


class VideoShorter(VideoError):
    """Fewer frames can be decoded than the file promises.

    Attributes:
        num_frames: how many there truly are.
    """

    def __init__(self, path: str, reason: str, num_frames: int) -> None:
        super().__init__(path, reason)
        self.args = (path, reason, num_frames)
        self.num_frames = num_frames
