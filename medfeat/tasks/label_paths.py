"""Paths in a file of labels: what they lead to must be the images that were embedded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medfeat.errors import DataError
from medfeat.tasks.binding import images_of
from medfeat.tasks.check import examples
from medfeat.tasks.readable import Readable
from medfeat.tasks.versions import read_contents
from medfeat.types import IdArray


def refuse_other_files(file: Path, ids: IdArray, paths: Sequence[str], store: Readable) -> None:
    """Refuse labels whose paths lead to other images than the store holds under the ids they end in.

    Parameters
    ----------
    file
        Of the labels; relative paths start from its folder.
    ids
        (n,) ids the labels are for.
    paths
        (n,) paths beside them, none where there are none. One that leads nowhere is taken at its word.
    store
        Whose images are labelled.

    Raises
    ------
    DataError
        Counting the paths, with examples.
    """
    from medfeat.datasets.digests import DigestMemory

    folder = store.path.parent.parent
    known = read_contents(folder, images_of(store)) if len(paths) else {}
    memory = DigestMemory.of_cache(folder.parent) if known else DigestMemory()
    there = [(name, file.parent / path) for name, path in zip(ids.tolist(), paths, strict=False) if name in known]
    others = [str(path) for name, path in there if path.is_file() and memory.digest(path, "blake2b") != known[name]]
    memory.save()
    if others:
        raise DataError(
            f"{file}: {len(others)} of {len(ids)} paths lead to other images than those that were embedded, such as "
            f"{examples(others, 1)}: extract these, or give ids instead of paths"
        )
