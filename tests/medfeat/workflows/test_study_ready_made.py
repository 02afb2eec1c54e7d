"""The studies that come with medfeat plan as they are, and run on made-up files of the same form."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from medfeat.datasets.medmnist_table import medmnist_sets
from medfeat.evaluation.compare import published
from medfeat.evaluation.compare.published import COURSE_DATASETS, COURSE_SYSTEMS
from medfeat.extraction.network import embedding_length
from medfeat.workflows import extract
from medfeat.workflows.study import checked_cells, plan, study
from medfeat.workflows.studying import rates, standing
from medfeat.workflows.studying.cells import cells_of
from medfeat.workflows.studying.notes import Note, said
from medfeat.workflows.studying.study_file import Study, ready_made, study_named
from page_arena import stand_ins


def embedded(name):
    return [cell.options for cell in checked_cells(study_named(name)) if cell.kind == "embedding"]


@pytest.fixture
def home(tmp_path):
    """Small networks and few images where official ones would lie."""
    with stand_ins(tmp_path) as patch:
        patch.setenv("MEDFEAT_CACHE", str(tmp_path / "cache"))
        yield tmp_path


def test_there_are_three():
    assert ready_made() == ["all", "course", "medmnist+"]


def test_the_course_has_its_systems_and_its_sets():
    asked = embedded("course")
    assert {one["data"] for one in asked} == set(COURSE_DATASETS)
    networks = {one["backbone"] for one in asked}
    assert len(networks) == 11 and all(networks & set(ours) for ours in COURSE_SYSTEMS.values())


def test_the_others_have_every_set_at_every_size():
    flat = {name: set(one.files) for name, one in medmnist_sets().items() if one.ndim == 2}
    everything = {name: set(one.files) for name, one in medmnist_sets().items()}
    for name, sets, networks in (("medmnist+", flat, 10), ("all", everything, 16)):
        found: dict = {}
        for one in embedded(name):
            found.setdefault(one["data"], set()).add(one["size"])
        assert found == sets
        assert len({one["backbone"] for one in embedded(name)}) == networks


@pytest.mark.parametrize("name", ["course", "medmnist+"])
def test_it_is_planned_without_its_data(name, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    planned = plan(name, cache_dir=tmp_path / "cache")
    assert {one.standing.state for one in planned.cells} == {"data not here"}
    assert "not known" in planned.time() and planned.disk_bytes > 0
    assert not (tmp_path / "cache").exists()


def test_a_plan_asks_once_for_each_embedding_and_builds_each_network_once(tmp_path, monkeypatch):
    built, asked = [], []

    def counted(entry, views, access):
        built.append(entry.info.name)
        return None, SimpleNamespace(dims=(512,))

    monkeypatch.setattr(embedding_length, "_known", {}, raising=False)
    monkeypatch.setattr("medfeat.backbones.loading.skeleton", counted)
    monkeypatch.setattr(
        standing, "plan", lambda wanted, **more: asked.append(wanted.data) or extract.plan(wanted, **more)
    )
    text = (
        'data = ["adrenalmnist3d", "organmnist3d"]\nsize = [28, 64]\nbackbone = ["resnet18", "vgg16"]\nhead = "all"\n'
    )
    planned = plan(Study.of("volumes", text), cache_dir=tmp_path / "cache", data_root=tmp_path)
    embeddings = [one for one in planned.cells if one.cell.kind == "embedding"]
    assert len(planned.cells) > 12 * len(embeddings) == 12 * 8  # every head of each
    assert len(asked) == 8 and sorted(built) == ["resnet18", "vgg16"]
    volumes = medmnist_sets()["adrenalmnist3d"].counts
    assert embeddings[0].disk_bytes == 4 * 512 * 3 * sum(volumes.values())  # of three axes


def test_what_a_head_does_is_worked_out_once_for_all_its_cells(monkeypatch):
    text = 'data = ["breastmnist", "organmnist3d"]\nsize = [28, 64]\nbackbone = ["stats", "pixels"]\nhead = "all"\n'
    cells = [cell for cell in cells_of(Study.of("heads", text)) if cell.options.get("head") == "knn"]
    worked_out = []
    monkeypatch.setattr(rates, "head_identity", lambda name: worked_out.append(name) or f"what {name} does")
    told = Note("probe", said(cells[0]), unsuited="it has one class", head="what knn does")
    assert [rates.Rates([], "here").foresees_unsuited(cell) for cell in cells] == [False] * 8
    assert worked_out == []
    known = rates.Rates([told], "here")
    # of the same task, from embeddings of the same form
    assert [known.foresees_unsuited(cell) for cell in cells] == [cell.data == cells[0].data for cell in cells]
    assert worked_out == ["knn"]


@pytest.mark.parametrize(
    "name", ["course", *(pytest.param(name, marks=pytest.mark.slow) for name in ("medmnist+", "all"))]
)
def test_it_runs_on_made_up_files_of_the_same_form(name, home):
    whole = study_named(name)
    sets = ("bloodmnist", "breastmnist", "adrenalmnist3d")
    here = {"data": sets, "backbone": ("resnet18", "vit_base", "stats"), "size": (28,)}
    grids = []
    for grid in whole.grids:
        kept = {key: tuple(one for one in values if one in here.get(key, values)) for key, values in grid.items()}
        grids.append(kept | {"head": kept["head"] if name != "all" else ("linear",), "resamples": (20,)})
    report = study(Study(name, whole.text, tuple(grids)), out=home / "out", cache_dir=home / "cache", offline=True)
    assert not report.failed and report.made == len(report.plan.cells) >= 2
    page = (home / "out/report.html").read_text()
    if name == "course":
        for row in published.course("bloodmnist"):  # the course's own table beside it
            assert row.system in page and f"{row.acc:.3f}" in page
