"""The loop: read ahead, embed, write durable parts, publish. What is finished is never lost."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from medfeat.datasets.hashing import HASH_BYTES, image_hash
from medfeat.errors import DataError
from medfeat.extraction.ask.as_stored import as_stored
from medfeat.extraction.loop.read_ahead import ReadAhead
from medfeat.extraction.loop.row_keeper import RowKeeper
from medfeat.extraction.network.forward import Images, RowEmbedder, Rows, stream
from medfeat.types import BadImage, Dataset, FloatArray, Progress

# Bounds what a part holds in memory, whatever the dimension.
_PART_BYTES = 128 << 20


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
    """One batch of the source: what was asked for, what came, and the hashes of what came."""

    asked: NDArray[np.int64]
    rows: NDArray[np.int64]
    hashes: NDArray[np.uint8]
    images: Images
    bad: tuple[BadImage, ...]


@dataclass
class _Part:
    """What has been embedded since the last durable part of a group."""

    reads: list[_Read] = field(default_factory=list)
    outputs: list[list[Rows]] = field(default_factory=list)

    @property
    def nbytes(self) -> int:
        """Bytes of the embeddings."""
        return sum(rows.nbytes for outputs in self.outputs for rows in outputs)


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
    for group in dataset.info.counts:
        missing: NDArray[np.int64] = reduce(np.union1d, [w.missing_rows(group) for w in writers.values()])
        if len(missing) == 0:
            continue
        ids = dataset.ids(group)
        progress.start(len(missing), f"{dataset.info.name} {group}")
        pool = ThreadPoolExecutor(1) if background else None
        scope: AbstractContextManager[object] = pool if pool is not None else nullcontext()
        with scope, ReadAhead(_hashed(dataset, group, embedder.batch_size, missing), weigh=_weight) as reads:
            save = _Saver(writers, group, figures, pool)
            _embed_group(
                _timed(reads, figures),
                embedder,
                save,
                part_batches=part_batches,
                ids=ids,
                progress=progress,
                figures=figures,
            )
            save.wait()
        progress.finish()
    figures.seconds = time.perf_counter() - started
    return figures


def _embed_group(
    reads: Iterator[_Read],
    embedder: RowEmbedder,
    save: _Saver,
    *,
    part_batches: int,
    ids: NDArray[np.str_],
    progress: Progress,
    figures: Figures,
) -> None:
    part = _Part()
    mark = time.perf_counter()
    waited = figures.stages["read"]
    halved = len(embedder.backoff)
    for done in stream(embedder, ((read, read.images) for read in reads)):
        _refuse_nonfinite(done.rows, ids[done.item.rows])
        if len(embedder.backoff) > halved:
            halved = len(embedder.backoff)
            save.note_backoff(embedder.backoff[-1])
        # The images have done their duty; only what a part keeps stays in memory.
        part.reads.append(replace(done.item, images=[]))
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

    def __init__(
        self, writers: Mapping[int, RowKeeper], group: str, figures: Figures, pool: ThreadPoolExecutor | None
    ) -> None:
        self._writers, self._group, self._figures, self._pool = writers, group, figures, pool
        self._pending: Future[None] | None = None

    def __call__(self, part: _Part) -> None:
        started = time.perf_counter()
        self.wait()
        if self._pool is None:
            self._write(part)
        else:
            self._pending = self._pool.submit(self._write, part)
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

    def _write(self, part: _Part) -> None:
        asked = np.concatenate([read.asked for read in part.reads])
        rows = np.concatenate([read.rows for read in part.reads])
        hashes = np.concatenate([read.hashes for read in part.reads])
        bad = [found for read in part.reads for found in read.bad]
        for view, writer in self._writers.items():
            kept, dtype = (str(writer.manifest.recipe.get(name, "")) for name in ("kept", "dtype"))
            pieces = [as_stored(outputs[view], kept=kept, dtype=dtype) for outputs in part.outputs if outputs]
            embeddings = np.concatenate(pieces) if pieces else np.empty((0, 0), np.float32)
            _write_missing(writer, self._group, asked=asked, rows=rows, embeddings=embeddings, hashes=hashes, bad=bad)


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


def _hashed(dataset: Dataset, group: str, batch_size: int, missing: NDArray[np.int64]) -> Iterator[_Read]:
    for batch in dataset.batches(group, batch_size, missing):
        unplaced = next((bad for bad in batch.bad if bad.row is None), None)
        if unplaced is not None:
            raise DataError(f"{dataset.info.name} reports {unplaced.id} as a BadImage without its row: give it too")
        hashes = np.frombuffer(b"".join(image_hash(image) for image in batch.images), np.uint8).reshape(-1, HASH_BYTES)
        yield _Read(batch.asked, batch.rows, hashes, batch.images, batch.bad)


def _weight(read: _Read) -> int:
    return sum(image.nbytes for image in read.images)


def _timed(reads: ReadAhead[_Read], figures: Figures) -> Iterator[_Read]:
    iterator = iter(reads)
    while True:
        started = time.perf_counter()
        read = next(iterator, None)
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
