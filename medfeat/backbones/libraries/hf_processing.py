"""How an image processor of transformers prepares images, as far as its configuration says and medfeat can do it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from medfeat.errors import DataError
from medfeat.types import Interpolation

# Pillow's numbers for its filters, which image processors store
_FILTERS: dict[int, Interpolation] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
# What a processor does by default; its sizes are left out, because the network's own fits better where none is given
_DEFAULTS = (
    "crop_pct",
    "do_center_crop",
    "do_flip_channel_order",
    "do_normalize",
    "do_rescale",
    "do_resize",
    "image_mean",
    "image_std",
    "include_top",
    "resample",
    "rescale_factor",
    "rescale_offset",
)
# From this size on ConvNeXt's processor squashes the whole image
_CONVNEXT_SQUASHES = 384


@dataclass(frozen=True)
class Processing:
    """What an image processor's configuration says, as far as it changes the network's input."""

    size: int
    resize: int
    squash: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: Interpolation


def read_processing(content: dict[str, Any], native: int, origin: str = "the image processor") -> Processing:
    """Read an image processor's configuration.

    Parameters
    ----------
    content
        Of ``preprocessor_config.json``. What it leaves out is what the class it names does by default.
    native
        Side in pixels the network was made for, where the processor does not say.
    origin
        Where the configuration comes from, for messages.

    Returns
    -------
    Processing
        Sizes, filter and normalisation.

    Raises
    ------
    DataError
        For a step that medfeat does not have.
    ValueError
        For sizes or colours that no network takes; what is of the wrong type raises what Python raises.
    """
    kind = _kind(content)
    defaults = _class_defaults(kind)
    shortest = "shortest_edge" in defaults.pop("size", {})
    content = _completed(content, defaults)
    _refuse_unknown_steps(content, kind, origin)
    size, resize, squash = _sizes(content, native, shortest=shortest)
    mean, std = _colours(content)
    if size < 1 or resize < 1 or not all(std):
        raise ValueError(f"size {size}, resize {resize}, std {std}")
    filters = _FILTERS.get(int(content.get("resample", 2)), "bilinear")
    return Processing(size, resize, squash, mean, std, filters)


def side_of(value: Any) -> int:
    """Read the side of a square, which some spell as a number, others as two or as height and width.

    Parameters
    ----------
    value
        From a configuration.
    """
    if isinstance(value, dict):
        value = value["height"]
    return int(value[0] if isinstance(value, list) else value)


def _kind(content: dict[str, Any]) -> str:
    """Name the processor's class; ``FeatureExtractor`` is what older versions called it, ``Fast`` what some did."""
    named = content.get("image_processor_type") or content.get("feature_extractor_type") or ""
    return str(named).removesuffix("Fast").replace("FeatureExtractor", "ImageProcessor")


def _class_defaults(kind: str) -> dict[str, Any]:
    """Ask a class of transformers what it does where a configuration does not say; nothing of an unknown class."""
    import transformers

    for name in (f"{kind}Pil", kind):
        try:
            found = getattr(transformers, name)
            if isinstance(found, type) and issubclass(found, transformers.ImageProcessingMixin):
                made = vars(found())
                # what a class leaves open is not done
                told = {key: made[key] for key in _DEFAULTS if made.get(key) is not None}
                told |= {key: False for key in _DEFAULTS if key.startswith("do_") and made.get(key, "") is None}
                return told | {"size": dict(made.get("size") or {})}
        except Exception:  # a class that is not there, or that needs a library that is not there
            continue
    return {}


def _completed(content: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Fill in what a class does by default: an empty value leaves a number to the class, and a step out."""
    # what some classes do and others, which may be told so too, do not
    strange = [key for key in ("crop_pct", "include_top") if defaults and key not in defaults]
    filled = {
        key: value
        for key, value in defaults.items()
        if key not in content or (content[key] is None and not isinstance(value, bool))
    }
    return {key: value for key, value in content.items() if key not in strange} | filled


def _refuse_unknown_steps(content: dict[str, Any], kind: str, origin: str) -> None:
    """Refuse, rather than leave out, what changes the network's input and medfeat does not do."""
    for key, refused, meaning in (
        ("do_flip_channel_order", True, "the network wants its colours as blue, green, red"),
        ("rescale_offset", True, "levels are shifted after they are scaled"),
        ("do_resize", False, "images keep their sizes"),
    ):
        if bool(content.get(key, not refused)) is refused:
            raise _refusal(origin, key, content.get(key), meaning)
    for key in ("size", "crop_size"):
        value = content.get(key)
        if key == "crop_size" and not content.get("do_center_crop", False):
            continue
        sides = (value.get("height"), value.get("width")) if isinstance(value, dict) else value
        if isinstance(sides, tuple | list) and len(sides) == 2 and None not in sides and sides[0] != sides[1]:
            raise _refusal(origin, key, value, "the network's input is not square")
    if content.get("crop_pct") is not None and kind and not kind.startswith("ConvNext"):
        raise _refusal(origin, "crop_pct", content["crop_pct"], f"{kind} crops in a way of its own")


def _refusal(origin: str, key: str, value: Any, meaning: str) -> DataError:
    told = f"{origin} sets {key} to {value!r}: {meaning}, which medfeat does not do"
    return DataError(f"{told}; name another backbone, or correct {key} in a folder of your own given with --weights")


def _sizes(content: dict[str, Any], native: int, *, shortest: bool) -> tuple[int, int, bool]:
    """Return the side of the input, the side resized to, and whether both sides are resized to it."""
    size, crops = content.get("size", native), content.get("do_center_crop", False)
    if isinstance(size, dict):
        squash = "shortest_edge" not in size
        resize = int(size.get("shortest_edge") or size.get("height") or native)
    else:
        # old processors stored one number; those that crop meant the shorter edge by it, and some always do
        resize, squash = side_of(size), not (crops or shortest)
    part = content.get("crop_pct")
    if part is not None and not squash:
        # ConvNeXt's processor: a margin around small inputs, none around large ones
        if resize >= _CONVNEXT_SQUASHES:
            return resize, resize, True
        return resize, int(resize / float(part)), False
    return side_of(content.get("crop_size") or resize) if crops else resize, resize, squash


def _colours(content: dict[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation on the 0..1 scale, whatever scale the processor normalises on."""
    normalises = content.get("do_normalize", True)
    mean = _three(content["image_mean"]) if normalises and "image_mean" in content else (0.0,) * 3
    std = _three(content["image_std"]) if normalises and "image_std" in content else (1.0,) * 3
    if content.get("include_top"):
        # EfficientNet's processor divides once more
        top = _three(content["image_std"]) if "image_std" in content else (1.0,) * 3
        std = tuple(one * other for one, other in zip(std, top, strict=True))
    factor = float(content.get("rescale_factor", 1 / 255)) if content.get("do_rescale", True) else 1.0
    if not (math.isfinite(factor) and factor > 0):
        raise ValueError(f"rescale_factor {factor}")
    if math.isclose(255 * factor, 1, rel_tol=1e-9):
        return mean, std
    # (level * factor - mean) / std, written for level / 255
    return tuple(one / (255 * factor) for one in mean), tuple(one / (255 * factor) for one in std)


def _three(value: Any) -> tuple[float, ...]:
    values = tuple(float(one) for one in value)
    if len(values) != 3:
        raise ValueError(f"{len(values)} colours instead of 3")
    return values
