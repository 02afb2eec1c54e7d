"""In and out: other tools' files become stores and stores become other tools' files; nothing hostile gets in."""

from __future__ import annotations

import csv
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from medfeat_cache import (
    FeatureStore,
    StoreDamaged,
    StoreInputError,
    StoreNotFoundError,
    export_store,
    import_arrays,
    read_features,
    verify_store,
)

Source = Any
VECTORS = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
IDS = [f"img_{row}.png" for row in range(6)]


def test_npy_export_holds_everything(source: Source, store: Path, tmp_path: Path) -> None:
    out = export_store(store, tmp_path / "out")
    facts = json.loads((out / "store.json").read_text(encoding="utf-8"))
    assert facts["recipe"] == source.recipe
    for group in source.counts:
        names = facts["groups"][group]
        assert np.array_equal(np.load(out / names["embeddings"]), source.embeddings(group))
        assert np.array_equal(np.load(out / names["labels"]), source.labels(group))
        assert np.array_equal(np.load(out / names["image_hash"]), source.hashes(group))
        assert json.loads((out / names["ids"]).read_text(encoding="utf-8")) == source.ids(group).tolist()


def test_parquet_export_holds_everything(source: Source, store: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(export_store(store, tmp_path / "out.parquet", format="parquet"))
    assert table.column("id").to_pylist() == [*source.ids("train").tolist(), *source.ids("val").tolist()]
    vectors = np.array(table.column("embedding").to_pylist(), np.float32)
    assert np.array_equal(vectors, np.concatenate([source.embeddings("train"), source.embeddings("val")]))
    assert table.column("labels").to_pylist()[:3] == [[0], [1], [2]]
    assert table.column("image_hash").to_pylist()[0] == source.hashes("train")[0].tobytes()
    assert json.loads(table.schema.metadata[b"medfeat_recipe"]) == source.recipe


def _rows_of(path: Path) -> list[tuple[str, str, str, float]]:
    """Id, patient, image hash and first number of each row of an export."""
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            read = list(csv.DictReader(file))
        return [(row["id"], row["patient"], row["image_hash"], float(row["f0"])) for row in read]
    if path.suffix == ".parquet":
        columns = pytest.importorskip("pyarrow.parquet").read_table(path).to_pydict()
        names = ("id", "patient", "image_hash", "embedding")
        return [(a, b or "", h.hex(), e[0]) for a, b, h, e in zip(*(columns[name] for name in names), strict=True)]
    found = []
    with h5py.File(path) as file:
        for group in ("train", "val"):
            one = {name: column[()] for name, column in file[group].items()}
            patients = one.get("patient", [b""] * len(one["ids"]))
            shown = zip(one["ids"], patients, one["image_hash"], one["embeddings"], strict=True)
            found += [(a.decode(), b.decode(), h.tobytes().hex(), float(e[0])) for a, b, h, e in shown]
    return found


@pytest.mark.parametrize("form", ["csv", "parquet", "h5"])
def test_rows_that_are_read_in_pieces_stay_whole_beside_what_is_known_of_one_group(
    new_source: Callable[..., Source], cache_root: Path, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medfeat_cache.format.CHUNK_BYTES", 4096)
    monkeypatch.setattr("medfeat_cache.export._PARQUET_ROWS", 100)
    source = new_source(counts={"train": 600, "val": 7})
    patients = np.array([f"patient {row // 2}" for row in range(600)])
    out = export_store(source.make(cache_root), tmp_path / f"out.{form}", beside={"train": {"patient": patients}})
    wanted = []
    for group, beside in (("train", patients.tolist()), ("val", [""] * 7)):
        hashes = [one.tobytes().hex() for one in source.hashes(group)]
        wanted += zip(source.ids(group).tolist(), beside, hashes, source.embeddings(group)[:, 0].tolist(), strict=True)
    assert _rows_of(out) == wanted


@pytest.mark.parametrize("format", ["npy", "npz", "hdf5", "csv", "parquet"])
def test_damage_is_not_exported(store: Path, tmp_path: Path, format: Any) -> None:
    data = bytearray(store.read_bytes())
    data[data.index(FeatureStore(store).read("val").tobytes())] ^= 1
    store.write_bytes(data)
    with pytest.raises(StoreDamaged, match=r"embeddings of 'val' are damaged \(rows 0-6\)"):
        export_store(store, tmp_path / "out", format=format)
    assert not (tmp_path / "out").exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["cache"]


def test_an_export_overwrites_nothing(store: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreInputError, match="already exists"):
        export_store(store, tmp_path)
    with pytest.raises(StoreInputError, match="must be one of npy, npz, hdf5, parquet, csv, got format 'xlsx'"):
        export_store(store, tmp_path / "x", format="xlsx")  # type: ignore[arg-type]


def import_file(path: Path, root: Path, *, ids: Any = None, **options: Any) -> Path:
    """Import a file as `medfeat cache import` does."""
    return import_arrays(read_features(path, ids=ids), root, info={"imported_from": path.name}, **options)


def _npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def _hdf5(path: Path, arrays: dict[str, Any]) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values
    return path


@pytest.mark.parametrize("kind", ["npz", "compressed", "h5", "npy", "npy+txt", "npy+json", "npy+npy"])
def test_features_of_other_extractors_become_a_store(tmp_path: Path, kind: str) -> None:
    ids: Any = None
    if kind == "npz":
        path = _npz(tmp_path / "f.npz", features=VECTORS, filenames=IDS, y=np.arange(6))
    elif kind == "compressed":
        path = tmp_path / "f.npz"
        np.savez_compressed(path, X=VECTORS.astype(np.float64), ids=np.array(IDS, "S"), labels=np.arange(6))
    elif kind == "h5":
        path = _hdf5(tmp_path / "f.h5", {"embeddings": VECTORS, "ids": IDS, "labels": np.arange(6)})
    else:
        path = tmp_path / "f.npy"
        np.save(path, np.asfortranarray(VECTORS))
        ids = {
            "npy": IDS,
            "npy+txt": tmp_path / "i.txt",
            "npy+json": tmp_path / "i.json",
            "npy+npy": tmp_path / "i.npy",
        }[kind]
        (tmp_path / "i.txt").write_text("\n".join(IDS))
        (tmp_path / "i.json").write_text(json.dumps(IDS))
        np.save(tmp_path / "i.npy", IDS)
    store = import_file(path, tmp_path / "root", dataset="mine", backbone="clip", ids=ids, recipe={"pool": "cls"})
    with FeatureStore(store, verify=True) as opened:
        assert opened.groups == ("all",)
        assert np.array_equal(opened.take(IDS[::-1]), VECTORS[::-1])
        labels = opened.labels("all")
        assert labels is None if ids is not None else labels[:, 0].tolist() == list(range(6))
        assert opened.recipe["source"] == "import"
        assert opened.recipe["pool"] == "cls"
        assert opened.info["imported_from"] == path.name
    assert verify_store(store).ok
    before = store.stat().st_mtime_ns
    assert (
        import_file(path, tmp_path / "root", dataset="mine", backbone="clip", ids=ids, recipe={"pool": "cls"}) == store
    )
    assert store.stat().st_mtime_ns == before, "the same features are the same store"


@pytest.mark.parametrize("separator", ["_", "/"])
def test_groups_are_kept(tmp_path: Path, separator: str) -> None:
    arrays = {}
    for group, rows in (("train", slice(0, 4)), ("test", slice(4, 6))):
        arrays |= {f"{group}{separator}features": VECTORS[rows], f"{group}{separator}ids": IDS[rows]}
    path = _hdf5(tmp_path / "f.h5", arrays) if separator == "/" else _npz(tmp_path / "f.npz", **arrays)
    found = read_features(path)
    assert list(found) == ["train", "test"]
    assert found["test"].ids.tolist() == IDS[4:]


class Bomb:
    """Its unpickling would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def _objects(path: Path, fired: Path) -> Path:
    return _npz(path / "f.npz", features=VECTORS, ids=np.array([Bomb(fired)] * 6, object))


def _pickle_as_npy(path: Path, fired: Path) -> Path:
    (path / "f.npy").write_bytes(pickle.dumps(Bomb(fired)))
    return path / "f.npy"


def _pickle_named_pth(path: Path, fired: Path) -> Path:
    (path / "f.pth").write_bytes(pickle.dumps(Bomb(fired)))
    return path / "f.pth"


def _pickle(path: Path, fired: Path) -> Path:
    (path / "f.pkl").write_bytes(pickle.dumps(Bomb(fired)))
    return path / "f.pkl"


def _header_bomb(path: Path, fired: Path) -> Path:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**9, 4096)})
    with zipfile.ZipFile(path / "f.npz", "w") as archive:
        archive.writestr("features.npy", header.getvalue() + bytes(100))
    return path / "f.npz"


def _zip_bomb(path: Path, fired: Path) -> Path:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (20_000, 1000)})
    with zipfile.ZipFile(path / "f.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("features.npy", header.getvalue() + bytes(80_000_000))
    return path / "f.npz"


def _climbing_member(path: Path, fired: Path) -> Path:
    with zipfile.ZipFile(path / "f.npz", "w") as archive:
        archive.writestr("../features.npy", b"")
    return path / "f.npz"


def _climbing_id(path: Path, fired: Path) -> Path:
    return _npz(path / "f.npz", features=VECTORS, ids=["../../etc/passwd", *IDS[1:]])


def _foreign_member(path: Path, fired: Path) -> Path:
    with zipfile.ZipFile(path / "f.npz", "w") as archive:
        archive.writestr("run.py", b"print()")
    return path / "f.npz"


def _external_link(path: Path, fired: Path) -> Path:
    _hdf5(path / "other.h5", {"x": VECTORS})
    return _hdf5(path / "f.h5", {"ids": IDS, "features": h5py.ExternalLink("other.h5", "/x")})


def _huge_dataset(path: Path, fired: Path) -> Path:
    with h5py.File(path / "f.h5", "w") as file:
        file.create_dataset("features", (10**9, 64), "f4", chunks=(1024, 64))
    return path / "f.h5"


def _truncated(path: Path, fired: Path) -> Path:
    whole = _npz(path / "f.npz", features=VECTORS, ids=IDS)
    whole.write_bytes(whole.read_bytes()[:-40])
    return whole


def _no_ids(path: Path, fired: Path) -> Path:
    return _npz(path / "f.npz", features=VECTORS)


def _too_few_ids(path: Path, fired: Path) -> Path:
    return _npz(path / "f.npz", features=VECTORS, ids=IDS[:4])


def _repeated_ids(path: Path, fired: Path) -> Path:
    return _npz(path / "f.npz", features=VECTORS, ids=[*IDS[:5], IDS[0]])


def _whole_numbers(path: Path, fired: Path) -> Path:
    return _npz(path / "f.npz", features=np.arange(24).reshape(6, 4), ids=IDS)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_objects, "may run code"),
        (_pickle_as_npy, "may be a pickle"),
        (_pickle_named_pth, "weights_only=True"),
        (_pickle, "a pickle, which could run code"),
        (_header_bomb, "damaged or hostile"),
        (_zip_bomb, "zip bomb"),
        (_climbing_member, "leads out of it"),
        (_climbing_id, "'..'"),
        (_foreign_member, "not a numpy array"),
        (_external_link, "is a link"),
        (_huge_dataset, "is a bomb"),
        (_truncated, "not a whole npz"),
        (_no_ids, "has no ids"),
        (_too_few_ids, "one each is needed"),
        (_repeated_ids, "must be unique"),
        (_whole_numbers, "must be floats"),
    ],
)
def test_what_could_harm_is_refused_by_name_and_nothing_runs(
    tmp_path: Path, make: Callable[[Path, Path], Path], words: str
) -> None:
    fired, root = tmp_path / "fired", tmp_path / "root"
    path = make(tmp_path, fired)
    with pytest.raises(StoreInputError) as caught:
        import_file(path, root, dataset="mine", backbone="net")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not fired.exists()
    assert not list(root.rglob("*.h5"))


def test_names_and_missing_files_are_checked_too(tmp_path: Path) -> None:
    path = _npz(tmp_path / "f.npz", features=VECTORS, ids=IDS)
    with pytest.raises(StoreInputError, match=r"no '[.][.]'"):
        import_file(path, tmp_path / "root", dataset="../mine", backbone="net")
    with pytest.raises(StoreNotFoundError, match="no file"):
        import_file(tmp_path / "none.npz", tmp_path, dataset="d", backbone="b")
    (tmp_path / "f.xlsx").write_text("1,2")
    with pytest.raises(StoreInputError, match="npz, npy, HDF5, Parquet or CSV"):
        read_features(tmp_path / "f.xlsx")


@pytest.mark.parametrize(
    ("written", "kind"),
    [(["0", "1", "-1"], "i"), (["0.5", "1e3", ".5"], "f"), (["1_0", "2_0", "3_0"], "U"), (["1", "nan", "2"], "U")],
)
def test_labels_written_as_text_are_numbers_only_where_they_look_like_it(
    tmp_path: Path, written: Any, kind: str
) -> None:
    lines = [f"{name},{label},{i}.5,{i}" for i, (name, label) in enumerate(zip(IDS, written, strict=False))]
    (tmp_path / "f.csv").write_text("\n".join(["id,label,f0,f1", *lines]))
    assert read_features(tmp_path / "f.csv")["all"].labels.dtype.kind == kind
