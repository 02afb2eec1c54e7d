"""The values everything speaks in, and the contracts that extensions fulfil. No implementation, no heavy import."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

TaskType = Literal["binary-class", "multi-class", "multi-label", "ordinal-regression", "regression"]
Fit = Literal["whole", "reference", "pad"]
Precision = Literal["fp32", "bf16", "fp16"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
Volumes = Literal["series"]
Origin = Literal["pretrained", "file", "random", "weights-free"]

FloatArray = NDArray[np.floating[Any]]
UInt8Array = NDArray[np.uint8]
Images = UInt8Array | list[UInt8Array]  # one array of several, or one of each
LabelArray = NDArray[np.int64] | NDArray[np.float64]
IdArray = NDArray[np.str_]

TASK_TYPES: tuple[TaskType, ...] = ("binary-class", "multi-class", "multi-label", "ordinal-regression", "regression")
OFFICIAL_GROUPS, OWN_GROUP = ("train", "val", "test"), "all"
NOT_KNOWN, UNTRAINED = "not known (own weights)", "none: random weights"  # said of pretraining
OFFICIAL_SOURCES = ("medmnist", "synthetic")  # whose names stand for known images, which have no versions
EVERY, QUARTER = LAYER_WORDS = ("every", "quarter")


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a dataset before one image is read.

    Attributes
    ----------
    name
        Short name; also the folder of its stores in the cache.
    size
        Side of the stored images in pixels; 0 when the images differ in size.
    task
        The official task type; `None` when there are no labels.
    classes
        Class names in label order; for multi-label, one name a label; empty when there are none.
    channels
        1 (grey) or 3 (RGB); 0 when the images differ.
    ndim
        2 for images, 3 for volumes.
    counts
        Number of samples in each group: ``train``, ``val``, ``test`` for official sets, ``all`` for own images.
    fingerprint
        Digest of the bytes, in the form ``algorithm:hex``; labels and splits are not part of it for own images.
    licence, citation, url
        Of the data, kept in every store made from it.
    source
        ``medmnist`` or ``synthetic``, whose names stand for known images; ``folder``, ``csv``, ``npz``, ``object``, or
        whatever a package calls its own.
    intensity
        The declared contract by which stored intensities became uint8, for example ``"uint8"`` or ``"uint16:0..4095"``.
    content
        Digest of ids and files alone, whatever contract and decoder read them; empty where it is not known.
    """

    name: str
    size: int
    task: TaskType | None
    classes: tuple[str, ...]
    channels: int
    ndim: int
    counts: Mapping[str, int]
    fingerprint: str
    licence: str = "unknown"
    citation: str = ""
    url: str = ""
    source: str = "own"
    intensity: str = "uint8"
    content: str = ""


@dataclass(frozen=True)
class BadImage:
    """An image that could not be read.

    Attributes
    ----------
    id
        Its id.
    reason
        Why, in a few words.
    row
        Its position in the group, which every `Dataset` gives; None where only a store tells of it.
    """

    id: str
    reason: str
    row: int | None = None


@dataclass(frozen=True)
class ImageBatch:
    """Consecutive images of one group.

    Attributes
    ----------
    rows
        (n,) int64, positions of these images in the group, ascending; bad images are absent.
    images
        (n, H, W) or (n, H, W, 3) uint8 when all have one shape; volumes (n, D, H, W) uint8; otherwise, or when they
        are large, a list of (H, W), (H, W, 3) or (D, H, W) arrays.
    bad
        The images of this stretch that could not be read.
    """

    rows: NDArray[np.int64]
    images: Images
    bad: tuple[BadImage, ...] = ()

    @property
    def asked(self) -> NDArray[np.int64]:
        """(m,) positions of all images of this stretch, ascending: what came, and what could not be read."""
        return np.union1d(self.rows, np.array([bad.row for bad in self.bad if bad.row is not None], np.int64))


class Dataset(Protocol):
    """What extraction asks of a source of images."""

    @property
    def info(self) -> DatasetInfo:
        """What is known of it before one image is read."""
        ...

    def ids(self, group: str) -> IdArray:
        """(n,) unique ids of a group, in order; unique over all groups too."""
        ...

    def labels(self, group: str) -> LabelArray | None:
        """(n, k) or (n,) official labels of a group, of any numbers (bool, uint8 ...), or None when there are none."""
        ...

    def batches(self, group: str, batch_size: int, rows: NDArray[np.int64] | None = None) -> Iterator[ImageBatch]:
        """Read images in ascending row order in bounded memory; `rows` (ascending) picks some, None means all."""
        ...


@dataclass(frozen=True)
class View:
    """One way to read an embedding out of a forward pass: a layer, a pooling, and for volumes a slice policy.

    Attributes
    ----------
    layer
        Dotted module name (``"layer3"``), None for the architecture's penultimate features, or of `LAYER_WORDS`.
    pool
        One of `medfeat.backbones.features.pooling.POOLS`; None is the backbone's own.
    slices
        One of `medfeat.extraction.network.slice_pooling.POLICIES`; None for 2D images.
    """

    layer: str | None = None
    pool: str | None = None
    slices: str | None = None


@dataclass(frozen=True)
class BackboneInfo:
    """What a backbone's name stands for: the network, its weights and the preprocessing that belongs to it.

    Attributes
    ----------
    name
        Short name, also the folder of its stores in the cache.
    source, source_id
        The library (``torchvision``, ``timm``, ``hf``, ``weights-free``, ``random``) and its identifier there.
    input_size
        Side in pixels the network is fed; 0 for weights-free backbones, which take images as they are.
    mean, std
        Per channel, on the 0..1 scale.
    interpolation
        Filter used to resize.
    pool
        Default pooling.
    origin
        Where the weights come from; ``random`` weights are called random wherever a score is shown.
    weights_digest
        ``blake2b:hex`` over all tensors by name; empty until the weights are read.
    licence, pretraining
        Of the weights.
    overlap
        MedMNIST sets whose sources the pretraining data is known to include; flagged wherever a score is shown.
    note
        Anything a user should know.
    dim
        Length of the default embedding; 0 when it depends on the images or is not known before the network is built.
    resize
        Under ``fit="reference"``, the side in pixels the image is resized to before the centre crop to `input_size`;
        0 means `input_size` itself.
    squash
        Under ``fit="reference"``, resize both sides to `resize` instead of the shorter one.
    """

    name: str
    source: str
    source_id: str
    input_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: Interpolation
    pool: str
    origin: Origin = "pretrained"
    weights_digest: str = ""
    licence: str = "unknown"
    pretraining: str = "unknown"
    overlap: tuple[str, ...] = ()
    note: str = ""
    dim: int = 0
    resize: int = 0
    squash: bool = False


@dataclass(frozen=True)
class Recipe:
    """Everything that changes the bytes of an embedding, and nothing else; its canonical JSON is the store's key.

    Device, batch size, compile and worker count are recorded beside it in the store, not in it. `resize` says in words
    what ``--fit reference`` resizes to before it crops; it is empty for the other fits. `kept` says what the several
    vectors of an image are, `dtype` that they are float16, `copies` whose vectors are averaged; none of these is
    written where it is empty, as it was before.
    """

    dataset: str
    size: int
    fingerprint: str
    backbone: str
    source: str
    source_id: str
    weights_digest: str
    layer: str | None
    pool: str
    slices: str | None
    fit: Fit
    interpolation: str
    input_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    precision: Precision
    resize: str = ""
    kept: str = ""
    dtype: str = ""
    copies: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, ready for `medfeat_cache.key.recipe_digest`."""
        facts = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        return {key: value for key, value in facts.items() if value != "" or key not in ("kept", "dtype", "copies")}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Read back what `to_dict` wrote; what a later medfeat may have added is left out."""
        known: dict[str, Any] = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        known |= {name: tuple(known[name]) for name in ("mean", "std")}
        return cls(**known)


@dataclass(frozen=True)
class Task:
    """A question asked of a store: a label and a split for each sample id.

    Attributes
    ----------
    name
        ``official`` for the dataset's own labels and splits.
    task_type
        One of `TASK_TYPES`.
    classes
        Class names in label order (multi-label: label names; regression: the target names).
    ids, labels
        (n,) sample ids; (n, k) int64 class numbers, 0/1 for multi-label, or float64 for regression; k is 1 except for
        multi-label.
    split
        (n,) ``train``, ``val`` or ``test`` a sample.
    group
        (n,) patient (or other cluster) a sample, None when unknown; no group is ever in two splits.
    origin
        In words, where labels and split came from; shown with every result.
    images
        As `medfeat.tasks.images_of` calls those of a store, which alone may be asked; empty where only ids are known.
    """

    name: str
    task_type: TaskType
    classes: tuple[str, ...]
    ids: IdArray
    labels: LabelArray
    split: IdArray
    group: IdArray | None = None
    origin: str = "official"
    images: str = ""


@dataclass(frozen=True, slots=True)
class Interval:
    """A point estimate with a two-sided interval of the stated level; NaN bounds when undefined."""

    value: float
    low: float
    high: float
    level: float = 0.95

    def __repr__(self) -> str:
        return f"Interval({self.value:.4g} [{self.low:.4g}, {self.high:.4g}], {self.level:.0%})"


class Progress(Protocol):
    """Where long work reports how far it is; the command line draws a bar; see `medfeat.saying.heard`."""

    def start(self, total: int, label: str, unit: str = "images") -> None:
        """Begin a stretch of `total` units."""
        ...

    def advance(self, count: int) -> None:
        """Report `count` more units done."""
        ...

    def say(self, message: str) -> None:
        """Show one line that is worth keeping."""
        ...

    def finish(self) -> None:
        """End the stretch."""
        ...


@dataclass(frozen=True)
class SilentProgress:
    """Shows nothing, and keeps what was said for whoever asks."""

    said: list[str] = field(default_factory=list)

    def start(self, total: int, label: str, unit: str = "images") -> None:
        """Begin a stretch; shows nothing."""

    def advance(self, count: int) -> None:
        """Count nothing."""

    def say(self, message: str) -> None:
        """Keep the line in `said`."""
        self.said.append(message)

    def finish(self) -> None:
        """End the stretch; shows nothing."""


class Head(Protocol):
    """What evaluation asks of a trainable head: candidates to choose among on val."""

    name: str

    def candidates(
        self,
        train: tuple[FloatArray, LabelArray],
        val: tuple[FloatArray, LabelArray],
        task_type: TaskType,
        n_classes: int,
        *,
        seed: int,
        progress: Progress,
    ) -> Iterator[Candidate]:
        """Yield fitted models, one a setting, simplest first; val is for early stopping only."""
        ...


class Fitted(Protocol):
    """A trained head: features in, official scores out."""

    def scores(self, X: FloatArray) -> FloatArray:
        """Return (n, c) probabilities (multi-label: one a label, binary: two columns; regression: (n, targets))."""
        ...


@dataclass(frozen=True)
class Candidate:
    """One fitted model of a head's grid.

    Attributes
    ----------
    settings
        What distinguishes it (``{"C": 0.01}``), plain JSON values.
    model
        The fitted model.
    complexity
        Orders candidates from simple to complex: ties on val go to the smaller.
    head
        Which head it is of, where several stand together and the best of each are averaged; empty for one alone.
    """

    settings: Mapping[str, Any]
    model: Fitted
    complexity: float
    head: str = ""
