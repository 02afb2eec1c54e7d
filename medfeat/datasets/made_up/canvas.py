"""Drawing many small pictures at once with numpy: soft discs, blobs and strokes on a canvas from -1 to 1.

Everything is float64 and uniform random numbers only: rounding to uint8 then gives the same bytes on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Dice:
    """Uniform random numbers; pixel noise has its own stream, so that one seed shows the same things at every size.

    Parameters
    ----------
    seed
        Whole numbers that name the stream.
    """

    def __init__(self, *seed: int) -> None:
        self._shapes = np.random.Generator(np.random.PCG64([*seed, 0]))
        self._noise = np.random.Generator(np.random.PCG64([*seed, 1]))

    def between(self, low: float, high: float, *shape: int) -> Array:
        """Return numbers of the given shape between `low` and `high`."""
        return low + (high - low) * self._shapes.random(shape)

    def angle(self, *shape: int) -> Array:
        """Return angles in radians."""
        return self.between(0.0, 2.0 * np.pi, *shape)

    def noise(self, *shape: int) -> Array:
        """Return pixel noise between -1 and 1, peaked at 0."""
        return self._noise.random(shape) - self._noise.random(shape)


@dataclass(frozen=True)
class Canvas:
    """n pictures of one size that are drawn on together.

    Attributes
    ----------
    pixels
        (n, H, W, 3) colours on a scale of 0 to 1; drawn on in place.
    x, y
        (H, W) coordinates of the pixels.
    """

    pixels: Array
    x: Array
    y: Array

    @classmethod
    def filled(cls, count: int, size: int, colour: Array) -> Canvas:
        """Start `count` pictures of `size` pixels with one colour each: (n, 3) or (3,)."""
        axis = (np.arange(size) + 0.5) * (2.0 / size) - 1.0
        x, y = np.meshgrid(axis, axis)
        pixels = np.empty((count, size, size, 3))
        pixels[:] = np.broadcast_to(colour, (count, 3))[:, None, None, :]
        return cls(pixels, x, y)

    @property
    def step(self) -> float:
        """Width of a pixel."""
        return 2.0 / len(self.x)

    def away(self, cx: Array, cy: Array) -> tuple[Array, Array]:
        """Return (n, H, W) offsets in x and y from a point in each picture."""
        return self.x - cx[:, None, None], self.y - cy[:, None, None]

    def disc(self, cx: Array, cy: Array, radius: Array) -> Array:
        """Return (n, H, W) coverage of a disc in each picture, its edge smoothed over a pixel."""
        dx, dy = self.away(cx, cy)
        return self.edge(radius[:, None, None] - np.sqrt(dx * dx + dy * dy))

    def ellipse(self, cx: Array, cy: Array, long: Array, short: Array, angle: Array) -> Array:
        """Return (n, H, W) coverage of an ellipse in each picture."""
        dx, dy = self.away(cx, cy)
        c, s = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
        along, across = (c * dx + s * dy) / long[:, None, None], (c * dy - s * dx) / short[:, None, None]
        return self.edge((1.0 - np.sqrt(along * along + across * across)) * short[:, None, None])

    def blob(self, cx: Array, cy: Array, radius: Array, waves: dict[int, Array], phase: Array) -> Array:
        """Return (n, H, W) coverage of a disc whose edge waves: `waves` gives the height of each number of waves."""
        dx, dy = self.away(cx, cy)
        around = np.arctan2(dy, dx) + phase[:, None, None]
        reach = 1.0 + sum(height[:, None, None] * np.cos(count * around) for count, height in waves.items())
        return self.edge(radius[:, None, None] * reach - np.sqrt(dx * dx + dy * dy))

    def edge(self, depth: Array) -> Array:
        """Turn depth inside a shape into coverage: 0 outside, 1 inside, a pixel wide between."""
        return np.clip(depth / self.step + 0.5, 0.0, 1.0)

    def paint(self, coverage: Array, colour: Array) -> None:
        """Lay a colour, (n, 3) or (3,), over the pictures where `coverage` says."""
        layer = np.broadcast_to(colour, (len(self.pixels), 3))
        picture, row, column = np.nonzero(coverage)
        under = self.pixels[picture, row, column]
        self.pixels[picture, row, column] += coverage[picture, row, column, None] * (layer[picture] - under)

    def shade(self, factor: Array) -> None:
        """Multiply the pictures with (n, H, W) or (n, H, W, 3) brightness."""
        self.pixels[:] *= factor if factor.ndim == 4 else factor[..., None]

    def finish(self, dice: Dice, grain: float) -> NDArray[np.uint8]:
        """Add grain and round to (n, H, W, 3) uint8."""
        noisy = self.pixels + grain * dice.noise(*self.pixels.shape)
        return np.rint(np.clip(noisy, 0.0, 1.0) * 255.0).astype(np.uint8)
