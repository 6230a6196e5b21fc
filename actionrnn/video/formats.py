"""Which files are videos: by their endings, and for FFmpeg by what is inside."""

import os
from pathlib import Path

import av


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# FFmpeg goes by content, not by endings: this set saves a look into files that are surely meant as
# videos. Of any other file `probe.why_no_video` tells.
VIDEO_ENDINGS = _words(
    """
    .264 .265 .266 .3g2 .3gp .asf .avi .divx .dv .f4v .flv .gif .h261 .h263 .h264 .h265 .hevc .ivf
    .m1v .m2t .m2ts .m2v .m4v .mjpeg .mjpg .mk3d .mkv .mov .mp4 .mpe .mpeg .mpg .mts .mxf .nut .obu
    .ogm .ogv .qt .rm .rmvb .ts .vob .webm .wmv .wtv .xvid .y4m
    """
)
# Pictures of a folder that is a video.
PICTURE_ENDINGS = _words(".bmp .jpe .jpeg .jpg .pgm .png .pnm .ppm .tif .tiff .webp")

# Playlists and scripts, which name other files to open, and patterns of file names.
_REFERRING = _words("concat dash hls image2 imf lavfi mlv rtp rtsp sap sdp vobsub") | {
    "webm_dash_manifest"
}
# Text that FFmpeg would draw.
_TEXT_ART = _words("adf bin idf tty xbin")
# For `format_whitelist`: a file that is anything else is not opened.
OPENED_FORMATS = ",".join(sorted(av.formats_available - _REFERRING - _TEXT_ART))


def is_picture(name: str) -> bool:
    """Whether a file's name is a picture's; `._1.jpg` and other hidden files are none."""
    return os.path.splitext(name)[1].lower() in PICTURE_ENDINGS and not name.startswith(".")


def pictures_in(folder: Path) -> list[Path]:
    """The pictures right in a folder, in the order of their names."""
    return sorted(file for file in folder.iterdir() if is_picture(file.name) and file.is_file())


def is_still(container_format: str) -> bool:
    """Whether FFmpeg's name of a container is that of a single picture, such as `jpeg_pipe`."""
    return container_format.endswith("_pipe")
