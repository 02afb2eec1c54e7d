"""Files of weights under any name: what they are, their first bytes tell; what cannot be read is named."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from medfeat.backbones.weights.weights_file import read_state
from medfeat.backbones.weights.weights_kinds import kind_of
from medfeat.errors import WeightsError

TENSORS = {"conv.weight": torch.arange(6.0).reshape(2, 3)}


def torch_bytes(**options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save({"state_dict": TENSORS}, stream, **options)
    return stream.getvalue()


def safetensors_bytes() -> bytes:
    from safetensors.torch import save

    return save(TENSORS)


READ = {
    "torch": torch_bytes,
    "torch before 1.6": lambda: torch_bytes(_use_new_zipfile_serialization=False),
    "safetensors": safetensors_bytes,
    "torch, gzipped": lambda: gzip.compress(torch_bytes()),
    "torch before 1.6, gzipped": lambda: gzip.compress(torch_bytes(_use_new_zipfile_serialization=False)),
    "safetensors, gzipped": lambda: gzip.compress(safetensors_bytes()),
}


@pytest.mark.parametrize("name", ["net.pth", "net.PTH", "net.bin", "net.safetensors", "net.pth.tar", "net", "net.ckpt"])
@pytest.mark.parametrize("kind", list(READ))
def test_a_file_is_read_by_what_it_is_and_not_by_its_name(tmp_path: Path, kind: str, name: str) -> None:
    (tmp_path / name).write_bytes(READ[kind]())
    held = read_state(tmp_path / name)
    assert torch.equal(held["conv.weight"], TENSORS["conv.weight"])


def tar_bytes() -> bytes:
    import tarfile

    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        info = tarfile.TarInfo("storages")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"abcd"))
    return stream.getvalue()


def zip_bytes(*names: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return stream.getvalue()


def hdf5_bytes() -> bytes:
    import h5py

    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        file["a"] = [1]
    return stream.getvalue()


def script_bytes() -> bytes:
    stream = io.BytesIO()
    torch.jit.save(torch.jit.trace(torch.nn.Linear(1, 1), torch.zeros(1, 1)), stream)
    return stream.getvalue()


def torch_list() -> bytes:
    stream = io.BytesIO()
    torch.save([torch.zeros(1)], stream)
    return stream.getvalue()


REFUSED = {
    "is empty": b"",
    "a page of the web": b"\n<!DOCTYPE html><html><body>404</body></html>",
    "a page of the web ": b"<HTML><head>",
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
    "a text in JSON": b'{"error": "Repository not found"}',
    "a tar archive": tar_bytes,
    "an HDF5 file": hdf5_bytes,
    "an ONNX model": b"\x08\x08\x12\x07pytorch\x1a\x052.1.0" + b"\0" * 64,
    "a NumPy array": b"\x93NUMPY\x01\0v\0{'descr'",
    "an archive of NumPy arrays": lambda: zip_bytes("params/kernel.npy"),
    "a zip archive of other files": lambda: zip_bytes("model/weights.h5"),
    "compressed by xz": b"\xfd7zXZ\x00\0\0\0",
    "not a whole gzip file": lambda: gzip.compress(torch_bytes())[:-20],
    "a page of the web  ": lambda: gzip.compress(b"<html>"),
    "begins like none that medfeat reads": b"weights",
    "not a readable safetensors file": struct.pack("<Q", 400) + b'{"a": 1}',
    "not a readable weights file": b"\x80\x02}q\x00.",
    "holds no named tensors": torch_list,
}


@pytest.mark.parametrize("what", list(REFUSED))
@pytest.mark.parametrize("name", ["net.pth", "net.safetensors"])
def test_a_file_of_another_kind_is_named_in_one_line(tmp_path: Path, what: str, name: str) -> None:
    content = REFUSED[what]
    (tmp_path / name).write_bytes(content() if callable(content) else content)
    with pytest.raises(WeightsError, match=rf"{name} .*{what.strip()}") as error:
        read_state(tmp_path / name)
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.torch.jit")
def test_a_torchscript_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "net.pt").write_bytes(script_bytes())
    with pytest.raises(WeightsError, match="a TorchScript archive, which holds code"):
        read_state(tmp_path / "net.pt")


def test_a_file_cut_anywhere_is_one_line(tmp_path: Path) -> None:
    for make in READ.values():
        whole = make()
        for share in (0.05, 0.3, 0.6, 0.9, 0.99):
            (tmp_path / "cut.pth").write_bytes(whole[: int(len(whole) * share)])
            with pytest.raises(WeightsError, match=r"cut.pth") as error:
                read_state(tmp_path / "cut.pth")
            assert "\n" not in str(error.value)


def test_a_brace_behind_a_length_of_no_header_is_not_safetensors():
    assert kind_of(struct.pack("<Q", (1 << 32) - 1) + b"{") == "safetensors"
    for length in (1 << 32, (1 << 33) - 1):
        with pytest.raises(WeightsError):
            kind_of(struct.pack("<Q", length) + b"{")
