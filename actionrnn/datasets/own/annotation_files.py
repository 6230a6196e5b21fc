"""What annotation tools export, as one list.

The tools are told apart by what stands in a file: a CSV of one's own, BORIS (tabular or aggregated
events, CSV or TSV), ELAN (.eaf, or tab-delimited text with header lines), CVAT for video 1.1 (XML),
Label Studio (video timelines, JSON or JSON-MIN), VIA 3 (its project file), and the official JSON of
ActivityNet, whose form THUMOS14 is passed around in too.
"""

from pathlib import Path

from actionrnn.datasets.errors import ManifestError
from actionrnn.datasets.own.annotation_json import read_json
from actionrnn.datasets.own.annotation_tables import read_table
from actionrnn.datasets.own.annotation_xml import read_xml
from actionrnn.datasets.own.annotations import Annotation

ENDINGS = (".csv", ".tsv", ".txt", ".eaf", ".xml", ".json")
_READERS = {".json": read_json, ".eaf": read_xml, ".xml": read_xml}


def read_annotations(source: Path) -> list[Annotation]:
    """Every annotation of a file, or of all files of a folder.

    Raises:
        ManifestError: naming the file, and line or entry, for what cannot be understood.
    """
    files = [source]
    if source.is_dir():
        files = sorted(path for path in source.rglob("*") if path.suffix.lower() in ENDINGS)
    if not files:
        raise ManifestError(f"--source {source}: no file in it ends in {', '.join(ENDINGS)}")
    found: list[Annotation] = []
    for file in files:
        ending = file.suffix.lower()
        if ending not in ENDINGS:
            raise ManifestError(f"--source {file}: must end in one of {', '.join(ENDINGS)}")
        found += _READERS.get(ending, read_table)(file)
    return found
