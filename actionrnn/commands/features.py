"""`actionrnn features info|verify|prune|import|export`: looking after feature stores."""

import sys
from pathlib import Path
from typing import Any, Literal

from jsonargparse import ArgumentParser

from actionrnn.commands.parsing import job_of, options_of, verb_parser
from actionrnn.datasets.manifest import Manifest
from actionrnn.errors import shown
from actionrnn.features import admin
from actionrnn.features.exchange import export_features, import_features
from actionrnn.features.store import FeatureStore
from actionrnn.places import refuse_remote
from actionrnn.training.data_source import expand_path

TAKES_VERB = False
JOBS = {
    "info": "what each store holds, and its size",
    "verify": "read every byte; --repair sets damaged shards aside, to be extracted again",
    "prune": "delete damaged and superseded shards, and stores other than --keep",
    "import": "make a store of .npy or .safetensors files made elsewhere",
    "export": "write a .npy or .safetensors file a clip",
}


def main(arguments: list[str]) -> int:
    """Run one job."""
    if not arguments or arguments[0].startswith("-"):
        print("usage: actionrnn features JOB FOLDER ...\n\nJOB is one of")
        print("\n".join(f"  {name:<7} {purpose}" for name, purpose in JOBS.items()))
        print("\nFOLDER is a store, or a folder of stores such as data/mine/features")
        return 0 if arguments else 2
    job, rest = job_of(arguments, JOBS, "job")
    parser = verb_parser(f"features {job}")
    parser.add_argument("folder", type=Path, help="a store, or a folder of stores")
    run = {"info": _info, "verify": _verify, "prune": _prune, "import": _import, "export": _export}
    return run[job](parser, rest)


def _parse(parser: ArgumentParser, arguments: list[str]) -> Any:
    options = options_of(parser, arguments)
    for option in ("folder", "features_dir", "target"):
        refuse_remote(option, options.get(option), "stores are looked after")
    return options


def _info(parser: ArgumentParser, arguments: list[str]) -> int:
    options = _parse(parser, arguments)
    for folder in admin.store_folders(options.folder):
        one = admin.info(folder)
        settings = one.spec.settings
        print(
            f"{folder.name}  {one.num_clips} clips, {one.num_failures} unreadable, "
            f"{one.num_views} views, D = {one.feature_dim}, {one.num_bytes / 1e6:.1f} MB\n"
            f"  {settings.backbone.name} ({Path(settings.backbone.weights).name}), "
            f"{settings.sampling.mode} sampling of {settings.sampling.num_frames} frames, "
            f"{settings.transform.size} px {settings.transform.resize}, {one.spec.reader}"
        )
        if one.num_superseded_bytes:
            spare = one.num_superseded_bytes / 1e6
            print(f"  {spare:.1f} MB are superseded; actionrnn features prune frees them")
        for path, reason in one.damaged.items():
            print(shown(f"  damaged: {path.name}: {reason}"))
    return 0


def _verify(parser: ArgumentParser, arguments: list[str]) -> int:
    parser.add_argument("--repair", action="store_true", help="set damaged shards aside")
    options = _parse(parser, arguments)
    num_damaged = 0
    for folder in admin.store_folders(options.folder):
        damaged = admin.verify(folder)
        num_damaged += len(damaged)
        for path, reason in damaged.items():
            print(shown(f"{path}: {reason}"))
        if options.repair:
            admin.discard(damaged)
    hint = "" if options.repair or not num_damaged else "; --repair sets them aside"
    print(f"{num_damaged} damaged or foreign files{hint}", file=sys.stderr)
    return 3 if num_damaged and not options.repair else 0


def _prune(parser: ArgumentParser, arguments: list[str]) -> int:
    parser.add_argument("--keep", type=str, nargs="+", default=None, help="stores to keep")
    parser.add_argument("--dry_run", action="store_true", help="only tell")
    options = _parse(parser, arguments)
    pruned = admin.prune(options.folder, options.keep, options.dry_run)
    for one in pruned:
        print(shown(f"{one.path}: {one.reason}, {one.num_bytes / 1e6:.1f} MB"))
    verb = "would free" if options.dry_run else "freed"
    print(f"{verb} {sum(one.num_bytes for one in pruned) / 1e6:.1f} MB", file=sys.stderr)
    return 0


def _import(parser: ArgumentParser, arguments: list[str]) -> int:
    parser.add_argument("--root", type=str, required=True, help="prepared dataset (manifest.csv)")
    parser.add_argument("--name", type=str, required=True, help="what to call the features")
    parser.add_argument("--dtype", type=Literal["float32", "float16"], default="float32")
    parser.add_argument("--features_dir", type=Path | None, default=None, help="ROOT/features")
    options = _parse(parser, arguments)
    root = expand_path(options.root)
    target = options.features_dir or root / "features"
    refuse_remote("--features_dir", target, "features are imported")
    store = import_features(
        Manifest.load(root), options.folder, target, options.name, options.dtype
    )
    print(f"{len(store.video_ids)} clips imported, {len(store.failures)} had no file")
    print(
        f"next: actionrnn fit --data.root {root} --features.backbone.name import:{options.name}",
        file=sys.stderr,
    )
    return 0


def _export(parser: ArgumentParser, arguments: list[str]) -> int:
    parser.add_argument("--target", type=Path, required=True, help="folder for the files")
    parser.add_argument("--format", type=Literal["npy", "safetensors"], default="npy")
    options = _parse(parser, arguments)
    store = FeatureStore.open(options.folder)
    print(f"{export_features(store, options.target, options.format)} clips exported")
    return 0
