# ruff: noqa: E501 - a table: one input a line reads best
"""More than a hundred hostile inputs, a line each: how it is made, the command it is given to, what must be said."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

STATS = "--backbone stats"
EXTRACT = f"extract --data {{here}}/images {STATS}"
NETWORK = "timm:test_resnet.r160_in1k"
AGAIN = f"extract --data {{here}}/new --backbone {NETWORK} --weights random --device cpu --precision fp32"
PROBE = "probe --data planted --resamples 20"
IMPORT = "cache import {here}/features.%s --data theirs --backbone other"
DEEP = b"[" * 200_000


class Code:
    """Unpickled, it would leave a file in the working folder."""

    def __reduce__(self):
        return (open, ("executed", "w"))


@dataclass(frozen=True)
class Hostile:
    """One hostile input.

    Attributes
    ----------
    kind, what
        Where it comes from, and what it is.
    words
        The command it is given to.
    make
        Writes it; gets the folder of the case, which holds a `cache` with a store and a run, and the run's folder.
    said
        What a line of the answer must hold.
    code
        Exit code: 1 or 2 for what is refused or left out by name, 0 for what is harmless, or passed over.
    """

    kind: str
    what: str
    words: str
    make: Callable[[Path, Path], None]
    said: str
    code: int = 1


def image(what: str, name: str, content: bytes | Callable[[Path], None], said: str = "") -> Hostile:
    """A file beside a good image; it is named as a bad image."""

    def make(here: Path, _run: Path) -> None:
        folder = here / "images"
        folder.mkdir()
        Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(folder / "good.png")
        if callable(content):
            content(folder / name)
        else:
            (folder / name).write_bytes(content)

    return Hostile("image", what, EXTRACT, make, said or name)


def into(kind: str, what: str, place: str, content: bytes | Callable[[Path], None], words: str, said: str = "",
         code: int = 1) -> Hostile:  # fmt: skip
    """A file put at a place of the case's folder, `{run}` or the folder of the store `{store}`."""

    def make(here: Path, run: Path) -> None:
        store = next((here / "cache" / "planted").glob("*/*.h5"))
        note = next((here / "cache" / ".measured").glob("*.json"))
        path = Path(place.format(here=here, run=run, store=store, cache=here / "cache", folder=store.parent, note=note))
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            path.unlink(missing_ok=True) if content in ODD else None
            content(path)
        else:
            path.write_bytes(content)

    return Hostile(kind, what, words, make, said, code)


def to_zero(path: Path) -> None:
    path.symlink_to("/dev/zero")


def to_itself(path: Path) -> None:
    path.symlink_to(path)


def socket_at(path: Path) -> None:
    import socket

    here = Path.cwd()
    os.chdir(path.parent)
    ear = socket.socket(socket.AF_UNIX)
    ear.bind(path.name)
    ear.close()
    os.chdir(here)


ODD = (os.mkfifo, to_zero, to_itself, socket_at)


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG that declares a size and holds what it is given."""
    import zlib

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", head), *chunks, (b"IEND", b"")]
    body = [
        struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data)) for tag, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def flat(width: int, height: int) -> Callable[[Path], None]:
    return lambda path: Image.new("L", (width, height)).save(path)


def of(array: np.ndarray, form: str, cut: int | None = None) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        Image.fromarray(array).save(path, form)
        path.write_bytes(path.read_bytes()[:cut])

    return make


def declared(form: str, side: int, room: int) -> Callable[[Path], None]:
    """A small picture whose head is changed to declare so many pixels a side, with room behind it to hold them."""

    def make(path: Path) -> None:
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path, form, lossless=True)
        content = bytearray(path.read_bytes())
        if form == "JPEG2000":  # the box of the picture's size, the codestream's size, that of its only tile
            struct.pack_into(">II", content, content.index(b"ihdr") + 4, side, side)
            start = content.index(b"\xff\x4f\xff\x51") + 8
            struct.pack_into(">II", content, start, side, side)
            struct.pack_into(">II", content, start + 16, side, side)
        else:  # 14 bits each, less one
            struct.pack_into("<I", content, content.index(b"VP8L") + 9, (side - 1) | (side - 1) << 14)
        path.write_bytes(bytes(content) + b"\0" * room)

    return make


def floats(side: int) -> Callable[[Path], None]:
    """A TIFF of zeros in 32-bit floats, which is as large as it says and takes no room on a disk."""

    def make(path: Path) -> None:
        tags = ((256, side), (257, side), (258, 32), (259, 1), (262, 1), (273, 200), (277, 1), (278, side),
                (279, 4 * side * side), (339, 3))  # fmt: skip
        entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
        with path.open("wb") as file:
            file.write(b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + b"\0" * 4)
            file.truncate(200 + 4 * side * side)

    return make


def dicom(deflated: int = 0, **changes: object) -> Callable[[Path], None]:
    """A DICOM file of 8 x 8 pixels with changes; deflated, with so many megabytes of zeros behind them."""

    def make(path: Path) -> None:
        import zlib

        from pydicom.dataset import Dataset, FileMetaDataset
        from pydicom.filereader import read_file_meta_info
        from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, generate_uid

        file = Dataset()
        file.file_meta = FileMetaDataset()
        file.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian if deflated else ExplicitVRLittleEndian
        file.SOPClassUID, file.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", generate_uid()
        file.Rows = file.Columns = 8
        file.BitsAllocated = file.BitsStored = 8
        file.HighBit, file.PixelRepresentation, file.SamplesPerPixel = 7, 0, 1
        file.PhotometricInterpretation, file.PixelData = "MONOCHROME2", b"\0" * 64
        for name, value in changes.items():
            setattr(file, name, value)
        file.save_as(path, enforce_file_format=True)
        if deflated:
            content, packer = path.read_bytes(), zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
            start = 144 + int(read_file_meta_info(path).FileMetaInformationGroupLength)
            packed = packer.compress(zlib.decompress(content[start:], -zlib.MAX_WBITS))
            packed += packer.compress(struct.pack("<HH2sHI", 0x7FE1, 0x1010, b"OB", 0, deflated << 20))
            packed += b"".join(packer.compress(b"\0" * (1 << 20)) for _ in range(deflated))
            path.write_bytes(content[:start] + packed + packer.flush())

    return make


def nifti(shape: tuple[int, ...], megabytes: int = 0, **header: object) -> Callable[[Path], None]:
    """A NIfTI file that declares a shape of float64, and holds so many megabytes of zeros."""

    def make(path: Path) -> None:
        import nibabel as nib

        found = nib.Nifti1Image(np.zeros((1, 1, 1)), np.eye(4)).header
        found.set_data_shape(shape)
        for name, value in header.items():
            found[name] = value
        with (gzip.open if path.suffix == ".gz" else open)(path, "wb", *([1] if path.suffix == ".gz" else [])) as file:
            file.write(found.binaryblock + b"\0" * 4)
            for _ in range(megabytes):
                file.write(b"\0" * (1 << 20))

    return make


def npz(**arrays: np.ndarray) -> Callable[[Path], None]:
    return lambda path: np.savez_compressed(path, **arrays)


def zipped(*members: tuple[str, bytes]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members:
                archive.writestr(name, content)

    return make


def npy(shape: object, descr: str = "|u1", data: bytes = b"") -> bytes:
    """An .npy file that declares what it is told to."""
    head = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(head)) + head.encode() + data


def hdf5(fill: Callable[[h5py.File], object]) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with h5py.File(path, "w") as file:
            fill(file)

    return make


def sparse(size: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(size)

    return make


def edited(**changes: object) -> Callable[[Path], None]:
    return lambda path: path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(bytes(content))


def lock(**changes: object) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        facts = {"host": "h", "pid": 1, "since": "s", "start": "1", "machine": "m", "token": "t", **changes}
        path.write_text(json.dumps(facts))
        os.utime(path, (1, 1))

    return make


def labels(kind: str) -> Callable[[Path], None]:
    """A table of labels for the planted store, half of whose classes are called by a hostile name."""

    def make(path: Path) -> None:
        rows = [f'{group}/{i},"{kind if i % 2 else "plain"}",{group}' for group, n in COUNTS.items() for i in range(n)]
        path.write_text("\n".join(["id,label,split", *rows]), newline="")

    return make


COUNTS = {"train": 60, "val": 40, "test": 40}
ZEROS = np.zeros((10, 8, 8), np.uint8)
FEATURES, IDS = np.zeros((20, 4), "f4"), np.array([f"i{i}" for i in range(20)])
LABELLED = f"{PROBE} --labels {{here}}/labels.csv"
WEIGHTS = "extract --data synthetic-binary --backbone squeezenet1_1 --weights {here}/weights.%s"
DATASET = f"extract --data {{here}}/data.npz {STATS}"
CSV = f"extract --data {{here}}/data.csv {STATS}"
PREDICT = "predict --run {run} --data planted"
COMPARE = "compare --data breastmnist"
VERIFY = "runs verify"


def images() -> list[Hostile]:
    """Files that call themselves images."""
    odd = zip(("a pipe", "a link to /dev/zero", "a link to itself", "a socket"), ODD, strict=True)
    found = [
        image(f"{what} called {name}", name, make) for what, make in odd for name in ("a.png", "a.dcm", "a.nii.gz")
    ]
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    return [
        *found,
        image("an empty file", "a.png", b""),
        image("random bytes", "a.png", bytes(range(256)) * 8),
        image("a PNG cut in half", "a.png", of(noise, "PNG", 4000)),
        image("a JPEG cut in half", "a.jpg", of(noise, "JPEG", 900)),
        image("a WebP cut in half", "a.webp", of(noise, "WEBP", 300)),
        image("a PNG of 9,000 x 9,000 equal pixels", "a.png", flat(9000, 9000)),
        image("a PNG that declares 100,000 x 100,000", "a.png", png(100_000, 100_000, (b"IDAT", b""))),
        image("a PNG that declares 0 x 0", "a.png", png(0, 0, (b"IDAT", b""))),
        image("a PNG with 100 MB of compressed text", "a.png", png(8, 8, (b"zTXt", b"k\0\0" + bomb(100)))),
        image("a web page", "a.png", b"<!DOCTYPE html><script>alert(1)</script>"),
        image("an SVG that names a file", "a.png", b'<svg xmlns:x="x"><image x:href="file:///etc/passwd"/></svg>'),
        image("a pointer of Git LFS", "a.png", b"version https://git-lfs.github.com/spec/v1\n"),
        image("a ZIP archive", "a.png", zipped(("x", b"y"))),
        image("a pickle", "a.png", pickle.dumps(Code())),
        image("a TIFF whose directory leads back to itself", "a.tif", b"II*\0" + struct.pack("<IHI", 8, 0, 8)),
        image("a JPEG 2000 of garbage", "a.jp2", b"\0\0\0\x0cjP  \r\n\x87\n" + b"\xff" * 200),
        image("a JPEG 2000 that declares 9,000 x 9,000 in one tile", "a.jp2", declared("JPEG2000", 9000, 1 << 20), "too large (decoding takes"),
        image("a WebP that declares 9,000 x 9,000", "a.webp", declared("WEBP", 9000, 1 << 20)),
        image("a TIFF of 9,400 x 9,400 floats", "z.tif", floats(9400)),
        image("deflated DICOM: 1.5 MB for 1.2 GB", "a.dcm", dicom(1200)),
        image("DICOM that declares 60,000 x 60,000", "a.dcm", dicom(Rows=60_000, Columns=60_000)),
        image("DICOM with 2^31 frames", "a.dcm", dicom(NumberOfFrames=2**31 - 1)),
        image("DICOM with fewer pixels than declared", "a.dcm", dicom(Rows=512)),
        image("DICOM cut after its mark", "a.dcm", b"\0" * 128 + b"DICM\x02\0"),
        image("DICOM of sequences 5,000 deep", "a.dcm",
              b"\0" * 128 + b"DICM" + (b"\x08\0\x15\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 5000)),
        image("NIfTI: 1 MB for 1 GB", "a.nii.gz", nifti((500, 500, 500), 954)),
        image("NIfTI that declares 30,000^3", "a.nii.gz", nifti((30_000, 30_000, 30_000))),
        image("NIfTI of five axes", "a.nii", nifti((2, 2, 2, 2, 2))),
        image("NIfTI with an infinite slope", "a.nii", nifti((2, 2, 2), 1, scl_slope=np.inf)),
        image("gzip cut in half", "a.nii.gz", gzip.compress(b"\0" * 10_000)[:20]),
    ]  # fmt: skip


def bomb(megabytes: int) -> bytes:
    """Zeros, compressed."""
    import zlib

    packer = zlib.compressobj(9)
    return b"".join(packer.compress(b"\0" * (1 << 20)) for _ in range(megabytes)) + packer.flush()


def datasets() -> list[Hostile]:
    """npz files and tables."""

    def of_npz(what: str, content: bytes | Callable[[Path], None], said: str = "data.npz") -> Hostile:
        return into("npz", what, "{here}/data.npz", content, DATASET, said)

    def table(
        what: str, content: bytes | Callable[[Path], None], said: str, code: int = 1, words: str = LABELLED
    ) -> Hostile:
        return into("table", what, "{here}/labels.csv", content, words, said, code)

    good = {f"{group}_labels": np.zeros((10, 1), np.uint8) for group in ("train", "val", "test")}
    return [
        of_npz("no archive", b"nothing"),
        of_npz("a pipe", os.mkfifo),
        of_npz("objects, which are pickles", lambda path: np.savez(path, train_images=np.array([Code()], object))),
        of_npz("a row of 400 MB", npz(train_images=np.zeros((1, 20_000, 20_000), np.uint8))),
        of_npz("a shape larger than what is there", zipped(("train_images.npy", npy((10**6, 28, 28))))),
        of_npz("a shape below zero", zipped(("train_images.npy", npy((-1, 28, 28))))),
        of_npz("a header of nested brackets", zipped(("train_images.npy", npy("(" * 50)))),
        of_npz("labels that are NaN", npz(**good | {"train_labels": np.full((10, 1), np.nan)}, train_images=ZEROS,
                                          val_images=ZEROS, test_images=ZEROS), "label"),
        table("a pipe", os.mkfifo, "a pipe"),
        table("a link to /dev/zero", to_zero, "a device"),
        table("a link to itself", to_itself, "labels.csv"),
        table("random bytes", bytes(range(256)), "UTF-8"),
        table("300 MB of zeros", sparse(300 << 20), "larger than"),
        table("a cell of 10 MB", b"id,label,split\n" + b"a" * (10 << 20) + b",x,train\n", "labels.csv"),
        table("a class that is a formula", labels("=HYPERLINK(0)"), "", 0),
        table("a class with an escape sequence", labels("\x1b[2J\x1b]0;x\x07"), "", 0),
        table("a class that turns the writing", labels("gnp.\u202etxt"), "", 0),
        table("a class with a line break", labels("a\nmedfeat: ok"), "", 0),
        table("paths that climb out", b"path,label\n../../etc/passwd,a\n", "labels.csv", 1,
              f"extract --data {{here}}/labels.csv {STATS}"),
    ]  # fmt: skip


def imports() -> list[Hostile]:
    """Features of other tools, and weights."""

    def features(what: str, end: str, content: bytes | Callable[[Path], None], said: str, more: str = "") -> Hostile:
        return into("import", what, f"{{here}}/features.{end}", content, f"{IMPORT % end}{more}", said)

    def ids(what: str, end: str, content: bytes | Callable[[Path], None], said: str) -> Hostile:
        words = f"cache import {{here}}/features.npy --data a --backbone b --ids {{here}}/ids.{end}"
        one = into("import", what, f"{{here}}/ids.{end}", content, words, said)
        return replace(one, make=lambda here, run: (np.save(here / "features.npy", FEATURES), one.make(here, run)))

    def weights(what: str, end: str, content: bytes | Callable[[Path], None], said: str = "weights") -> Hostile:
        return into("weights", what, f"{{here}}/weights.{end}", content, WEIGHTS % end, said)

    def torch_zip(path: Path) -> None:
        zipped(("archive/data.pkl", pickle.dumps(Code())), ("archive/version", b"3\n"))(path)

    plain = npz(embeddings=FEATURES, ids=IDS)
    long = np.array(["a" * 3_000_000, *IDS[1:].tolist()], object)
    reserved = [
        into("import", f"a dataset called {name}", "{here}/features.npz", plain,
             f"cache import {{here}}/features.npz --data {name} --backbone b", "choose another")
        for name in ("runs", "digests.json", "con")
    ]  # fmt: skip
    return [
        features("objects, which are pickles", "npy", lambda path: np.save(path, np.array([Code()], object)), "features.npy"),
        features("a pickle with the name of a torch file", "pt", pickle.dumps(Code()), "plain tensors"),
        features("a torch file that calls a function", "pt", torch_zip, "plain tensors"),
        features("an archive whose member climbs out", "npz", zipped(("../../x.npy", npy((1,), data=b"1"))), "leads out"),
        features("1.2 GB in 1.2 MB", "npz", npz(embeddings=np.zeros((300_000, 1000), "f4"), ids=IDS), "bomb"),
        features("a link out of the file", "h5", hdf5(lambda f: f.__setitem__("x", h5py.ExternalLink("/etc/passwd", "/"))), "link"),
        features("values in another file", "h5", hdf5(lambda f: f.create_dataset("embeddings", (4,), "u1", external=[("/etc/passwd", 0, 4)])), "another file"),
        features("a dataset of 10 TB", "h5", hdf5(lambda f: f.create_dataset("embeddings", (10**9, 2500), "f4", chunks=(1, 2500))), "bomb"),
        features("an id of 3 MB among 20", "h5", hdf5(lambda f: (f.create_dataset("embeddings", data=FEATURES), f.create_dataset("ids", data=long, dtype=h5py.string_dtype()))), "at most 1000"),
        features("an id that climbs out", "npz", npz(embeddings=FEATURES, ids=np.array(["../../x", *IDS[1:]])), ".."),
        features("a pipe", "npz", os.mkfifo, "no file"),
        *reserved,
        ids("ids 200,000 lists deep", "json", DEEP, "ids.json"),
        ids("an id of 10 MB in text", "txt", "\n".join(["a" * 10_000_000, *IDS[1:]]).encode(), "at most 1000"),
        ids("an id of 10 MB in JSON", "json", json.dumps(["a" * 10_000_000, *IDS[1:]]).encode(), "at most 1000"),
        ids("an id of 10 MB in a table", "csv", "\n".join(["id", "a" * 10_000_000, *IDS[1:]]).encode(), "ids.csv"),
        ids("a pipe for ids", "txt", os.mkfifo, "ids.txt"),
        ids("a link to /dev/zero for ids", "txt", to_zero, "ids.txt"),
        weights("a pickle that calls a function", "pt", pickle.dumps(Code())),
        weights("a torch file that calls a function", "pth", torch_zip),
        weights("a header of 2^60 bytes", "safetensors", struct.pack("<Q", 2**60) + b"{}"),
        weights("a header that names bytes beyond the file", "safetensors", safetensors('{"a":{"dtype":"F32","shape":[99999],"data_offsets":[0,399996]}}')),
        weights("a header 100,000 objects deep", "safetensors", safetensors('{"a":' * 100_000)),
        weights("a pipe", "pt", os.mkfifo),
        weights("a link to /dev/zero", "pt", to_zero),
        weights("a TorchScript archive", "pt", zipped(("x/constants.pkl", b""), ("x/data.pkl", b""))),
    ]  # fmt: skip


def safetensors(header: str) -> bytes:
    return struct.pack("<Q", len(header)) + header.encode()


def kept() -> list[Hostile]:
    """What lies in a cache: runs, stores, notes, tasks, locks."""

    def run(what: str, name: str, content: bytes | Callable[[Path], None], said: str, words: str = COMPARE, code: int = 0,
            old: bool = False) -> Hostile:  # fmt: skip
        put = into("run", what, f"{{run}}/{name}", content, words, said, code)

        def make(here: Path, folder: Path) -> None:
            put.make(here, folder)
            if old:
                (folder / "digests.json").unlink()

        return Hostile("run", f"{what}{', without digests' if old else ''}", words, make, said, code)

    def store(
        what: str, place: str, content: bytes | Callable[[Path], None], words: str, said: str, code: int
    ) -> Hostile:
        return into("cache", what, place, content, words, said, code)

    def boast(path: Path) -> None:
        facts = json.loads(path.read_text())
        facts["test"]["auc"]["value"] = 0.999
        path.write_text(json.dumps(facts))

    bomb_of_scores = npz(
        **{f"{part}_{name}": np.zeros(10_000_000) for part in ("val", "test") for name in ("scores", "labels")}
    )
    gone = "cache ls"
    hidden = "{folder}/.0123456789ab"
    return [
        run("an AUC of .999", "run.json", boast, "changed", VERIFY, 1),
        run("an AUC of .999", "run.json", boast, "changed"),
        run("an AUC of .999, for reuse", "run.json", boast, "changed", PROBE),
        run("other scores", "scores.npz", npz(val_scores=ZEROS), "changed", PREDICT, 1),
        run("40 million scores in 300 kB", "scores.npz", bomb_of_scores, "compressed", PREDICT, 1, old=True),
        run("scores cut in half", "scores.npz", cut, "scores.npz", PREDICT, 1, old=True),
        run("a head that is a pickle", "model/head.skops", pickle.dumps(Code()), "changed", PREDICT, 1),
        run("a head that is a pickle", "model/head.skops", pickle.dumps(Code()), "not opened", PREDICT, 1, old=True),
        run("lists 200,000 deep", "run.json", DEEP, "nested deeper", COMPARE, 0, old=True),
        run("an unknown field", "run.json", edited(colour="red"), "unknown field", COMPARE, 0, old=True),
        run("text for a number", "run.json", edited(size="28"), "must be a whole number", COMPARE, 0, old=True),
        run("a list for an object", "run.json", edited(store=[]), "must be an object", COMPARE, 0, old=True),
        run("100 MB", "run.json", sparse(100 << 20), "larger than", COMPARE, 0, old=True),
        run("a pipe", "run.json", os.mkfifo, "a pipe", COMPARE, 0),
        run("digests that are a list", "digests.json", b"[]", "nothing vouches", COMPARE, 0),
        run("digests 200,000 deep", "digests.json", DEEP, "nothing vouches", COMPARE, 0),
        run("a probe of another recipe", "model/probe.json", b"{}", "no saved probe", PREDICT, 1, old=True),
        store("a store cut in half", "{store}", cut, gone, "store", 1),
        store("a store with one changed byte", "{store}", flipped, "cache verify", "", 1),
        store("a pipe called a store", "{folder}/0123456789ab.h5", os.mkfifo, gone, "a pipe", 1),
        store("/dev/zero called a store", "{folder}/0123456789ab.h5", to_zero, gone, "a device", 1),
        store("a link to itself called a store", "{folder}/0123456789ab.h5", to_itself, gone, "0123456789ab", 1),
        store("a manifest 200,000 deep", f"{hidden}.parts/manifest.json", DEEP, "cache gc --yes", "", 0),
        store("a part of random bytes", f"{hidden}.parts/0.part", bytes(range(256)), "cache gc --yes", "", 0),
        store("a lock with text for a process", f"{hidden}.lock", lock(pid="12"), "cache gc --yes", "", 0),
        store("a lock of process -1", f"{hidden}.lock", lock(pid=-1), "cache gc --yes", "", 0),
        store("a lock 200,000 deep", f"{hidden}.lock", DEEP, "cache gc --yes", "", 0),
        store("headers 200,000 deep", "{cache}/headers.json", DEEP, gone, "", 0),
        store("digests of files 200,000 deep", "{cache}/digests.json", DEEP, gone, "", 0),
        store("a task 200,000 deep", "{cache}/planted/tasks/mine.json", DEEP, f"{PROBE} --task mine", "mine.json", 1),
        store("a task that is a list", "{cache}/planted/tasks/mine.json", b"[]", f"{PROBE} --task mine", "mine.json", 1),
        store("versions 200,000 deep", "{cache}/planted/versions.json", DEEP, gone, "", 0),
    ]  # fmt: skip


def measured() -> list[Hostile]:
    """Notes of what was measured of networks: of the one that is to run, on this machine."""

    def note(what: str, content: bytes | Callable[[Path], None]) -> Hostile:
        return into("cache", f"measurements: {what}", "{note}", content, AGAIN, "measured anew", 0)

    return [
        note("cut in half", cut),
        note("200,000 lists deep", DEEP),
        note("a list", b"[]"),
        note("a list for an object", edited(looks=[])),
        note("true for a count", edited(batch=True)),
        note("a count of 4,000 digits", edited(batch=10**3999)),
        note("a batch of 2^60 images", edited(batch=2**60)),
        note("seconds below zero", edited(looks={"fp32": -1})),
        note("100 MB", sparse(100 << 20)),
        note("a pipe", os.mkfifo),
        note("a link to /dev/zero", to_zero),
        note("a link to itself", to_itself),
    ]


def every() -> list[Hostile]:
    """All of them."""
    return [*images(), *datasets(), *imports(), *kept(), *measured()]
