"""Where a dataset comes from, and the files of what the user has of it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.source.archives import archive_name, extract, find_archives, is_archive
from actionrnn.datasets.source.download import RemoteFile, download
from actionrnn.datasets.source.names import numbered_lines
from actionrnn.errors import ActionRNNError
from actionrnn.files import publish_text
from actionrnn.progress import tell
from actionrnn.video.formats import VIDEO_ENDINGS


class SourceNeeded(ActionRNNError):
    """No source was given; the message says where to get the dataset."""


def required(source: Path | None, how: str) -> Path:
    """The source, which is there.

    Raises:
        SourceNeeded: without one: `how` to get it.
        ManifestError: if it is not there.
    """
    if source is None:
        raise SourceNeeded(how)
    if not source.exists():
        raise ManifestError(f"--source {source} does not exist.\n{how}")
    return source


def is_source_folder(source: Path) -> bool:
    """Whether a source is a folder, or else an archive.

    Raises:
        ManifestError: if it is neither.
    """
    if source.is_dir() or is_archive(source):
        return source.is_dir()
    raise ManifestError(f"--source {source}: neither a folder nor a zip, tar or rar archive")


@dataclass(frozen=True)
class DatasetCard:
    """What a user must know before having the data.

    Attributes:
        name: as in `actionrnn prepare NAME`.
        title: the dataset's name and paper.
        homepage: where its authors offer it.
        licence: its terms, in a few words.
        size: to download, in words.
        layout: what the source folder is expected to hold.
        files: those with a public address.
        lists: texts with a public address that hold further addresses, one a line.
    """

    name: str
    title: str
    homepage: str
    licence: str
    size: str
    layout: str
    files: tuple[RemoteFile, ...] = ()
    lists: tuple[RemoteFile, ...] = ()

    def where_to_get(self) -> str:
        """Addresses, licence, size and the command that follows."""
        command, root = f"actionrnn prepare {self.name}", f"--root data/{self.name}"
        lines = [
            self.title,
            f"  from     {self.homepage}",
            *(f"  file     {file.url}" for file in self.files),
            *(f"  files in {file.url}" for file in self.lists),
            f"  licence  {self.licence}",
            f"  size     {self.size}",
            f"  holds    {self.layout}",
            *([f"now:  {command} --download {root}"] if self.files else []),
            f"then: {command} --source PATH {root}",
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class SourceFiles:
    """Every file of a source, in order.

    Attributes:
        folders: where they were looked for.
        paths: the files; with `image_folders`, also folders named by a number, unopened.
        layout: what ought to be there, for messages.
        hidden: the files that begin with a dot or lie in a folder that does, and those of a Mac.
        reached_again: folders that lead to one that was looked through already.
    """

    folders: tuple[Path, ...]
    paths: tuple[Path, ...]
    layout: str = ""
    hidden: tuple[Path, ...] = ()
    reached_again: tuple[Path, ...] = ()

    @classmethod
    def walk(
        cls, folders: tuple[Path, ...], image_folders: bool = False, layout: str = ""
    ) -> "SourceFiles":
        """Look through `folders` at any depth; one that is reached twice counts once.

        Raises:
            OSError: for a folder that may not be read.
        """
        seen: set[str] = set()
        again: list[Path] = []
        paths: dict[bool, list[Path]] = {False: [], True: []}
        for top in folders:
            for path in _walk(top, image_folders, seen, again):
                paths[_is_hidden(path.relative_to(top))].append(path)
        return cls(folders, tuple(paths[False]), layout, tuple(paths[True]), tuple(again))

    def named(self, *names: str) -> Path:
        """The file with one of these names, the first name first.

        Raises:
            ManifestError: if there is none, or several with that name.
        """
        for name in names:
            found = [path for path in self.paths if path.name == name]
            if len(found) > 1:
                raise ManifestError(f"{name} is there {len(found)} times: {found[0]}, {found[1]}")
            if found:
                return found[0]
        places = ", ".join(str(folder) for folder in self.folders)
        raise ManifestError(f"no {' or '.join(names)} in {places}; expected are {self.layout}")

    def videos(self) -> list[Path]:
        """The files whose ending is a video's."""
        return [path for path in self.paths if path.suffix.lower() in VIDEO_ENDINGS]


def _walk(top: Path, image_folders: bool, seen: set[str], again: list[Path]) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise error

    for folder, subfolders, files in os.walk(top, followlinks=True, onerror=refuse):
        real = os.path.realpath(folder)
        if real in seen:
            again.append(Path(folder))
            subfolders[:] = []
            continue
        seen.add(real)
        # Links last: of two ways to a folder, the folder itself is the first.
        subfolders.sort(key=lambda name: (os.path.islink(os.path.join(folder, name)), name))
        if image_folders:
            yield from (Path(folder, name) for name in subfolders if name.isdigit())
            subfolders[:] = [name for name in subfolders if not name.isdigit()]
        yield from (Path(folder, name) for name in sorted(files))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in path.parts)


def open_source(
    card: DatasetCard,
    source: Path | None,
    root: Path,
    download_files: bool = False,
    image_folders: bool = False,
) -> SourceFiles:
    """The files of a dataset, fetched and unpacked first where that is needed.

    What is fetched goes to `root/downloads`, what is unpacked to `root/unpacked`; the source
    itself is only read. Archives unpacked by an earlier run are not unpacked again.

    Raises:
        SourceNeeded: without a source: where to get it.
        ManifestError: if the source is not there.
    """
    if source is None and download_files:
        if not card.files:
            raise SourceNeeded(f"{card.name} has no public address.\n{card.where_to_get()}")
        source = root / "downloads"
        _download(card, source)
    source = required(source, card.where_to_get())
    if not is_source_folder(source):
        folders = (_unpacked([source], root / "unpacked"),)
        return SourceFiles.walk(folders, image_folders, card.layout)
    unpacked = [
        _unpacked(parts, root / "unpacked" / parts[0].parent.relative_to(source))
        for parts in find_archives(source)
    ]
    return SourceFiles.walk((source, *unpacked), image_folders, card.layout)


def _download(card: DatasetCard, folder: Path) -> None:
    for file in card.files:
        download(file, folder)
    for listing in card.lists:
        path = download(listing, folder)
        for where, line in numbered_lines(path):
            if not line.startswith("https://"):
                raise ManifestError(f"{where}: {line!r} is no https address; rejected")
            download(RemoteFile(line.strip(), folder=listing.folder), folder)


def _unpacked(parts: list[Path], into: Path) -> Path:
    """The contents of an archive, in a folder of `into`."""
    folder = into / archive_name(parts)
    note = into / f".{folder.name}.source"
    mark = "".join(f"{part.name} {part.stat().st_size}\n" for part in parts)
    if folder.is_dir():
        if not note.is_file() or note.read_text(encoding="utf-8") != mark:
            raise ManifestError(
                f"{folder} was unpacked from another file than {parts[0]}; remove it, or choose "
                f"another --root"
            )
        return folder
    tell(f"unpacking {parts[0]} to {folder}")
    publish_text(note, mark)
    return extract(parts, folder)
