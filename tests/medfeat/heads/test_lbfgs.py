"""Minimisation: where it ends is known by hand."""

from __future__ import annotations

import numpy as np
import pytest

from medfeat.heads.lbfgs import Vector, minimise


@pytest.mark.parametrize("unit", [1.0, 1e12])
def test_the_minimum_of_a_parabola_is_found_whatever_its_unit(unit: float) -> None:
    middle = np.array([3.0, -2.0])

    def parabola(x: Vector) -> tuple[float, Vector]:
        return unit * (1 + float((x - middle) @ (x - middle)) / 2), unit * (x - middle)

    found = minimise(parabola, np.zeros(2), tol=1e-12 * unit, max_evaluations=60)

    assert found.converged
    assert found.x == pytest.approx(middle, abs=1e-5)
    assert found.value == pytest.approx(unit)


def test_it_ends_where_a_step_can_gain_no_more_than_rounding_noise() -> None:
    start = np.zeros(1)

    def noisy(x: Vector) -> tuple[float, Vector]:
        # A full step would gain 1e-4, and a step of a thousandth the noise of 1e-7; each is a bit higher instead.
        return (1.0 if x == start else 1.0 + 1e-6), np.array([1e-2])

    found = minimise(noisy, start, tol=1e-12, noise=1e-7, max_evaluations=12)

    assert found.converged
    assert found.x == start
    assert 2 < found.evaluations < 12


@pytest.mark.parametrize("most", [1, 2, 7])
def test_it_asks_for_no_more_values_than_it_may(most: int) -> None:
    asked = []

    def valley(x: Vector) -> tuple[float, Vector]:  # Rosenbrock's, which takes tens of steps
        asked.append(x)
        bend = x[1] - x[0] ** 2
        return 100 * bend**2 + (1 - x[0]) ** 2, np.array([-400 * x[0] * bend - 2 * (1 - x[0]), 200 * bend])

    found = minimise(valley, np.array([-1.2, 1.0]), tol=1e-12, max_evaluations=most)

    assert not found.converged
    assert found.evaluations == len(asked) == most
