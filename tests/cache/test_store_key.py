"""Identity is content: the recipe is the key, the names only say where to look."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from medfeat_cache import StoreInputError, differing_fields, recipe_digest, resolve_root, slug, store_path

RECIPE = {"dataset": "toy", "weights_digest": "blake2b:aa", "pool": "mean", "size": 28, "mean": [0.5], "layer": None}


@pytest.mark.parametrize("field", list(RECIPE))
def test_any_field_of_the_recipe_makes_another_store(field: str) -> None:
    assert recipe_digest({**RECIPE, field: "something else"}) != recipe_digest(RECIPE)


def test_neither_order_nor_tuples_change_the_key() -> None:
    assert recipe_digest({**dict(reversed(RECIPE.items())), "mean": (0.5,)}) == recipe_digest(RECIPE)


def test_the_key_stays_the_same_for_ever() -> None:
    assert recipe_digest({"a": 1, "b": "é"}) == "7b849ffa24c051b8da01330e0dd5a08ff31fc01900edfae189346e47c39f9c7a"


@pytest.mark.parametrize("value", [float("nan"), object(), {1, 2}])
def test_a_recipe_holds_plain_values_only(value: object) -> None:
    with pytest.raises(StoreInputError, match="plain JSON"):
        recipe_digest({"value": value})


def test_differing_fields_name_both_values() -> None:
    assert differing_fields(RECIPE, {**RECIPE, "size": 224}) == {"size": (28, 224)}


def test_paths_are_spelled_safely() -> None:
    digest = recipe_digest(RECIPE)
    path = store_path(Path("/r"), "toy", "hf:facebook/dinov2-base", digest)
    assert path == Path("/r/toy/hf-facebook-dinov2-base") / f"{digest[:12]}.h5"


@pytest.mark.parametrize("name", ["..", "../x", "a/../../b", "a\\..\\b", "", ".", "///"])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(StoreInputError, match="must hold letters"):
        slug(name)


@pytest.mark.parametrize("digest", ["", "abc", "../../../../etc", "A" * 12])
def test_a_digest_must_be_one(digest: str) -> None:
    with pytest.raises(StoreInputError, match="hex digits"):
        store_path(Path("/r"), "toy", "net", digest)


def test_the_root_is_asked_for_or_from_the_environment_or_the_users_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MEDFEAT_CACHE", str(tmp_path / "env"))
    assert resolve_root(tmp_path / "asked") == tmp_path / "asked"
    assert resolve_root(None) == tmp_path / "env"
    monkeypatch.delenv("MEDFEAT_CACHE")
    assert resolve_root(None).name == "medfeat"
    assert not list(tmp_path.iterdir()), "asking for the root creates nothing"


def test_catching_a_store_error_imports_neither_numpy_nor_h5py_nor_torch() -> None:
    code = "import sys, medfeat_cache as m; m.StoreError; print({'numpy', 'h5py', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_every_public_name_is_there() -> None:
    import medfeat_cache

    assert all(getattr(medfeat_cache, name) is not None for name in medfeat_cache.__all__)
    assert dir(medfeat_cache) == sorted(medfeat_cache.__all__)
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = medfeat_cache.nothing_like_it
