"""More rows as those of a store: its images opened again or new ones beside them, its network built again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medfeat.datasets import open_dataset
from medfeat.datasets.objects.alive import alive
from medfeat.datasets.objects.from_objects import is_dataset, named_as, splits_of_official
from medfeat.errors import DataError, MissingFileError, UsageError
from medfeat.extraction.ask.as_stored import as_stored
from medfeat.extraction.ask.made_from import MadeFrom, NetworkThen, RemakeOptions
from medfeat.types import BadImage, Dataset, FloatArray, IdArray, Progress, Recipe
from medfeat.workflows.asking.data_options import DataOptions, ObjectSource
from medfeat_cache import FeatureStore

if TYPE_CHECKING:
    from medfeat.extraction.network.forward import RowEmbedder

_PLAIN_INTENSITY = "uint8"
# Compiling takes half a minute; below this many images it is not repaid.
_WORTH_COMPILING = 5000


@dataclass(frozen=True)
class NewImages:
    """Images that are in no store yet.

    Attributes
    ----------
    path
        A folder, CSV, npz, image or DICOM series, or a registered name; or what a program holds, see
        `medfeat.dataset_from`.
    intensity
        How their values become 0..255; None means as the store's images did.
    path_column
        Of a CSV.
    volumes
        ``series`` makes volumes of DICOM slices; None means as the store's images were read.
    size
        Of a registered dataset.
    """

    path: object
    intensity: str | None = None
    path_column: str | None = None
    volumes: str | None = None
    size: int | None = None

    @property
    def place(self) -> str | None:
        """Where they are; None for what a program holds."""
        return str(self.path) if isinstance(self.path, (str, Path)) else None

    @property
    def groups(self) -> tuple[str, ...] | None:
        """The groups that are meant; None for all: of an official set one split may have been given."""
        return splits_of_official(self.path) or None

    def __str__(self) -> str:
        """Return what they are, for a message."""
        return self.place or f"the {type(self.path).__name__}"


class EmbeddedImages(NamedTuple):
    """One batch: ids and (n, *shape) features of what could be read, as a store has them, and what could not."""

    ids: IdArray
    features: FloatArray
    bad: tuple[BadImage, ...]


@dataclass(frozen=True)
class Remake:
    """What opens the images of a store, builds its network, and embeds more as the store was made.

    Attributes
    ----------
    made
        What the store was made from.
    options
        Where data and weights are now, and how the network runs here.
    root
        Of the cache: digests of files are remembered there.
    progress
        Hears of files and batches.
    """

    made: MadeFrom
    options: RemakeOptions
    root: Path
    progress: Progress

    @property
    def readable(self) -> bool:
        """Whether somebody knows where the images are: files, or a dataset that this program holds."""
        return bool(self.made.data.source) or alive(self.made.data.fingerprint) is not None

    def open(self, *, whole: bool = False) -> Dataset:
        """Open the images that the store was made from.

        Parameters
        ----------
        whole
            Refuse a dataset that holds any other image than then; else rows are told by their own images, see `again`.

        Raises
        ------
        UsageError
            Nobody knows where they are: the features were imported, or a program held the images.
        MissingFileError
            Another dataset is there now.
        DataError
            With `whole`, other images are there now.
        """
        was = self.made.data
        if was.held_by:
            held = alive(was.fingerprint)
            if held is not None:
                return named_as(held, was.name)
            raise UsageError(
                f"{was.name} was made from images held in Python, and nothing in this program holds them now: make "
                "held = medfeat.dataset_from(images, ...) as they were given, keep it, and ask again"
            )
        if not was.source:
            raise UsageError(f"{was.name} was imported: its rows cannot be embedded again; import it anew")
        options = self.options
        data, kept = DataOptions.from_source(was.source, data_root=options.data_root, offline=options.offline)
        dataset = kept.open(data, root=self.root, progress=self.progress)
        if dataset.info.name != was.name:
            raise MissingFileError(f"{data} is now {dataset.info.name}, not {was.name}: pass --data-root")
        if whole and dataset.info.fingerprint != was.fingerprint:
            raise DataError(f"the images of {data} are not those that were embedded: extract them again first")
        return dataset

    def open_new(self, images: NewImages) -> Dataset:
        """Open new images under the contract of the store's, unless another is declared.

        Raises
        ------
        UsageError
            Volumes where the store holds images, or images where it holds volumes.
        """
        was = self.made.data
        contract = images.intensity or was.intensity
        contract = None if contract == _PLAIN_INTENSITY else contract
        dataset = self._held(images, contract) if images.place is None else self._found(images, contract)
        kinds = {2: "images", 3: "volumes"}
        if was.ndim not in (None, dataset.info.ndim):
            raise UsageError(
                f"{images} holds {kinds[dataset.info.ndim]}, and {was.name} holds {kinds[was.ndim]}: "
                "the network was fed those"
            )
        return dataset

    def _found(self, images: NewImages, contract: str | None) -> Dataset:
        was, place = self.made.data, str(images.place)
        size = images.size or (was.size if place == was.name else None)
        # how the store's images were read, where new ones can be read so: a single file is what it is
        folders = Path(place).is_dir() or place.lower().endswith(".csv")
        return open_dataset(
            place,
            size=size or None,
            data_root=self.options.data_root,
            offline=self.options.offline,
            intensity=contract,
            path_column=images.path_column,
            volumes=images.volumes or (was.volumes if folders else None),
            progress=self.progress,
            memory=self.root,
        )

    def _held(self, images: NewImages, contract: str | None) -> Dataset:
        own = is_dataset(images.path)  # which brings a contract of its own
        options = DataOptions.of(
            size=images.size,
            data_root=self.options.data_root,
            intensity=images.intensity if own else contract,
            path_column=images.path_column,
            volumes=images.volumes,
        )
        return options.given(ObjectSource(images.path), root=self.root, progress=self.progress).dataset

    def network(self, dataset: Dataset, *, count: int | None = None, batch_size: int | None = None) -> RowEmbedder:
        """Build the network of the store.

        Parameters
        ----------
        dataset
            Whose images it is to embed.
        count
            How many new images, which decides whether compiling is worth it; None builds it just as it was.
        batch_size
            Another one than the store's; None for its own.

        Raises
        ------
        DataError
            The store was imported, and nobody knows by which network.
        """
        made = self._network_then()
        compiled = count is None or count >= _WORTH_COMPILING
        from medfeat.extraction.remake import build_again  # which needs torch; looking after stores does not

        return build_again(
            made,
            self.options,
            dataset.info,
            batch_size=batch_size,
            compiled=compiled,
            progress=self.progress,
        )

    def _network_then(self) -> NetworkThen:
        if self.made.network is None:
            name = self.made.data.name
            raise DataError(f"the features of {name} were not made by medfeat: no new image can join them")
        return self.made.network

    def embed(self, dataset: Dataset, groups: Sequence[str] | None = None) -> Iterator[EmbeddedImages]:
        """Yield every image of a dataset, or of some of its groups, embedded as the store was, a batch at a time."""
        groups = tuple(dataset.info.counts) if groups is None else groups
        count = sum(dataset.info.counts[group] for group in groups)
        network, recipe = self.network(dataset, count=count), self._network_then().recipe
        self.progress.start(count, "embedding")
        for group in groups:
            ids = dataset.ids(group)
            for batch in dataset.batches(group, network.batch_size):
                if len(batch.rows):
                    found = as_stored(network(batch.images)[0], kept=recipe.kept, dtype=recipe.dtype)
                    yield EmbeddedImages(ids[batch.rows], found, batch.bad)
                elif batch.bad:
                    yield EmbeddedImages(ids[:0], np.empty((0, 0), np.float32), batch.bad)
                self.progress.advance(len(batch.rows) + len(batch.bad))
        self.progress.finish()


def again(
    store: FeatureStore,
    group: str,
    places: NDArray[np.int64],
    dataset: Dataset,
    network: RowEmbedder,
    *,
    backwards: bool = False,
) -> tuple[NDArray[np.int64], FloatArray]:
    """Embed stored rows of a group again.

    Parameters
    ----------
    store, group, places
        Which: (m,) positions of rows in the store.
    dataset, network
        Of that store.
    backwards
        Send the images of each batch through the network last first.

    Returns
    -------
    tuple
        Those of `places` whose image could be read, and the (m, *shape) embeddings of these.

    Raises
    ------
    DataError
        An image is not the one that was embedded.
    """
    rows = store.rows(group)[places]
    from medfeat.extraction.remake import embed_rows  # which needs torch

    recipe = Recipe.from_dict(store.recipe)
    found = embed_rows(network, dataset, group, rows, recipe=recipe, backwards=backwards)
    there = places[np.isin(rows, found.rows)]
    if not np.array_equal(found.hashes, store.image_hash(group)[there]):
        name = store.recipe["dataset"]
        raise DataError(f"{name} {group}: the images are not those that were embedded: extract again")
    return there, found.embeddings
