"""Which files of a folder are clips, and of every other file why it is none."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from actionrnn.datasets.file_checks import no_videos
from actionrnn.datasets.source.archives import is_archive
from actionrnn.datasets.source.locate import SourceFiles
from actionrnn.video.formats import VIDEO_ENDINGS, is_picture


def find_clips(files: SourceFiles) -> tuple[list[Path], list[str]]:
    """The videos and folders of pictures, and what was left out.

    Files with the ending of a video are clips, readable or not; files of other endings are, if
    they can be read as a film.

    Returns:
        The clips, and a line for each ending and reason: how many files, and the first of them.
    """
    reasons: dict[Path, str] = dict.fromkeys(files.hidden, "hidden")
    reasons |= dict.fromkeys(files.reached_again, "a link to a folder that counts already")
    unknown = []
    for path in files.paths:
        if is_archive(path):
            reasons[path] = "an archive: unpack it"
        elif path.suffix.lower() not in VIDEO_ENDINGS and not is_picture(path.name):
            unknown.append(path)
    reasons |= no_videos(unknown)
    pictures = [path for path in files.paths if is_picture(path.name)]
    films = [path for path in files.paths if path not in reasons and not is_picture(path.name)]
    above = {folder for film in films for folder in film.parents}
    reasons |= {path: "a picture beside videos" for path in pictures if path.parent in above}
    folders = sorted({path.parent for path in pictures} - above)
    return [*films, *folders], _counted(reasons, files.folders[0])


def _counted(reasons: Mapping[Path, str], top: Path) -> list[str]:
    """Lines such as `12 .txt: this is text, not a video (jump/notes.txt, ...)`."""
    kinds: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for path, reason in reasons.items():
        # What FFmpeg says in parentheses may name the file.
        kinds[path.suffix.lower(), reason.partition(" (")[0]].append(path)
    return [
        f"{len(paths)} {ending or 'without ending'}: {reason} ({paths[0].relative_to(top)}"
        f"{', ...' if len(paths) > 1 else ''})"
        for (ending, reason), paths in sorted(kinds.items())
    ]
