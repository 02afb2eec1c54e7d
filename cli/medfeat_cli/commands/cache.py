"""`medfeat cache`: look after the stores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medfeat.counted import counted
from medfeat_cli import options, output
from medfeat_cli.given import refuse_without
from medfeat_cli.helping import HelpfulGroup
from medfeat_cli.progress import for_terminal

if TYPE_CHECKING:
    from medfeat.workflows.stores.cache_report import Verified

app = typer.Typer(cls=HelpfulGroup, help="List, inspect, verify, repair, move and remove stores.", no_args_is_help=True)

Store = Annotated[str, typer.Argument(help="Path of a store, or the first digits of its digest.")]
Stores = Annotated[list[str] | None, typer.Argument(help="Stores; none means all of them.")]


@app.command("ls")
def ls(
    data: options.Data = None,
    backbone: options.BackboneName = None,
    size: options.Size = None,
    cache_dir: options.CacheDir = None,
    wide: options.Wide = False,
    json: options.Json = False,
) -> None:
    """List the stores in the cache.

    Example: medfeat cache ls --data bloodmnist
    """
    from medfeat.report.stores import garbage_dict, kept_line, store_dict, store_table
    from medfeat.workflows.cache import kept_beside, list_stores, not_stored
    from medfeat.workflows.stores.store_names import names_of

    found = list_stores(data=data, backbone=backbone, size=size, cache_dir=cache_dir)
    names, kept = names_of(found, cache_dir=cache_dir), kept_beside(cache_dir=cache_dir)
    if json:
        stores = [store_dict(header) | {"data": names[header.digest]} for header in found]
        output.as_json({"stores": stores, "kept": [garbage_dict(one) for one in kept]})
    else:
        output.tables([store_table(found, names)], wide=wide)
        output.lines(kept_line(kept, cache_dir))
        output.notes(not_stored(found, data=data, backbone=backbone))
    for path, problem in found.problems:
        output.error(f"{path}: {problem}")
    raise typer.Exit(int(bool(found.problems)))


@app.command("info")
def info(
    store: Store, cache_dir: options.CacheDir = None, wide: options.Wide = False, json: options.Json = False
) -> None:
    """Show the recipe of a store and all that is known of it.

    Example: medfeat cache info 3f9a
    """
    from medfeat.report.stores import info_table, store_dict
    from medfeat.workflows.cache import find_store

    header = find_store(store, cache_dir=cache_dir)
    if json:
        output.as_json(store_dict(header))
    else:
        output.tables([info_table(header)], wide=wide)


@app.command("verify")
def verify(
    context: typer.Context,
    stores: Stores = None,
    canary: Annotated[bool, typer.Option("--canary", help="Also embed a few rows again and compare.")] = False,
    device: options.Device = "auto",
    data_root: options.DataRoot = None,
    weights: options.WeightsNow = None,
    offline: options.Offline = False,
    trust_remote_code: options.TrustRemoteCode = False,
    cache_dir: options.CacheDir = None,
    json: options.Json = False,
) -> None:
    """Check every digest; say which rows are damaged, and exit with 1 if any is.

    What is only suspect (as written, but no network should give it) is said, and is no failure.

    Example: medfeat cache verify
    """
    from medfeat.workflows import cache

    refuse_without(
        context, "device data_root weights", needs="--canary: digests need no network",
        there=canary,
    )  # fmt: skip
    paths = [cache.find_path(one, cache_dir=cache_dir) for one in stores or []]
    checked = cache.verify(
        paths if stores else cache.all_paths(cache_dir=cache_dir),
        canary=canary,
        device=device,
        data_root=data_root,
        weights=weights,
        offline=offline,
        trust_remote_code=trust_remote_code,
        progress=for_terminal(),
    )
    if json:
        output.as_json({"stores": [one.to_dict() for one in checked]})
    for one in checked:
        if not json:
            _say(one)
        for problem in one.report.problems:
            output.note(f"  {problem}")
    raise typer.Exit(int(any(one.failed for one in checked)))


def _say(one: Verified) -> None:
    output.line(
        f"{one.state if one.state == 'ok' else one.state.upper()}  {one.path}  {counted(one.report.rows, 'row')}"
    )
    if one.refused or one.silent:
        output.line(f"  canary: {one.refused or f'not embedded, {one.silent}'}")
    if one.canary is not None:
        deviation = f"{one.canary.max_deviation:.2g}"
        output.line(f"  canary: {counted(one.canary.rows, 'row')} embedded again, largest deviation {deviation}")


@app.command("repair")
def repair(
    store: Store,
    device: options.Device = "auto",
    data_root: options.DataRoot = None,
    weights: options.WeightsNow = None,
    offline: options.Offline = False,
    trust_remote_code: options.TrustRemoteCode = False,
    cache_dir: options.CacheDir = None,
) -> None:
    """Embed the damaged rows of a store again and leave the rest byte for byte.

    Example: medfeat cache repair 3f9a
    """
    from medfeat.workflows import cache

    after = cache.repair(
        cache.find_path(store, cache_dir=cache_dir),
        device=device,
        data_root=data_root,
        weights=weights,
        offline=offline,
        trust_remote_code=trust_remote_code,
        progress=for_terminal(),
    )
    words = {"ok": "ok", "suspect": "SUSPECT", "damaged": "STILL DAMAGED"}
    output.line(f"{words[after.state]}  {after.path}")
    if after.rows:
        exact = "byte for byte as they first were" if after.exact else "not byte for byte as they first were"
        output.line(f"  {counted(after.rows, 'row')} embedded again on {after.device}, {exact}")
    for problem in after.report.problems:
        output.note(f"  {problem}")
    raise typer.Exit(int(after.failed))


@app.command("rm")
def rm(
    stores: Annotated[list[str], typer.Argument(help="Paths, file names, or the first digits of digests.")],
    yes: options.Yes = False,
    cache_dir: options.CacheDir = None,
) -> None:
    """Remove stores, whole, damaged or unfinished.

    Example: medfeat cache rm 3f9a
    """
    from medfeat.workflows import cache

    paths = list(dict.fromkeys(cache.find_path(one, cache_dir=cache_dir) for one in stores))
    for path in paths:
        output.line(f"{path}  {cache.contents(path)}")
    if not yes:
        typer.confirm(f"remove {counted(len(paths), 'store')}?", abort=True)
    output.line(f"freed {cache.delete(paths) / 1e6:.1f} MB")


@app.command("export")
def export(
    store: Store,
    out: Annotated[Path, typer.Argument(help="A folder (npy), or a file .npz, .h5, .parquet or .csv.")],
    fmt: Annotated[
        str | None, typer.Option("--format", help="npy, npz, hdf5, parquet or csv, where the name does not say it.")
    ] = None,
    atlas: Annotated[
        bool, typer.Option("--atlas", help="The map, neighbours and pictures, as Parquet for embedding-atlas.")
    ] = False,
    no_images: Annotated[bool, typer.Option("--no-images", help="With --atlas: leave every picture out.")] = False,
    identifiers: Annotated[
        bool, typer.Option("--identifiers", help="With --atlas: show patients and DICOM identifiers as they are.")
    ] = False,
    data_root: options.DataRoot = None,
    offline: options.Offline = False,
    cache_dir: options.CacheDir = None,
) -> None:
    """Write a store for other tools.

    Example: medfeat cache export 3f9a ./blood-resnet101.parquet
    """
    from medfeat.workflows import cache

    header = cache.find_store(store, cache_dir=cache_dir)
    if atlas and fmt is not None:
        raise typer.BadParameter("--format goes without --atlas, which is Parquet")
    if not atlas:
        if no_images or identifiers or offline or data_root is not None:
            raise typer.BadParameter("--no-images, --identifiers, --data-root and --offline go with --atlas")
        output.line(f"wrote {cache.export(header, out, format=fmt)}")
        return
    from medfeat.workflows.atlas import export_atlas

    command = export_atlas(
        header,
        out,
        images=not no_images,
        identifiers=identifiers,
        data_root=data_root,
        offline=offline,
        cache_dir=cache_dir,
        progress=for_terminal(),
    )
    output.line(f"wrote {out}, which this opens: {command}")


@app.command("import")
def import_(
    source: Annotated[Path, typer.Argument(help="npz, npy, HDF5, Parquet, CSV or torch file of another extractor.")],
    data: Annotated[str, typer.Option("--data", "-d", help="Dataset name the store will be found by.")],
    backbone: Annotated[str, typer.Option("--backbone", "-b", help="Backbone name the store will be found by.")],
    ids: Annotated[
        Path | None, typer.Option("--ids", help="File of ids (.txt, .json, .npy), or a .csv with labels too.")
    ] = None,
    task: options.TaskType = None,
    classes: options.Classes = None,
    cache_dir: options.CacheDir = None,
) -> None:
    """Make a store of features that another tool extracted; nothing in the file is executed.

    Example: medfeat cache import features.npz --data mine --backbone theirs --ids ids.txt
    """
    from medfeat.workflows.stores.importing import import_store

    path = import_store(
        source,
        data=data,
        backbone=backbone,
        ids=ids,
        task=task,  # type: ignore[arg-type]  # refused by name where it is none
        classes=classes,
        cache_dir=cache_dir,
        progress=for_terminal(),
    )
    output.line(f"wrote {path}")


@app.command("gc")
def gc(
    unfinished_days: Annotated[
        float | None, typer.Option("--unfinished-days", help="Also remove unfinished stores untouched for so long.")
    ] = None,
    compiled: Annotated[
        bool, typer.Option("--compiled", help="Also remove compiled networks, and what was measured of networks.")
    ] = False,
    unpacked: Annotated[
        bool, typer.Option("--unpacked", help="Also remove images that --unpack inflated into the cache.")
    ] = False,
    yes: options.Yes = False,
    cache_dir: options.CacheDir = None,
) -> None:
    """Remove what killed processes left behind, compiled networks that nobody uses, and what is named.

    Example: medfeat cache gc
    """
    from medfeat.workflows import cache

    also: dict[str, Any] = {"unfinished_days": unfinished_days, "compiled": compiled, "unpacked": unpacked}
    garbage = cache.tidy(cache_dir=cache_dir, dry_run=True, **also)
    for one in garbage:
        output.line(f"{one.path}  {one.size_bytes / 1e6:.1f} MB  {one.why}")
    if not garbage:
        output.line("nothing to remove")
        return
    if not yes:
        typer.confirm(f"remove {len(garbage)} leftovers?", abort=True)
    gone = cache.tidy(cache_dir=cache_dir, **also)
    output.line(f"freed {sum(one.size_bytes for one in gone) / 1e6:.1f} MB")
