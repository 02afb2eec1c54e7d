"""Where a compiler leaves its work: in the user's own folder, named only while it compiles, trusted when it is safe."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch

from medfeat.extraction.network import compiling
from medfeat.extraction.network.compiling import CompiledNetwork, compiler_cache
from medfeat_cache.root import compiled_folder

CPU = torch.device("cpu")
PLACE = "TORCHINDUCTOR_CACHE_DIR"


@pytest.fixture
def seen(monkeypatch, tmp_path):
    """Places that the environment named at each pass of a network, which is not compiled here."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    torch._dynamo.reset()  # torch names its own place when it first looks for one
    monkeypatch.delenv(PLACE, raising=False)
    places = []

    def compile_nothing(module, **options):
        assert options == {"dynamic": False, "options": {"freezing": True}}

        def run(pixels):
            places.append(os.environ.get(PLACE))
            return (pixels,)

        return run

    monkeypatch.setattr(torch, "compile", compile_nothing)
    return places


def test_the_place_is_set_while_a_shape_is_compiled_and_given_back(seen):
    network = CompiledNetwork(torch.nn.Identity(), CPU)
    before = os.environ.get(PLACE)  # torch itself may have named its own
    for size in (8, 8, 4, 8):
        network(torch.zeros(size, 3))
    ours = [str(place).startswith(str(compiled_folder())) for place in seen]
    assert ours == [True, False, True, False]
    assert os.environ.get(PLACE) == before


def test_it_is_given_back_where_compiling_fails(seen, monkeypatch):
    def fails(pixels):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(torch, "compile", lambda module, **_: fails)
    network = CompiledNetwork(torch.nn.Identity(), CPU)
    before = os.environ.get(PLACE)
    with pytest.raises(RuntimeError, match="no compiler"):
        network(torch.zeros(1))
    assert os.environ.get(PLACE) == before


def test_a_place_that_a_program_named_is_kept_and_the_one_that_torch_names_is_not(seen, monkeypatch, tmp_path):
    monkeypatch.setenv(PLACE, str(tmp_path / "theirs"))
    CompiledNetwork(torch.nn.Identity(), CPU)(torch.zeros(1))
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    monkeypatch.setenv(PLACE, default_cache_dir())
    CompiledNetwork(torch.nn.Identity(), CPU)(torch.zeros(1))
    assert seen[0] == str(tmp_path / "theirs")
    assert seen[1].startswith(str(compiled_folder()))
    assert os.environ[PLACE] == default_cache_dir()


def test_a_cache_that_was_taken_away_and_begun_again_has_another_name(seen):
    assert compiler_cache(CPU) == ""
    CompiledNetwork(torch.nn.Identity(), CPU)(torch.zeros(1))
    first = compiler_cache(CPU)
    CompiledNetwork(torch.nn.Identity(), CPU)(torch.zeros(1))
    assert first == compiler_cache(CPU) != ""
    shutil.rmtree(seen[0])
    assert compiler_cache(CPU) == ""
    CompiledNetwork(torch.nn.Identity(), CPU)(torch.zeros(1))
    assert compiler_cache(CPU) not in ("", first)


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="rights of POSIX")
@pytest.mark.parametrize("what", ["others may write", "others may write above", "a link", "somebody else's"])
def test_code_that_somebody_else_could_have_written_is_not_run(seen, monkeypatch, tmp_path, what):
    CompiledNetwork(torch.nn.Identity(), CPU)(torch.zeros(1))
    ours = compiled_folder() / Path(seen.pop()).name
    assert (ours.stat().st_mode | compiled_folder().stat().st_mode) & 0o077 == 0
    if what == "others may write":
        ours.chmod(0o777)
    elif what == "others may write above":
        compiled_folder().chmod(0o777)
        monkeypatch.setattr(compiling.Path, "chmod", lambda self, mode: None)
    elif what == "a link":
        ours.rename(tmp_path / "elsewhere")
        ours.symlink_to(tmp_path / "elsewhere")
    else:
        monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert compiler_cache(CPU) == ""
    CompiledNetwork(torch.nn.Identity(), CPU)(torch.zeros(1))
    assert seen == [None]  # torch's own place


def test_another_machine_has_another_folder(seen, monkeypatch):
    for flags in ("avx2", "avx2 avx512f"):
        monkeypatch.setattr(compiling, "machine_facts", lambda device, flags=flags: {"flags": flags})
        CompiledNetwork(torch.nn.Identity(), CPU)(torch.zeros(1))
    assert seen[0] != seen[1]


def test_without_a_home_torch_keeps_its_own_place(seen, monkeypatch):
    monkeypatch.setattr(compiling, "compiled_folder", lambda: None)
    CompiledNetwork(torch.nn.Identity(), CPU)(torch.zeros(1))
    assert seen == [None] and compiler_cache(CPU) == ""
