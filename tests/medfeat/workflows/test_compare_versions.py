"""Versions of own images are other tests: each has its own table, and its own name everywhere."""

from __future__ import annotations

import pytest

from medfeat.errors import UsageError
from medfeat.types import SilentProgress
from medfeat.workflows.asking.data_options import DataOptions
from medfeat.workflows.compare import compare
from medfeat.workflows.looking.subject import Subject
from medfeat.workflows.probe import probe
from medfeat.workflows.report import write_report

from .embedded import embed
from .test_grown_split import folder_of


@pytest.fixture
def grown(counting, cache_root, tmp_path):
    """Two versions of a folder with a run each; the folder."""
    for count in (40, 60):
        folder = folder_of(tmp_path / "mine", range(count))
        embed(cache_root, folder)
        probe("mine", "counting", resamples=0, head="linear", cache_dir=cache_root)
    return folder


def test_each_version_has_a_table_and_a_caption_of_its_own(grown, cache_root):
    for data in ("mine", None):
        found = compare(data, cache_dir=cache_root)
        assert [(one.dataset, len(one.runs)) for one in found.comparisons] == [("mine@1", 1), ("mine@2", 1)]
        first, second = (table for table in found.tables() if "1 run," in table.title or "1 run " in table.title)
        assert first.title.startswith("mine@1") and "test-set uncertainty of 8 samples" in first.notes[-1]
        assert second.title.startswith("mine@2") and "test-set uncertainty of 12 samples" in second.notes[-1]


def test_one_version_can_be_named(grown, cache_root):
    [one] = compare("mine@1", cache_dir=cache_root).comparisons
    assert one.runs[0].test.n == 8
    [one] = compare(str(grown), cache_dir=cache_root).comparisons
    assert one.dataset == "mine@2"
    with pytest.raises(UsageError, match="no version 3 of mine"):
        compare("mine@3", cache_dir=cache_root)


def test_the_page_of_results_names_versions_by_their_number(grown, cache_root, tmp_path):
    write_report(out=tmp_path / "page.html", cache_dir=cache_root)
    page = (tmp_path / "page.html").read_text()
    assert "mine@1" in page and "mine@2" in page and "mine (" not in page


def test_a_version_whose_images_are_gone_does_not_show_those_of_another(grown, cache_root):
    def looked(data):
        return Subject.of(data, DataOptions.of(), cache_root, None, SilentProgress())

    first, second = looked("mine@1"), looked("mine@2")
    assert len(first.listed.ids) == 40 and len(second.listed.ids) == 60
    assert any("where the images of mine@1 were, mine@2 are now" in note for note in first.notes)
    assert (
        dict(zip(first.listed.ids.tolist(), first.listed.split.tolist(), strict=True)).items()
        <= dict(zip(second.listed.ids.tolist(), second.listed.split.tolist(), strict=True)).items()
    )
