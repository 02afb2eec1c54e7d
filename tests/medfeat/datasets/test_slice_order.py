"""What keeps slices from being one volume, on either side of each limit."""

from __future__ import annotations

import numpy as np
import pytest

from medfeat.datasets.decoding.dicom_headers import Place
from medfeat.datasets.decoding.slice_order import order_of

FLAT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def slices(*, gaps=(2.0,) * 6, degrees=0.0, spacing=1.0, turned=0.0):
    """Seven slices along z; the last is `spacing` and `turned` otherwise than the first six."""
    along = np.cumsum((0.0, *gaps))
    aside = along * np.tan(np.radians(degrees))
    others = {"orientation": FLAT, "spacing": (1.0, 1.0)}
    last = {"orientation": (1.0, turned, *FLAT[2:]), "spacing": (spacing, 1.0)}
    places = zip(aside.tolist(), along.tolist(), strict=True)
    return [Place((8, 8), (x, 0.0, z), **(last if i == 6 else others)) for i, (x, z) in enumerate(places)]


@pytest.mark.parametrize(
    ("within", "beyond", "fault"),
    [
        ({"gaps": (2.0,) * 5 + (2.19,)}, {"gaps": (2.0,) * 5 + (2.21,)}, "lie unevenly, 2 to 2.21 mm apart"),
        ({"gaps": (2.0,) * 5 + (1.81,)}, {"gaps": (2.0,) * 5 + (1.79,)}, "lie unevenly, 1.79 to 2 mm apart"),
        ({"degrees": 0.49}, {"degrees": 0.51}, "tilted by 0.51 degrees"),
        ({"spacing": 1.009}, {"spacing": 1.011}, "several pixel sizes"),
        ({"turned": 0.009}, {"turned": 0.011}, "2 orientations"),
    ],
)
def test_what_scanners_round_is_a_volume_and_what_they_do_not_is_none(within, beyond, fault):
    assert order_of(slices(**within)).fault == "" and order_of(slices(**within)).affine is not None
    assert fault in order_of(slices(**beyond)).fault and order_of(slices(**beyond)).affine is None


@pytest.mark.parametrize(
    ("gap", "fault"),
    [
        (2.99, "lie unevenly"), (3.01, "about 1 of its slices are missing"), (8.0, "about 3 of its slices are missing"),
        (0.011, "lie unevenly"), (0.009, "2 of its slices lie at one place"),
    ],
)  # fmt: skip
def test_a_wide_gap_is_slices_that_are_missing_and_none_is_two_at_one_place(gap, fault):
    assert fault in order_of(slices(gaps=(2.0,) * 5 + (gap,))).fault
