"""Own images as a dataset: decoded by a few threads, in order, a bounded number ahead."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medfeat.counted import counted_are, none_of
from medfeat.datasets.bounds import BATCH_BYTES, Places
from medfeat.datasets.decoding.bad_file import BadFile
from medfeat.datasets.decoding.decode import DECODER_VERSION, read_stored
from medfeat.datasets.decoding.dicom_series import read_series
from medfeat.datasets.decoding.intensity import Intensity, OutsideContract, Stored, bounds_of, needs_contract
from medfeat.datasets.decoding.room import Reserve, no_bound
from medfeat.datasets.digests import DigestMemory, changed_meanwhile
from medfeat.datasets.folders.file_list import FileList
from medfeat.datasets.folders.lost_classes import refuse_lost_classes
from medfeat.datasets.folders.read_ahead import DecodedAhead
from medfeat.datasets.hashing import HASH_BYTES, image_hash
from medfeat.datasets.reading import Reading, workers_meant
from medfeat.errors import DataError, MissingExtraError
from medfeat.types import (
    OWN_GROUP,
    BadImage,
    DatasetInfo,
    IdArray,
    ImageBatch,
    LabelArray,
    Progress,
    UInt8Array,
)
from medfeat_cache import Stamp

# Pictures that a thread may be ahead; their bytes are bounded too.
AHEAD_OF_EACH = 4
LOOKED_AT = 16
_HASHED_TOGETHER = 1024


class FilesDataset:
    """Images in files of their own, one group ``all``, in the order of their ids.

    Parameters
    ----------
    listing
        The images.
    intensity
        How stored values become uint8.
    progress, memory
        Where hashing is shown, and where digests are remembered.
    workers
        Threads that decode images and hash them and their files; None is one for each core.

    Raises
    ------
    DataError
        When no image can be read, or none of a class or split, or the first one needs an intensity that was not
        declared.

    Attributes
    ----------
    split
        (n,) split an image as given, None when not given.
    patients
        (n,) patient an image, None when not known.
    contents
        Digest of each image's file, in the order of the ids.
    reading
        How many threads read it.
    """

    def __init__(
        self,
        listing: FileList,
        intensity: Intensity,
        *,
        progress: Progress,
        memory: DigestMemory,
        workers: int | None = None,
    ) -> None:
        self.listing = listing.sorted()
        self.reading = Reading(workers_meant(workers))
        self.intensity = intensity
        self.split: IdArray | None = _as_array(self.listing.split)
        self.patients: IdArray | None = _as_array(self.listing.patients)
        first = self._first_readable()
        self._ndim = 3 if first.is_volume else 2
        self._progress, self._damaged, self._told = progress, dict[str, str](), set[str]()
        refuse_lost_classes(self.listing, self._read)
        # Taken before the digests: a file that still has its stamp once it was read is the one that was digested.
        self._stamps = np.array([self._stamp(row) for row in range(len(self.listing.ids))], np.int64)
        self.contents = _contents(self.listing, self.reading.workers, progress, memory)
        self._info = self._describe()

    def fingerprint_as(self, intensity: str, decoder: int = DECODER_VERSION) -> str:
        """Return the fingerprint that these files have under a contract, as a version of the decoder reads them."""
        return _digest(f"{decoder};{intensity}\n", self.listing.ids, self.contents)

    @property
    def info(self) -> DatasetInfo:
        """What is known of it; size and channels are 0, for images may differ."""
        return self._info

    def ids(self, group: str) -> IdArray:
        """(n,) paths relative to the root, posix, sorted."""
        self._check(group)
        return np.array(self.listing.ids, dtype=np.str_)

    def labels(self, group: str) -> LabelArray | None:
        """(n, k) labels, None when there are none."""
        self._check(group)
        return self.listing.labelling.values if self.listing.labelling is not None else None

    def batches(self, group: str, batch_size: int, rows: NDArray[np.int64] | None = None) -> Iterator[ImageBatch]:
        """Read images in ascending row order; a batch has one array when its images have one shape."""
        places = Places(batch_size)
        return (batch for _, batch in self._batches(group, batch_size, rows, places, places.put))

    def hashed_batches(
        self, group: str, batch_size: int, rows: NDArray[np.int64] | None = None
    ) -> Iterator[tuple[ImageBatch, UInt8Array]]:
        """Read images as `batches` does, with their (n, 16) hashes: made while they are in the processor's cache."""
        places, hashes = Places(batch_size), dict[int, bytes]()

        def put(number: int, image: UInt8Array) -> UInt8Array:
            hashes[number] = image_hash(image)
            return places.put(number, image)

        for numbers, batch in self._batches(group, batch_size, rows, places, put):
            found = b"".join(hashes.pop(number) for number in numbers)
            yield batch, np.frombuffer(found, np.uint8).reshape(-1, HASH_BYTES)

    def _batches(
        self,
        group: str,
        batch_size: int,
        rows: NDArray[np.int64] | None,
        places: Places,
        put: Callable[[int, UInt8Array], UInt8Array],
    ) -> Iterator[tuple[list[int], ImageBatch]]:
        """Give batches, and the numbers that their images were put under."""
        self._check(group)
        wanted = range(len(self.listing.ids)) if rows is None else np.asarray(rows, np.int64).tolist()
        good, found, numbers, bad = list[UInt8Array](), list[int](), list[int](), list[BadImage]()
        held = first = 0
        threads = self.reading.workers
        ahead = AHEAD_OF_EACH * threads if self._ndim == 2 else threads
        images = DecodedAhead(self._read_unchanged, wanted, threads=threads, ahead=ahead, put=put)
        for number, (row, image) in enumerate(images):
            if isinstance(image, BadImage):
                bad.append(image)
            else:
                good.append(image)
                found.append(row)
                numbers.append(number)
                held += image.nbytes
            if number + 1 < len(wanted) and number + 1 - first < batch_size and held < BATCH_BYTES:
                continue
            batch = places.batch(first, good, passed=len(bad))
            first, good = number + 1, []
            yield numbers, ImageBatch(np.array(found, np.int64), batch, tuple(bad))
            found, numbers, bad, held = [], [], [], 0
        self._tell_damaged()

    def _tell_damaged(self) -> None:
        """Say which of the files that were read are damaged, once of each: half of such a picture may be grey."""
        new = sorted(set(self._damaged) - self._told)
        self._told.update(new)
        if new:
            self._progress.say(
                f"{self.listing.root}: {counted_are(len(new), 'image')} damaged and used as far as the data goes, "
                f"such as {new[0]} ({self._damaged[new[0]]}): look whether parts are grey or torn"
            )

    def _read_unchanged(self, row: int, reserve: Reserve) -> UInt8Array | BadImage:
        """Read an image, and refuse it when its file is no longer the one whose digest was taken."""
        image = self._read(row, reserve)
        if self._stamp(row) != self._stamps[row]:
            name, memory = self.listing.ids[row], DigestMemory()
            if _content(self.listing, name, memory) != self.contents[row]:  # and not just touched, or linked
                raise changed_meanwhile(self.listing.root / name)
        return image

    def _stamp(self, row: int) -> int:
        """Return a number that changes when the files of an image may have; 0 where one is missing."""
        name = self.listing.ids[row]
        files = self.listing.series[name].files if name in self.listing.series else (name,)
        try:
            return hash(tuple(astuple(Stamp.of(self.listing.root / file)) for file in files))
        except OSError:
            return 0

    def _read(self, row: int, reserve: Reserve = no_bound) -> UInt8Array | BadImage:
        stored = self._stored(row, reserve)
        if isinstance(stored, BadImage):
            return stored
        if stored.damage:
            self._damaged[self.listing.ids[row]] = stored.damage
        if stored.is_volume != (self._ndim == 3):
            kinds = ("an image", "volumes") if self._ndim == 3 else ("a volume", "images")
            return self._bad(row, f"{kinds[0]} of shape {stored.values.shape} among {kinds[1]}")
        try:
            return self.intensity.apply(stored)
        except (OutsideContract, BadFile) as error:
            return self._bad(row, str(error))

    def _stored(self, row: int, reserve: Reserve = no_bound) -> Stored | BadImage:
        name = self.listing.ids[row]
        try:
            if name in self.listing.series:
                return read_series(self.listing.root, self.listing.series[name], reserve)
            return read_stored(self.listing.root / name, reserve)
        except (MissingExtraError, MemoryError):
            raise
        except BadFile as error:
            return self._bad(row, str(error))
        except Exception as error:  # decoders raise anything on damaged files, and one file must not end the run
            reason = (str(error).splitlines() or [""])[0].strip()
            return self._bad(row, f"cannot be decoded ({reason or type(error).__name__})")

    def _bad(self, row: int, reason: str) -> BadImage:
        where = f" ({self.listing.where[row]})" if self.listing.where else ""
        return BadImage(self.listing.ids[row], f"{reason}{where}", row)

    def _first_readable(self) -> Stored:
        """Read images until one can be decoded, and see that the contract covers it."""
        reasons = []
        for row in range(len(self.listing.ids)):
            stored = self._stored(row)
            if isinstance(stored, Stored):
                if self.intensity.takes_uint8 and stored.values.dtype != np.uint8:
                    raise self._undeclared(row, stored)
                return stored
            reasons.append(stored)
        raise DataError(
            f"{none_of(len(reasons), 'image')} of {self.listing.root} can be read, such as {reasons[0].id}: "
            f"{reasons[0].reason}"
        )

    def _undeclared(self, row: int, first: Stored) -> DataError:
        """Build the error for images of more than 8 bits, with the range found over a few of them."""
        others = (self._stored(other) for other in range(row + 1, min(row + LOOKED_AT, len(self.listing.ids))))
        ends, kinds = list(bounds_of(first.values)), [first.values.dtype]
        for other in others:  # one is held at a time
            if isinstance(other, Stored) and other.values.size:
                ends += bounds_of(other.values)
                kinds.append(other.values.dtype)
        spread = np.array([min(ends), max(ends)])
        # that of one may not hold what others hold
        summary = replace(first, values=spread.astype(np.result_type(*kinds)))
        return DataError(
            f"{self.listing.root / self.listing.ids[row]}: {needs_contract(summary, several=True)}; declare one with "
            f"--intensity (range over {len(kinds)} images)"
        )

    def _describe(self) -> DatasetInfo:
        labelling = self.listing.labelling
        return DatasetInfo(
            name=self.listing.name,
            size=0,
            task=labelling.task if labelling is not None else None,
            classes=labelling.classes if labelling is not None else (),
            channels=0,
            ndim=self._ndim,
            counts={OWN_GROUP: len(self.listing.ids)},
            fingerprint=self.fingerprint_as(str(self.intensity)),
            source=self.listing.source,
            intensity=str(self.intensity),
            content=_digest("files\n", self.listing.ids, self.contents),
        )

    def _check(self, group: str) -> None:
        if group != OWN_GROUP:
            raise DataError(f"{self.listing.name} has the group {OWN_GROUP}, not {group!r}")


def _as_array(values: tuple[str, ...] | None) -> IdArray | None:
    return np.array(values, dtype=np.str_) if values is not None else None


def _digest(head: str, ids: Sequence[str], contents: Sequence[str]) -> str:
    """Digest ids and files under a head that says how they are read: all that is embedded, no labels and no splits."""
    digest = hashlib.blake2b(head.encode(), digest_size=16)
    for name, content in zip(ids, contents, strict=True):
        digest.update(f"{name}\0{content}\n".encode())
    return f"blake2b:{digest.hexdigest()}"


def _contents(listing: FileList, workers: int, progress: Progress, memory: DigestMemory) -> tuple[str, ...]:
    """Digest each file, unless its digest is remembered."""
    found: list[str] = []
    progress.start(len(listing.ids), f"hashing {listing.name}", "files")
    try:
        with ThreadPoolExecutor(workers) as pool:
            for start in range(0, len(listing.ids), _HASHED_TOGETHER):
                names = listing.ids[start : start + _HASHED_TOGETHER]
                found += pool.map(lambda name: _content(listing, name, memory), names)
                progress.advance(len(names))
    finally:
        progress.finish()
        memory.save()
    return tuple(found)


def _content(listing: FileList, name: str, memory: DigestMemory) -> str:
    """Digest an image's file, or every file of a volume."""
    if name not in listing.series:
        return _file_digest(listing.root / name, memory)
    return ",".join(_file_digest(listing.root / file, memory) for file in listing.series[name].files)


def _file_digest(path: Path, memory: DigestMemory) -> str:
    try:
        return memory.digest(path, "blake2b")
    except OSError:
        return "unreadable"  # reported as a bad image when it is read
