"""Writing a store: immutable parts first, then one file that appears whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medfeat_cache.commands import command
from medfeat_cache.coverage import Coverage, GroupSpec, as_ids, as_labels, refuse_repeated
from medfeat_cache.errors import StoreConflictError, StoreDamaged, StoreError, StoreInputError, UnknownIdsError, saying
from medfeat_cache.files import TEMPORARY, make_folder, replacing, sync_folder
from medfeat_cache.format import EMBEDDING_DTYPES, HASH_BYTES, finite_rows, spell_shape
from medfeat_cache.key import canonical_json, differing_fields, digest
from medfeat_cache.layout import open_layout
from medfeat_cache.lock import Lock, log_wait
from medfeat_cache.manifest import Manifest, load_manifest
from medfeat_cache.merge import merge
from medfeat_cache.parts import Part, read_part, write_part
from medfeat_cache.root import lock_file, parts_folder


class StoreWriter:
    """The one process that writes a store; made by `StoreWriter.open`, closed by `close` or a ``with`` block.

    Attributes
    ----------
    path
        Where the store will be.
    recipe
        Its recipe.
    settings
        Those the embeddings must be made with: of the interrupted run, when one is resumed.
    resumed
        Whether an unfinished store of this recipe was found.
    dropped
        One line for each part that was found and could not be kept.
    """

    def __init__(self, path: Path, manifest: Manifest, lock: Lock) -> None:
        self.path = path
        self.folder = parts_folder(path)
        self.manifest = manifest
        self.resumed = False
        self.dropped: list[str] = []
        self._digest = manifest.recipe_digest
        self._lock = lock
        self._groups: dict[str, Coverage] = {}

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        recipe: Mapping[str, Any],
        info: Mapping[str, Any],
        settings: Mapping[str, Any],
        wait: bool = True,
        on_wait: Callable[[str], None] = log_wait,
    ) -> StoreWriter:
        """Take the lock and the manifest of a store, its own or that of an interrupted run.

        Parameters
        ----------
        path
            From `medfeat_cache.store_path`.
        recipe
            Everything that changes the bytes of the embeddings, plain JSON values.
        info
            Facts kept beside them.
        settings
            Batch size, compile and the like: fixed here, before part 1. Those of an interrupted run win.
        wait
            Wait for another writer of this store; False raises `StoreBusy`, naming it.
        on_wait
            Told in one line who is waited for.
        """
        path = Path(path).absolute()
        asked = Manifest(dict(recipe), dict(settings), dict(info))
        canonical_json(asdict(asked))
        with saying(path.parent, "creating the folder"):
            make_folder(path.parent)
        lock = Lock(lock_file(path)).acquire(wait=wait, on_wait=on_wait)
        try:
            writer = cls(path, asked, lock)
            writer._begin()
        except BaseException:
            lock.release()
            raise
        return writer

    def _begin(self) -> None:
        self._tidy()
        with saying(self.folder, "creating the folder"):
            make_folder(self.folder)
        try:
            found = load_manifest(self.folder)
        except StoreDamaged as error:
            found = None
            self.dropped.append(f"all parts: {error}")
        if found is None:
            self._drop_parts()
        elif found.recipe_digest != self._digest:
            fields = ", ".join(differing_fields(found.recipe, self.manifest.recipe))
            raise StoreConflictError(
                f"{self.folder} holds parts of another recipe (it differs in {fields}): "
                f"remove it with {command('cache', 'rm', self.folder)}, then run the same command again"
            )
        else:
            self.resumed = True
            self.manifest = replace(found, info={**found.info, **self.manifest.info})
        if self.manifest != found:
            self.manifest.save(self.folder)

    def _tidy(self) -> None:
        # Under the lock nobody else writes here: what a killed writer left under temporary names is nobody's.
        for folder, pattern in ((self.path.parent, f".{self.path.name}.*{TEMPORARY}"), (self.folder, f".*{TEMPORARY}")):
            for left in folder.glob(pattern):
                with saying(left, "removing"):
                    left.unlink(missing_ok=True)
        if self.published and all(part.stat().st_mtime <= self.path.stat().st_mtime for part in self._parts()):
            shutil.rmtree(self.folder, ignore_errors=True)  # killed between publishing the store and tidying up

    def _parts(self, pattern: str = "*.part") -> list[Path]:
        return sorted(self.folder.glob(pattern))

    def _drop_parts(self, pattern: str = "*.part") -> None:
        for path in self._parts(pattern):
            with saying(path, "removing"):
                path.unlink(missing_ok=True)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings every embedding of this store must be made with."""
        return self.manifest.settings

    @property
    def published(self) -> bool:
        """Whether a readable store of this recipe is already at `path`, written while this one waited for the lock."""
        try:
            layout, file = open_layout(self.path)
        except StoreError:
            return False
        file.close()
        return bool(layout.attributes["recipe_digest"] == self._digest)

    def change_settings(self, reason: str, **changes: Any) -> None:
        """Record durably that settings had to change on the way, as the batch size after an out-of-memory."""
        self.manifest = self.manifest.changed({**self.settings, **changes}, reason)
        self.manifest.save(self.folder)

    def groups(self, spec: Mapping[str, GroupSpec]) -> None:
        """Declare all groups, once, each with the ids and labels of all its images; takes over the parts that fit.

        Parameters
        ----------
        spec
            In the order the store will list them. Names are letters, digits, ``_`` and ``-``.
        """
        if self._groups:
            raise StoreConflictError(f"the groups of {self.path} are already declared: {', '.join(self._groups)}")
        wrong = [name for name in spec if not name.replace("_", "").replace("-", "").isalnum() or not name.isascii()]
        if wrong or not spec:
            raise StoreInputError(f"a group name must be letters, digits, '_' and '-', got {(wrong or ['none'])[0]!r}")
        groups = {}
        for name, one in spec.items():
            ids = as_ids(one.ids, name)
            groups[name] = Coverage(name, ids, as_labels(one.labels, len(ids), name))
        refuse_repeated(group.ids for group in groups.values())
        digests = {name: digest("\0".join(group.ids.tolist()).encode()) for name, group in groups.items()}
        for name in {*self.manifest.ids, *digests}:
            if self.manifest.ids.get(name) not in (None, digests.get(name)):
                self.dropped.append(f"parts of {name!r}: its ids are not the ones they were made from")
                self._drop_parts(f"{name}-{'[0-9]' * 12}.part")
        if self.manifest.ids != digests:
            self.manifest = replace(self.manifest, ids=digests)
            self.manifest.save(self.folder)
        self._groups = groups
        for path in self._parts():
            self._take_over(path)

    def _take_over(self, path: Path) -> None:
        try:
            part = read_part(path)
            if part.recipe_digest != self._digest or part.group not in self._groups:
                raise StoreConflictError(f"part {path} belongs to another recipe or group")
            group, rows = self._groups[part.group], part.column("rows")
            group.check(rows, list(part.bad))
            group.add(part, rows)
        except StoreError as error:
            self.dropped.append(str(error))
            with saying(path, "removing"):
                path.unlink(missing_ok=True)

    def _group(self, name: str) -> Coverage:
        if name not in self._groups:
            raise UnknownIdsError(
                f"group must be one of {', '.join(self._groups) or 'none declared yet'}, got {name!r}"
            )
        return self._groups[name]

    def missing_rows(self, group: str) -> NDArray[np.int64]:
        """Return the rows that no durable part covers yet, ascending; bad images count as covered."""
        return self._group(group).missing()

    def write_rows(
        self,
        group: str,
        rows: ArrayLike,
        embeddings: NDArray[Any],
        image_hash: NDArray[Any],
        bad: Sequence[Any] = (),
        *,
        allow_nonfinite: bool = False,
    ) -> None:
        """Store some rows of a group as one part; it is durable when this returns.

        Parameters
        ----------
        group
            One of the declared groups.
        rows
            (m,) positions in the source, ascending, none of them written before.
        embeddings
            (m, d) or (m, P, d) float32 or float16.
        image_hash
            (m, 16) uint8, zeros where unknown.
        bad
            (id, reason) of the images that could not be read.
        allow_nonfinite
            Accept NaN and infinity, which are refused otherwise, naming the ids.
        """
        coverage = self._group(group)
        places = np.asarray(rows, dtype="<i8").reshape(-1)
        bad_rows = coverage.bad_rows(bad)
        coverage.check(places, bad_rows)
        values = {"rows": places, "image_hash": image_hash, "embeddings": embeddings}
        values = _checked(coverage, values, allow_nonfinite=allow_nonfinite)
        coverage.add(write_part(self.folder, self._digest, group, values, bad_rows), places)

    def publish(self, extra_info: Mapping[str, Any] | None = None) -> Path:
        """Merge the parts into the store, check it against them, and let it appear under its name.

        Parameters
        ----------
        extra_info
            Facts known only now, added to `info`: images per second, peak memory.

        Returns
        -------
        Path
            Of the store, for `medfeat_cache.FeatureStore`.
        """
        for name, group in self._groups.items():
            missing = group.missing()
            if len(missing):
                raise StoreConflictError(f"{len(missing)} images of {name!r} are still missing, first row {missing[0]}")
        info = {**self.manifest.info, "settings": self.settings, **dict(extra_info or {})}
        info["bad_images"] = self.bad_images()
        if self.manifest.changes:
            info["settings_changes"] = list(self.manifest.changes)
        with replacing(self.path, "writing the store") as temporary:
            merge(temporary, self._groups, recipe=self.manifest.recipe, info=info)
            self._lock.check()
        shutil.rmtree(self.folder, ignore_errors=True)  # the store is there; leftovers are collected by `gc`
        return self.path

    def discard(self) -> None:
        """Drop every part, durably: the embeddings in them turned out not to be what they should be.

        The writer stays open, and misses all images again.
        """
        self._drop_parts()
        sync_folder(self.folder)
        for group in self._groups.values():
            group.clear()

    def bad_images(self) -> list[dict[str, str]]:
        """Return group, id and reason of every image that could not be read so far."""
        found = [
            (part.group, entry)
            for group in self._groups.values()
            for part in sorted(group.parts, key=_first_row)
            for entry in part.bad
        ]
        return [{"group": group, "id": entry.id, "reason": entry.reason} for group, entry in found]

    def close(self) -> None:
        """Release the lock; the parts stay for the next run."""
        if self._lock.held and self.folder.exists() and not self._parts():
            shutil.rmtree(self.folder, ignore_errors=True)  # nothing was made yet, so nothing is decided
        self._lock.release()

    def __enter__(self) -> StoreWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _first_row(part: Part) -> str:
    return part.path.name


def _checked(group: Coverage, values: dict[str, Any], *, allow_nonfinite: bool) -> dict[str, NDArray[Any]]:
    rows, embeddings = values["rows"], np.ascontiguousarray(values["embeddings"])
    hashes = np.ascontiguousarray(values["image_hash"])
    if embeddings.dtype.newbyteorder("<").str not in EMBEDDING_DTYPES:
        raise StoreInputError(f"embeddings must be float32 or float16, got {embeddings.dtype}")
    if embeddings.ndim not in (2, 3) or len(embeddings) != len(rows):
        raise StoreInputError(
            f"embeddings must have shape ({len(rows)}, d) or ({len(rows)}, P, d), got {embeddings.shape}"
        )
    if embeddings.ndim == 3 and 0 in embeddings.shape[1:]:
        raise StoreInputError(f"embeddings must hold numbers, got shape {embeddings.shape}")
    if hashes.dtype != np.uint8 or hashes.shape != (len(rows), HASH_BYTES):
        raise StoreInputError(f"image_hash must be uint8 of shape ({len(rows)}, 16), got {hashes.dtype} {hashes.shape}")
    kinds = {(part.shape, part.dtype) for part in group.parts if part.columns["rows"].shape[0]}
    if len(rows) and kinds and (embeddings.shape[1:], embeddings.dtype.str) not in kinds:
        before = ", ".join(f"{spell_shape(shape)} {np.dtype(dtype)}" for shape, dtype in kinds)
        raise StoreConflictError(
            f"embeddings of an image must be like those before, {before}, "
            f"got {spell_shape(embeddings.shape[1:])} {embeddings.dtype}"
        )
    wrong = np.flatnonzero(~finite_rows(embeddings))
    if len(wrong) and not allow_nonfinite:
        names = ", ".join(map(repr, group.ids[rows[wrong[:5]]].tolist()))
        instead = "--dtype float32" if embeddings.dtype == np.float16 else "--precision fp32"
        raise StoreInputError(
            f"{len(wrong)} embeddings of {group.group!r} hold NaN or infinity, first {names}: try {instead}"
        )
    return {
        "rows": rows,
        "image_hash": hashes,
        "embeddings": embeddings.astype(embeddings.dtype.newbyteorder("<"), copy=False),
    }
