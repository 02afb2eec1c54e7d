"""What a writer killed just after publishing leaves is tidied by whoever finds the store."""

from __future__ import annotations

import numpy as np

from medfeat_cache import GroupSpec, StoreWriter, recipe_digest, store_path, tidy
from medfeat_cache.root import parts_folder


def test_parts_of_a_published_store_are_removed_and_others_stay(tmp_path):
    recipe = {"dataset": "d", "backbone": "b"}
    path = store_path(tmp_path, "d", "b", recipe_digest(recipe))
    with StoreWriter.open(path, recipe=recipe, info={}, settings={}) as writer:
        writer.groups({"train": GroupSpec(["a", "b"])})
        writer.write_rows("train", [0, 1], np.ones((2, 3), np.float32), np.zeros((2, 16), np.uint8))
        kept = {file.name: file.read_bytes() for file in writer.folder.iterdir()}
        writer.publish()
    parts_folder(path).mkdir()
    for name, content in kept.items():
        (parts_folder(path) / name).write_bytes(content)
    other = path.with_name(".0123456789ab.parts")
    other.mkdir()
    tidy(path)
    assert not parts_folder(path).exists()
    assert other.exists()
    assert path.exists()
