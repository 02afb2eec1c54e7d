"""The format page is true: its ten lines run, and a store can be checked by following its words alone."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from medfeat_cache.format import REQUIRED_ATTRIBUTES, REQUIRED_COLUMNS

PAGE = Path(__file__).parents[2] / "docs" / "store-format.md"


@pytest.fixture(params=[0, 3], ids=["format 1", "format 2"])
def source(request: pytest.FixtureRequest, new_source: Callable[..., Any]) -> Any:
    """One vector an image, and three."""
    return new_source(vectors=request.param)


def code() -> str:
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return found[1]


def test_ten_lines_of_plain_h5py_read_a_store(store: Path, source: Any, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for line in code().splitlines() if line.strip()]
    assert len(lines) <= 10
    assert "medfeat_cache" not in code()
    names: dict[str, Any] = {"path": store}
    exec(code(), names)
    assert names["recipe"] == source.recipe
    assert np.array_equal(names["embeddings"], source.embeddings("val"))
    assert names["ids"].tolist() == source.ids("val").tolist()
    assert np.array_equal(names["labels"], source.labels("val"))
    shape = (30, 3, 8) if source.vectors else (30, 8)
    assert f"train ['train/0é' 'train/1é' 'train/2é'] {shape} (30, 1)" in capsys.readouterr().out


def test_every_attribute_and_dataset_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name in (*REQUIRED_ATTRIBUTES, *REQUIRED_COLUMNS, "labels", "digests", "rows_per_block", "source_rows"):
        assert f"`{name}`" in page


def blake(data: bytes, size: int = 32) -> str:
    return hashlib.blake2b(data, digest_size=size).hexdigest()


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def plain(attributes: Any) -> dict[str, Any]:
    return {key: value.decode() if isinstance(value, bytes) else int(value) for key, value in attributes.items()}


def test_the_digests_can_be_checked_from_the_page_alone(store: Path) -> None:
    with h5py.File(store, "r") as file:
        root = plain(file.attrs)
        digest = root.pop("digest")
        groups: dict[str, Any] = {}
        for name, group in file.items():
            columns = {key: [column.dtype.str, *column.shape] for key, column in group.items()}
            groups[name] = {"attributes": plain(group.attrs), "columns": columns}
            recorded = json.loads(group.attrs["digests"])
            assert set(recorded) == set(group) - {"embeddings"}
            for key, value in recorded.items():
                assert blake(group[key][()].tobytes()) == value
            step = group.attrs["rows_per_block"]
            rows = group["embeddings"][:]
            blocks = [blake(rows[start : start + step].tobytes(), 16) for start in range(0, len(rows), step)]
            assert [bytes(block).hex() for block in group["block_digests"][:]] == blocks
            assert group["embeddings"].id.get_offset() % 64 == 0
        assert blake(canonical({"attributes": root, "groups": groups})) == digest
        assert blake(root["recipe"].encode()) == root["recipe_digest"]
