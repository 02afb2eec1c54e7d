"""What an attention head looked at, as a table whose numbers are worked out by hand."""

from __future__ import annotations

import numpy as np

from medfeat.report.attended import attended, attended_table, vector_names


def test_vectors_are_called_by_what_they_are():
    few = vector_names({"kept": "slices", "slices": "keep:2"}, 6)
    assert few == [f"axis {axis}, slice {i} of 2" for axis in range(3) for i in range(2)]
    assert vector_names({"kept": "slices", "slices": "keep", "size": 28}, 84)[30] == "axis 1, slice 2 of 28"
    assert vector_names({"kept": "slices", "slices": "keep", "size": 0}, 7)[6] == "slice 6"
    assert vector_names({"kept": "tokens"}, 9)[5] == "row 1, column 2"
    assert vector_names({"kept": "tokens"}, 8)[5] == vector_names({}, 9)[5] == "vector 5"


def test_layers_are_called_by_their_names():
    recipe = {"stores": [{"layer": "blocks.1", "pool": "avg"}, {"layer": None, "pool": "avg"}]}
    assert vector_names(recipe, 2) == ["layer blocks.1, avg", "layer last, avg"]


def test_of_patients_those_come_first_of_whom_one_image_counted_most_beside_all_alike():
    found = {
        "test_ids": np.array(["ann", "bob", "cleo"]),
        "test_images": np.array([["a1", "a2", "a3"], ["b1", "", ""], ["c1", "c2", ""]]),
        "test_attention": np.array([[0.1, 0.4, 0.5], [1.0, 0.0, 0.0], [0.9, 0.1, 0.0]]),
    }
    named = attended({}, found, identifiers=True)
    assert named.rows == (
        ("cleo", "c1", "0.900", "0.500", "2"),
        ("ann", "a3", "0.500", "0.333", "3"),
        ("bob", "b1", "1.000", "1.000", "1"),
    )
    hidden = attended({}, found)
    assert [row[:2] for row in hidden.rows] == [
        ("patient 3", "image 1"), ("patient 1", "image 3"), ("patient 2", "image 1"),
    ]  # fmt: skip


def test_those_that_counted_most_come_first():
    weights = np.array([[0.5, 0.5, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25], [0.0, 1.0, 0.0, 0.0]])
    table = attended_table({"kept": "tokens"}, weights)
    # means over three images: .75 / 3, 1.75 / 3, .25 / 3, .25 / 3; the first of equals counts as the largest
    assert table.rows == (
        ("row 0, column 1", "0.583", "1"),
        ("row 0, column 0", "0.250", "2"),
        ("row 1, column 0", "0.083", "0"),
        ("row 1, column 1", "0.083", "0"),
    )
    # spread over 2, 4 and 1 of them
    assert "as over 2.3 of them" in table.notes[1]
    assert "each would have 0.250" in table.notes[0]
