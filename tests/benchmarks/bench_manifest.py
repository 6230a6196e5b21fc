"""Opening a manifest of ten million rows: seconds, and the most memory that was taken.

python tests/benchmarks/bench_manifest.py [--rows 10000000]
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

NUM_CLASSES = 400


def write(root: Path, num_rows: int, rows_at_once: int = 1_000_000) -> None:
    names = [f"class_{number:03d}" for number in range(NUM_CLASSES)]
    (root / "classes.txt").write_text("".join(f"{name}\n" for name in names))
    writer = None
    for first in range(0, num_rows, rows_at_once):
        number = np.arange(first, min(first + rows_at_once, num_rows))
        label = [names[k] for k in number % NUM_CLASSES]
        table = pa.table(
            {
                "video_id": [f"clip_{k:08d}" for k in number],
                "path": [
                    f"s3://bucket/videos/{name}/clip_{k:08d}.mp4"
                    for name, k in zip(label, number, strict=True)
                ],
                "label": label,
                "group": [f"recording_{k // 10:07d}" for k in number],
                "split1": [("train", "val", "test")[k // 10 % 3] for k in number],
                "content": [""] * len(number),
            }
        )
        writer = writer or pq.ParquetWriter(root / "manifest.parquet", table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def opened(root: Path) -> None:
    from actionrnn.datasets.manifest import Manifest

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    start = time.monotonic()
    manifest = Manifest.load(root)
    seconds = time.monotonic() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    size = manifest.table.memory_usage(deep=False).sum() / 2**30
    print(
        f"{len(manifest.table):,} rows in {seconds:.1f} s; at most {peak:.2f} GiB, "
        f"{before:.2f} before; the table {size:.2f}",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--opened", type=Path, default=None)
    options = parser.parse_args()
    if options.opened:
        opened(options.opened)
    else:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), options.rows)
            command = [sys.executable, __file__, "--opened", folder]
            subprocess.run(command, check=True)
