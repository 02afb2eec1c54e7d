"""The loop: read ahead, embed, write durable parts, publish. What is finished is never lost."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from medfeat.datasets.hashing import image_hashes
from medfeat.datasets.reading import HashesAsRead, reading_of
from medfeat.errors import DataError
from medfeat.extraction.ask.as_stored import as_stored
from medfeat.extraction.loop import read_ahead
from medfeat.extraction.loop.read_ahead import ReadAhead, in_turn
from medfeat.extraction.loop.row_keeper import RowKeeper
from medfeat.extraction.network.forward import RowEmbedder, Rows, stream
from medfeat.extraction.network.laying import Laid, laid_ahead
from medfeat.types import BadImage, Dataset, DatasetInfo, FloatArray, ImageBatch, Images, Progress

# Bounds what a part holds in memory, whatever the dimension.
_PART_BYTES = 128 << 20
# Bytes of images that one thread hashes in less time than another would need to be told.
_HASHED_AT_ONCE = 4 << 20


@dataclass
class Figures:
    """What one run measured.

    Attributes
    ----------
    embedded, bad
        Images that went through the network, and images that could not be read.
    seconds
        From the first batch to the last durable part.
    stages
        Seconds the main thread spent waiting for images (``read``), in the network (``embed``) and on disk (``write``).
    """

    embedded: int = 0
    bad: list[BadImage] = field(default_factory=list)
    seconds: float = 0.0
    stages: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("read", "embed", "write"), 0.0))

    @property
    def images_per_second(self) -> float:
        """Steady rate, reading and writing included; 0 when nothing was embedded."""
        return self.embedded / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True)
class _Read:
    """One batch of a group: what was asked for, what came, and the hashes of what came, which may be on their way.

    Its images may have been resized since.
    """

    group: str
    asked: NDArray[np.int64]
    rows: NDArray[np.int64]
    pieces: tuple[Future[NDArray[np.uint8]], ...]
    images: Images | Laid
    bad: tuple[BadImage, ...]

    def hashes(self) -> NDArray[np.uint8]:
        """Wait for them; (n, 16)."""
        return np.concatenate([piece.result() for piece in self.pieces])


@dataclass
class _Part:
    """What has been embedded since the last durable part, of one group or of several that are read together."""

    reads: list[_Read] = field(default_factory=list)
    outputs: list[list[Rows]] = field(default_factory=list)

    @property
    def nbytes(self) -> int:
        """Bytes of the embeddings."""
        return sum(rows.nbytes for outputs in self.outputs for rows in outputs)

    def by_group(self) -> dict[str, _Part]:
        """Return what there is of each group."""
        parts: dict[str, _Part] = {}
        for read, outputs in zip(self.reads, self.outputs, strict=True):
            part = parts.setdefault(read.group, _Part())
            part.reads.append(read)
            part.outputs.append(outputs)
        return parts


def extract_rows(
    dataset: Dataset,
    embedder: RowEmbedder,
    writers: Mapping[int, RowKeeper],
    *,
    part_batches: int,
    progress: Progress,
    background: bool = False,
) -> Figures:
    """Embed every row that some writer misses, and leave it in durable parts.

    Parameters
    ----------
    dataset
        Where images come from.
    embedder
        The network; gives one array a view for each batch.
    writers
        By the number of the view each one keeps; views without a writer are computed and dropped.
    part_batches
        Batches in a part.
    progress
        Hears of every batch.
    background
        Write parts in a thread while the device goes on. Only worth it where writing is not cheap beside computing: a
        kill can then cost the part being written besides the one being computed.

    Returns
    -------
    Figures
        What was done, and how long each stage took.

    Raises
    ------
    DataError
        When the network gives NaN or infinite values; the message names ids.
    """
    figures = Figures()
    started = time.perf_counter()
    missing = {
        group: reduce(np.union1d, [w.missing_rows(group) for w in writers.values()]) for group in dataset.info.counts
    }
    for groups in _rounds(dataset, {group: rows for group, rows in missing.items() if len(rows)}, embedder.batch_size):
        progress.start(sum(map(len, groups.values())), f"{dataset.info.name} {', '.join(groups)}")
        with ExitStack() as stack:
            pool = stack.enter_context(ThreadPoolExecutor(1)) if background else None
            reads = stack.enter_context(_ahead(dataset, groups, embedder))
            save = _Saver(writers, figures, pool)
            _embed(
                _timed(reads, figures),
                embedder,
                save,
                part_batches=part_batches,
                ids={group: dataset.ids(group) for group in groups},
                progress=progress,
                figures=figures,
            )
            save.wait()
        progress.finish()
    figures.seconds = time.perf_counter() - started
    return figures


def _embed(
    reads: Iterator[_Read],
    embedder: RowEmbedder,
    save: _Saver,
    *,
    part_batches: int,
    ids: Mapping[str, NDArray[np.str_]],
    progress: Progress,
    figures: Figures,
) -> None:
    part = _Part()
    mark = time.perf_counter()
    waited = figures.stages["read"]
    halved = len(embedder.backoff)
    # What goes along has no images: those of a batch would be held until the next one is embedded.
    for done in stream(embedder, ((replace(read, images=[]), read.images) for read in reads)):
        _refuse_nonfinite(done.rows, ids[done.item.group][done.item.rows])
        if len(embedder.backoff) > halved:
            halved = len(embedder.backoff)
            save.note_backoff(embedder.backoff[-1])
        part.reads.append(done.item)
        part.outputs.append(done.rows)
        figures.embedded += len(done.item.rows)
        figures.bad.extend(done.item.bad)
        progress.advance(len(done.item.asked))
        if len(part.reads) == part_batches or part.nbytes >= _PART_BYTES:
            figures.stages["embed"] += time.perf_counter() - mark - (figures.stages["read"] - waited)
            save(part)
            part, mark, waited = _Part(), time.perf_counter(), figures.stages["read"]
    figures.stages["embed"] += time.perf_counter() - mark - (figures.stages["read"] - waited)
    if part.reads:
        save(part)


class _Saver:
    """Writes a part for every view, at once or in the background, never more than one behind."""

    def __init__(self, writers: Mapping[int, RowKeeper], figures: Figures, pool: ThreadPoolExecutor | None) -> None:
        self._writers, self._figures, self._pool = writers, figures, pool
        self._pending: Future[None] | None = None

    def __call__(self, part: _Part) -> None:
        started = time.perf_counter()
        self.wait()
        if self._pool is None:
            self._write_all(part)
        else:
            self._pending = self._pool.submit(self._write_all, part)
        self._figures.stages["write"] += time.perf_counter() - started

    def note_backoff(self, batch_size: int) -> None:
        """Write down that memory ran out, before any row made with the smaller batch becomes durable."""
        self.wait()
        for writer in self._writers.values():
            writer.change_settings("memory ran out", batch_size=batch_size)

    def wait(self) -> None:
        """Wait for the part that is being written; its error surfaces here."""
        if self._pending is not None:
            self._pending.result()
            self._pending = None

    def _write_all(self, part: _Part) -> None:
        for group, own in part.by_group().items():
            self._write(group, own)

    def _write(self, group: str, part: _Part) -> None:
        asked = np.concatenate([read.asked for read in part.reads])
        rows = np.concatenate([read.rows for read in part.reads])
        hashes = np.concatenate([read.hashes() for read in part.reads])
        bad = [found for read in part.reads for found in read.bad]
        for view, writer in self._writers.items():
            kept, dtype = (str(writer.manifest.recipe.get(name, "")) for name in ("kept", "dtype"))
            pieces = [as_stored(outputs[view], kept=kept, dtype=dtype) for outputs in part.outputs if outputs]
            embeddings = np.concatenate(pieces) if pieces else np.empty((0, 0), np.float32)
            _write_missing(writer, group, asked=asked, rows=rows, embeddings=embeddings, hashes=hashes, bad=bad)


def _write_missing(
    writer: RowKeeper,
    group: str,
    *,
    asked: NDArray[np.int64],
    rows: NDArray[np.int64],
    embeddings: FloatArray,
    hashes: NDArray[np.uint8],
    bad: list[BadImage],
) -> None:
    """Hand a writer what it misses of a part: with several views, one may be ahead of another after a kill."""
    wanted = np.intersect1d(asked, writer.missing_rows(group))
    if len(wanted) == 0:
        return
    keep = np.isin(rows, wanted)
    lost = set(wanted.tolist())
    unreadable = [(one.id, one.reason) for one in bad if one.row in lost]
    writer.write_rows(group, rows[keep], embeddings[keep], hashes[keep], bad=unreadable)


def _rounds(
    dataset: Dataset, missing: dict[str, NDArray[np.int64]], batch_size: int
) -> list[dict[str, NDArray[np.int64]]]:
    """Return the groups that are read at the same time: all of them where that may be, and costs no more memory."""
    room = read_ahead.MOST_BYTES // max(1, len(missing))
    if missing and reading_of(dataset).groups_at_once and 0 < batch_size * _image_bytes(dataset.info) <= room:
        return [missing]
    return [{group: rows} for group, rows in missing.items()]


def _image_bytes(info: DatasetInfo) -> int:
    """Return the bytes of an image, 0 where that is not known or differs."""
    return int(info.size**info.ndim * info.channels)


@contextmanager
def _ahead(
    dataset: Dataset, groups: Mapping[str, NDArray[np.int64]], embedder: RowEmbedder
) -> Iterator[Iterator[_Read]]:
    """Read groups ahead, each in a thread of its own, hash and resize what came in others; all groups end together."""
    workers, totals = reading_of(dataset).workers, {group: len(rows) for group, rows in groups.items()}
    depth, room = max(read_ahead.DEPTH, workers + 1), read_ahead.MOST_BYTES // len(groups)
    with ThreadPoolExecutor(workers, thread_name_prefix="medfeat-hash") as pool, ExitStack() as stack:
        hashing = _Hashing(pool, workers)
        sources = {group: _hashed(dataset, group, embedder, rows, hashing) for group, rows in groups.items()}
        ahead = {
            group: stack.enter_context(ReadAhead(source, depth, _weight, most_bytes=room))
            for group, source in sources.items()
        }
        yield in_turn(ahead, totals, lambda read: len(read.asked))


@dataclass(frozen=True)
class _Hashing:
    """Hashes batches beside reading."""

    pool: ThreadPoolExecutor
    threads: int

    def __call__(self, images: Images) -> tuple[Future[NDArray[np.uint8]], ...]:
        """Hash a batch in as many pieces as there are threads, unless it is small: the last one is waited for."""
        count = self.threads if sum(image.nbytes for image in images) >= _HASHED_AT_ONCE else 1
        size = max(1, math.ceil(len(images) / count))
        starts = range(0, max(1, len(images)), size)
        return tuple(self.pool.submit(image_hashes, images[start : start + size]) for start in starts)


def _hashed(
    dataset: Dataset, group: str, embedder: RowEmbedder, missing: NDArray[np.int64], hashing: _Hashing
) -> Iterator[_Read]:
    for batch, pieces in _with_hashes(dataset, group, embedder.batch_size, missing, hashing):
        unplaced = next((bad for bad in batch.bad if bad.row is None), None)
        if unplaced is not None:
            raise DataError(f"{dataset.info.name} reports {unplaced.id} as a BadImage without its row: give it too")
        images = laid_ahead(batch.images, embedder, hashing.pool)
        yield _Read(group, batch.asked, batch.rows, pieces, images, batch.bad)


def _with_hashes(
    dataset: Dataset, group: str, batch_size: int, missing: NDArray[np.int64], hashing: _Hashing
) -> Iterator[tuple[ImageBatch, tuple[Future[NDArray[np.uint8]], ...]]]:
    """Read batches, with hashes that came along or are on their way."""
    if isinstance(dataset, HashesAsRead):
        for batch, hashes in dataset.hashed_batches(group, batch_size, missing):
            known = Future[NDArray[np.uint8]]()
            known.set_result(hashes)
            yield batch, (known,)
        return
    for batch in dataset.batches(group, batch_size, missing):
        yield batch, hashing(batch.images)


def _weight(read: _Read) -> int:
    return sum(image.nbytes for image in read.images)


def _timed(reads: Iterator[_Read], figures: Figures) -> Iterator[_Read]:
    while True:
        started = time.perf_counter()
        read = next(reads, None)
        if read is not None:
            read.hashes()  # what is hashed more slowly than it is embedded may not pile up
        figures.stages["read"] += time.perf_counter() - started
        if read is None:
            return
        yield read


def _refuse_nonfinite(outputs: Sequence[Rows], ids: NDArray[np.str_]) -> None:
    for rows in outputs:
        finite = np.isfinite(rows).reshape(len(rows), -1).all(axis=1)
        if not finite.all():
            names = ", ".join(str(name) for name in ids[~finite][:3])
            raise DataError(
                f"the network gave NaN or infinite values for {int((~finite).sum())} images ({names}, ...): "
                "try --precision fp32; if that is what ran, the weights are damaged"
            )
