"""Limited-memory BFGS for smooth convex functions; Nocedal & Wright, Numerical Optimization, 2nd ed., algorithm 7.4.

SciPy's driver spends longer on its box constraints than the two matrix products of a step take here, and its
line search gives up on the rounding noise of float32 functions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Minimum:
    """Where a minimisation ended.

    Attributes
    ----------
    x
        (p,) the point.
    value
        The function there.
    evaluations
        How often the function was called.
    converged
        Whether the gradient got below the tolerance, or the function to its rounding noise.
    """

    x: Vector
    value: float
    evaluations: int
    converged: bool


def minimise(
    function: Callable[[Vector], tuple[float, Vector]],
    x: Vector,
    *,
    tol: float,
    noise: float = 1e-15,
    memory: int = 12,
    max_evaluations: int = 2000,
) -> Minimum:
    """Minimise a well-scaled convex function (its Hessian should be near the identity).

    Parameters
    ----------
    function
        Returns value and (p,) gradient at a point.
    x
        (p,) where to start.
    tol
        Stop when ``|gradient|^2 <= tol * value``. Near the minimum of a well-scaled function half of
        ``|gradient|^2`` is what remains to be gained, so that `tol` bounds the relative excess.
    noise
        Relative rounding noise of the value: smaller increases are not held against a step.
    memory
        Number of gradient differences kept.
    max_evaluations
        Where to stop in any case.
    """
    value, gradient = function(x)
    pairs: deque[tuple[Vector, Vector, float]] = deque(maxlen=memory)
    count = 1
    while gradient @ gradient > tol * abs(value):
        direction = _direction(gradient, pairs)
        slope = float(gradient @ direction)
        step = 1.0
        while True:
            if count >= max_evaluations:
                return Minimum(x, value, count, False)
            trial = x + step * direction
            new_value, new_gradient = function(trial)
            count += 1
            rise = new_value - value
            if rise <= 1e-4 * step * slope + noise * abs(value):
                break
            if -step * slope < noise * abs(value):
                return Minimum(x, value, count, True)
            # Minimum of the parabola through both values and the slope, kept within a tenth and a half.
            step *= float(np.clip(-slope * step / (2 * (rise - slope * step)), 0.1, 0.5))
        moved, turned = trial - x, new_gradient - gradient
        curvature = float(moved @ turned)
        if curvature > 1e-14 * float(turned @ turned):
            pairs.append((moved, turned, curvature))
        x, value, gradient = trial, new_value, new_gradient
    return Minimum(x, value, count, True)


def _direction(gradient: Vector, pairs: deque[tuple[Vector, Vector, float]]) -> Vector:
    """Return minus the inverse Hessian estimate times the gradient (the two-loop recursion)."""
    q = -gradient
    weights = []
    for moved, turned, curvature in reversed(pairs):
        weights.append(float(moved @ q) / curvature)
        q -= weights[-1] * turned
    if pairs:
        _, turned, curvature = pairs[-1]
        q *= curvature / float(turned @ turned)
    for (moved, turned, curvature), weight in zip(pairs, reversed(weights), strict=True):
        q += (weight - float(turned @ q) / curvature) * moved
    return q
