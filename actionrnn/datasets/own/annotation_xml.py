"""Annotations in XML: ELAN's .eaf, and CVAT's "CVAT for video 1.1" (and "for images": its tags).

EAF: https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf. CVAT:
https://docs.cvat.ai/docs/dataset_management/formats/format-cvat: a track is an object that is there
from its first shape to the one marked `outside`; a tag says what a frame shows.
"""

from collections import defaultdict
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.own.annotations import Annotation

_LINE = "\0line"


def read_xml(path: Path) -> list[Annotation]:
    """The annotations of an .eaf or a CVAT .xml.

    Raises:
        ManifestError: with file and line.
    """
    root = parse_xml(path)
    if root.tag == "ANNOTATION_DOCUMENT":
        return _elan(path, root)
    if root.tag == "annotations":
        return _cvat(path, root)
    raise ManifestError(
        f"{path}: <{root.tag}> is neither ELAN's <ANNOTATION_DOCUMENT> nor CVAT's <annotations>"
    )


def parse_xml(path: Path) -> Element:
    """The tree of a file; every element has its line under `_LINE`.

    A document type, and with it every entity that could expand or lead to another file, is refused.

    Raises:
        ManifestError: with file and line.
    """
    builder, parser = TreeBuilder(), expat.ParserCreate()

    def start(tag: str, attributes: dict[str, str]) -> None:
        builder.start(tag, {**attributes, _LINE: str(parser.CurrentLineNumber)})

    def refuse(*_: object) -> None:
        raise ManifestError(
            f"{path}, line {parser.CurrentLineNumber}: a document type (<!DOCTYPE>) could expand "
            f"without end or read other files; no annotation tool writes one"
        )

    parser.StartElementHandler = start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(path.read_bytes(), True)
    except expat.ExpatError as error:
        raise ManifestError(f"{path}, line {error.lineno}: not XML: {error}") from error
    return builder.close()


def _where(path: Path, element: Element) -> str:
    return f"{path}, line {element.get(_LINE)}"


def _elan(path: Path, root: Element) -> list[Annotation]:
    header = root.find("HEADER")
    unit = "milliseconds" if header is None else header.get("TIME_UNITS", "milliseconds")
    if unit != "milliseconds":
        raise ManifestError(f"{path}: TIME_UNITS {unit!r}; ELAN writes milliseconds")
    described = root.findall("HEADER/MEDIA_DESCRIPTOR")
    films = [each for each in described if each.get("MIME_TYPE", "").startswith("video")]
    media = next(iter([*films, *described]), None)
    address = "" if media is None else media.get("MEDIA_URL", "")
    video = PurePosixPath(unquote(urlsplit(address).path)).name or path.stem
    # What ELAN skips at the start of a video, to have several media in step.
    offset = float("0" if media is None else media.get("TIME_ORIGIN", "0"))
    moments = {
        slot.get("TIME_SLOT_ID"): slot.get("TIME_VALUE")
        for slot in root.iterfind("TIME_ORDER/TIME_SLOT")
    }
    found = [Annotation(str(path), video)]
    for element in root.iterfind("TIER/ANNOTATION/ALIGNABLE_ANNOTATION"):
        edges = [moments.get(element.get(f"TIME_SLOT_REF{n}")) for n in (1, 2)]
        if None in edges:
            raise ManifestError(f"{_where(path, element)}: its time slot has no TIME_VALUE")
        label = (element.findtext("ANNOTATION_VALUE") or "").strip()
        start, end = ((float(edge or 0) + offset) / 1000 for edge in edges)
        if label:
            found.append(Annotation(_where(path, element), video, label, start, end))
    return found


def _cvat(path: Path, root: Element) -> list[Annotation]:
    tasks = {task.findtext("id", ""): task for task in root.iter("task")}
    jobs = {job.findtext("id", ""): job for job in root.iterfind("meta/job")}
    known = tasks or jobs

    def of(element: Element) -> tuple[str, int]:
        """Video of an element, and the number behind its last frame."""
        number = element.get("task_id", next(iter(known), ""))
        task = known.get(number)
        source = root.findtext("meta/source") if task is None else task.findtext("source")
        source = source or root.findtext("meta/source") or ""
        if task is None or not source:
            raise ManifestError(f"{_where(path, element)}: no <source> in <meta> names its video")
        stop = task.findtext("stop_frame") or ""
        return source, int(stop) + 1 if stop else int(task.findtext("size") or 0)

    sources = [text for task in known.values() if (text := task.findtext("source"))]
    found = [Annotation(str(path), source) for source in sources]
    for track in root.iterfind("track"):
        found += _track(path, track, *of(track))
    tagged: dict[tuple[str, str], list[tuple[int, Element]]] = defaultdict(list)
    for tag in root.iterfind("tag"):
        tagged[of(tag)[0], tag.get("label", "")].append((int(tag.get("frame", "0")), tag))
    for image in root.iterfind("image"):
        for tag in image.iterfind("tag"):
            key = of(image)[0], tag.get("label", "")
            tagged[key].append((int(image.get("id", "0")), tag))
    for (video, label), frames in tagged.items():
        found += _runs(path, video, label, frames)
    return found


def _track(path: Path, track: Element, video: str, behind_last: int) -> list[Annotation]:
    """One for every stretch in which the object is there."""
    label, found, began = track.get("label", ""), [], None
    shapes = [(int(s.attrib["frame"]), s.get("outside")) for s in track.iterfind("*[@frame]")]
    frame = 0
    for frame, outside in sorted(shapes, key=lambda shape: shape[0]):
        if outside == "1" and began is not None:
            found.append(Annotation(_where(path, track), video, label, began, frame, True))
            began = None
        elif outside != "1" and began is None:
            began = frame
    if began is not None:
        end = max(behind_last, frame + 1)
        found.append(Annotation(_where(path, track), video, label, began, end, True))
    return found


def _runs(
    path: Path, video: str, label: str, frames: list[tuple[int, Element]]
) -> list[Annotation]:
    """Tags of frames that follow one another are one segment."""
    found: list[Annotation] = []
    for frame, tag in sorted(frames, key=lambda each: each[0]):
        if found and found[-1].end >= frame:
            found[-1] = found[-1]._replace(end=frame + 1)
        else:
            found.append(Annotation(_where(path, tag), video, label, frame, frame + 1, True))
    return found
