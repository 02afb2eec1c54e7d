"""From a network's features to one vector an image (or one a place)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from medfeat.errors import UsageError

if TYPE_CHECKING:
    import torch

POOLS: dict[str, str] = {
    "avg": "global average of a feature map",
    "max": "maximum over a feature map or over the patch tokens",
    "cls": "the class token",
    "mean": "mean of the patch tokens, without class and register tokens",
    "cls+mean": "class token and mean of the patch tokens, one after the other",
    "pre-logits": "what the architecture's own classifier sees after its hidden layers",
    "attention": "the architecture's own attention pooling",
    "projected": "in the space of texts, of models of images and texts (Hugging Face), for zero-shot",
    "tokens": "no pooling: every patch token, or every place of a feature map, kept side by side",
    "none": "a vector already: as it is",
}
"""Every pooling by name, with what it means."""


PROJECTED = "projected"
OF_CLASS_TOKEN = ("cls", "cls+mean")
"""Poolings that need a class token."""


def poolings_of(ndim: int, prefix: int) -> tuple[str, ...]:
    """Name the poolings that features of this form allow, the most natural first.

    Parameters
    ----------
    ndim
        4 for maps (B, C, H, W), 3 for tokens (B, N, d), 2 for vectors (B, d).
    prefix
        Tokens before the patch tokens: class and registers.

    Returns
    -------
    tuple of str
        Names in `POOLS`.
    """
    if ndim == 4:
        return ("avg", "max", "tokens")
    if ndim == 3:
        return ("cls", "mean", "cls+mean", "max", "tokens") if prefix else ("mean", "max", "tokens")
    return ("none",)


def pooling(pool: str, ndim: int, prefix: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the function that pools features of this form.

    Parameters
    ----------
    pool, ndim, prefix
        As in `poolings_of`.

    Returns
    -------
    callable
        From (B, C, H, W), (B, N, d) or (B, d) to (B, d), or (B, P, d) for ``tokens``.

    Raises
    ------
    UsageError
        When features of this form cannot be pooled that way.
    """
    import torch

    allowed = poolings_of(ndim, prefix)
    if pool not in allowed:
        raise UsageError(f"pool must be one of {', '.join(allowed)} here, got {pool!r}")
    if ndim == 4:
        maps: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
            "avg": lambda x: x.mean((2, 3)),
            "max": lambda x: x.amax((2, 3)),
            "tokens": lambda x: x.flatten(2).transpose(1, 2),
        }
        return maps[pool]
    tokens: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "cls": lambda x: x[:, 0],
        "mean": lambda x: x[:, prefix:].mean(1),
        "cls+mean": lambda x: torch.cat([x[:, 0], x[:, prefix:].mean(1)], 1),
        "max": lambda x: x[:, prefix:].amax(1),
        "tokens": lambda x: x[:, prefix:],
        "none": lambda x: x,
    }
    return tokens[pool]
