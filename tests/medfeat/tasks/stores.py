"""Small stores of known content, written through the real writer."""

import numpy as np

from medfeat_cache import FeatureStore, GroupSpec, StoreWriter, recipe_digest, store_path

OPEN: list[FeatureStore] = []
COUNTS = {"train": 30, "val": 12, "test": 18}


def vector(name, dim=4, scale=1.0):
    """Return the embedding of an id: worked out from its characters, so that any order can be checked."""
    return (np.arange(1, dim + 1) * sum(map(ord, name)) * scale % 97).astype(np.float32)


def write_store(
    root,
    *,
    dataset="blobs",
    backbone="fake",
    groups=None,
    labels=True,
    task="multi-class",
    classes=("a", "b", "c"),
    **asked,
):
    """Write a store; `groups` maps a group to its ids, by default ``train/0`` ... of an official set."""
    groups = groups or {group: [f"{group}/{i}" for i in range(n)] for group, n in COUNTS.items()}
    dim, scale, dtype = asked.pop("dim", 4), asked.pop("scale", 1.0), asked.pop("dtype", np.float32)
    recipe = {"dataset": dataset, "backbone": backbone, "dim": dim, "scale": scale, "salt": asked.pop("salt", 0)}
    info = {"dataset": {"name": dataset, "task": task, "classes": list(classes)}}
    path = store_path(root, dataset, backbone, recipe_digest(recipe))
    with StoreWriter.open(path, recipe=recipe, info=info, settings={}) as writer:
        spec = {g: GroupSpec(ids, labels_of(ids, len(classes)) if labels else None) for g, ids in groups.items()}
        writer.groups(spec)
        for group, ids in groups.items():
            features = np.stack([vector(name, dim, scale) for name in ids]).astype(dtype)
            hashes = np.zeros((len(ids), 16), dtype=np.uint8)
            writer.write_rows(group, np.arange(len(ids)), features, hashes)
        OPEN.append(FeatureStore(writer.publish({})))
    return OPEN[-1]


def labels_of(ids, n_classes=3):
    """Return the label of each id: the number at its end, modulo the classes."""
    return np.array([[int(name.rsplit("/")[-1].split(".")[0]) % n_classes] for name in ids])
