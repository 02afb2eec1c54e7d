"""What a person gives as data is found under the name that extraction gave it."""

from pathlib import Path

import pytest

from medfeat.errors import UsageError
from medfeat.workflows.asking.given_names import asked_datasets


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "My Scans (2)").mkdir()
    for name in ("scans.npz", "head.nii.gz", "bloodmnist_224.npz", "bloodmnist"):
        (tmp_path / name).touch()


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("bloodmnist", "bloodmnist"),  # a registered name, whatever lies here
        ("scans", "scans"),
        ("scans.npz", "scans"),
        ("./scans.npz", "scans"),
        ("head.nii.gz", "head"),
        ("./My Scans (2)", "My-Scans-2"),
        ("./My Scans (2)/", "My-Scans-2"),
        ("./bloodmnist_224.npz", "bloodmnist"),
        ("gone/lesions.csv", "lesions"),
        ("not-there.npz", "not-there.npz"),
    ],
)
def test_a_path_goes_by_the_name_its_images_were_stored_under(here, given, name):
    assert asked_datasets(given) == (name,)


def test_a_program_may_give_a_path_as_a_path(here):
    assert asked_datasets(Path("scans.npz")) == ("scans",)
    assert asked_datasets([Path("scans.npz"), "bloodmnist"]) == ("scans", "bloodmnist")
    assert asked_datasets(Path("My Scans (2)").absolute()) == ("My-Scans-2",)


def test_a_list_of_nothing_is_a_mistake(here):
    for nothing in ("", " , ", []):
        with pytest.raises(UsageError, match="names nothing"):
            asked_datasets(nothing)


def test_a_list_is_named_one_by_one_and_all_means_any(here):
    assert asked_datasets("synthetic,scans.npz") == ("synthetic", "scans")
    assert asked_datasets("all") is None
    assert asked_datasets(None) is None
