"""The shipped table keeps every value of its sources, with the protocol that makes it comparable or not."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import pytest

from medfeat.errors import UsageError
from medfeat.evaluation.compare import published

SETS_2D = ["path", "chest", "derma", "oct", "pneumonia", "retina", "breast", "blood", "tissue"]
SETS_2D += ["organa", "organc", "organs"]
SETS_3D = ["organ", "nodule", "adrenal", "fracture", "vessel", "synapse"]
ALL = [f"{name}mnist" for name in SETS_2D] + [f"{name}mnist3d" for name in SETS_3D]


def only(dataset, **wanted):
    found = [r for r in published.rows(dataset) if all(getattr(r, key) == value for key, value in wanted.items())]
    assert len(found) == 1, found
    return found[0]


def test_all_eighteen_sets_have_published_rows_with_protocol_source_and_confidence():
    assert sorted(published.datasets()) == sorted(ALL)
    for dataset in ALL:
        for row in published.rows(dataset):
            assert row.training and row.pixels and row.source in published.sources()
            assert row.confidence in ("high", "medium", "low")
            assert row.auc is not None or row.acc is not None
            assert all(0 < value <= 1 for value in (row.auc, row.acc) if value is not None)


def test_resnet_224_of_the_official_table_is_enlarged_28_px_data():
    row = only("octmnist", system="ResNet-50 (224)")
    assert (row.acc, row.native_size, row.pixels) == (0.776, 28, "28 enlarged to 224")
    assert row.training == "from scratch" and "nearest" in row.note


def test_small_images_of_the_plus_study_are_zero_padded_and_only_224_is_native():
    small = only("bloodmnist", system="DINO ViT-B/16", training="linear probe", native_size=28)
    large = only("bloodmnist", system="DINO ViT-B/16", training="linear probe", native_size=224)
    assert small.pixels == "28 zero-padded to 224" and small.acc == 0.8879
    assert large.pixels == "native 224" and large.acc == 0.9870
    assert only("bloodmnist", system="DINO ViT-B/16", training="kNN", native_size=224).auc is None
    assert only("bloodmnist", system="DINO ViT-B/16", training="fine-tuned", native_size=224).auc is not None


def test_rows_chosen_on_test_and_rows_with_known_problems_say_so():
    assert only("bloodmnist", system="MedViTV2-L").test_selected
    assert only("chestmnist", system="MedViTV2-L").confidence == "low"
    assert only("octmnist", system="VGG-16", source="cmproject").confidence == "low"


def test_3d_probes_are_at_their_native_64_px():
    row = only("synapsemnist3d", system="RAPTOR, DINOv2-L")
    assert (row.protocol, row.auc, row.acc) == ("linear probe, 64 native", 0.943, 0.911)


@pytest.mark.parametrize("dataset", ["bloodmnist", "octmnist"])
def test_the_course_table_is_eleven_systems_and_five_baselines(dataset):
    found = published.course(dataset)
    assert [row.system for row in found if not row.quoted] == list(published.COURSE_SYSTEMS)
    assert sum(row.quoted for row in found) == 5
    assert all(row.acc is not None for row in found)


def test_quoted_duplicates_stay_out_of_the_rows_of_a_dataset():
    assert not any(row.quoted for row in published.rows("bloodmnist"))
    assert len([row for row in published.rows("bloodmnist") if row.system == "ResNet-18 (28)"]) == 1


def test_a_name_without_results_is_refused_with_close_matches():
    with pytest.raises(UsageError, match="did you mean bloodmnist"):
        published.rows("bloodmist")


def test_the_table_is_made_by_the_committed_script(tmp_path):
    """Two values of one result share a row, and means over datasets are left out."""
    script = Path(__file__).parents[3] / "tools" / "make_published.py"
    spec = importlib.util.spec_from_file_location("make_published", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    head = "dataset,method,backbone,protocol,input_size,metric,value,value_std,source_id,confidence,note\n"
    body = [
        f"{dataset},k,ViT,linear-probe,64,{metric},{value},0.01,doerrich2025,high,x.png"
        for dataset, metric, value in [("a", "auc", 0.9), ("a", "acc", 0.8), ("average_2d12", "acc", 0.7)]
    ]
    (tmp_path / "published.csv").write_text(head + "\n".join(body))
    (tmp_path / "sources.csv").write_text("source_id,citation,url\ndoerrich2025,c,u\n")
    biofuse = "dataset,size,backbone,val_acc,val_auc,test_acc,test_auc\nchestmnist,224,RAD-DINO,0.5,0.6,0.7,0.8\n"
    (tmp_path / "biofuse_2026.csv").write_text(biofuse)
    assert {"published.csv", "published_sources.csv"} <= {path.name for path in module.TARGET.iterdir()}
    module.main(tmp_path, tmp_path)
    lines = list(csv.DictReader((tmp_path / "published.csv").read_text().splitlines()))
    assert [(line["dataset"], line["auc"], line["acc"], line["pixels"]) for line in lines] == [
        ("a", "0.9", "0.8", "64 zero-padded to 224"),
        ("chestmnist", "0.8", "0.7", "native 224"),
    ]
    assert "overlaps" in lines[1]["note"]


def test_single_frozen_medical_models_say_what_is_not_known_of_them():
    row = only("pathmnist", system="UNI", source="biofuse2026")
    assert row.protocol == "frozen, classifier not stated, native 224" and row.confidence == "medium"
    assert "overlaps" in row.note and not only("breastmnist", system="UNI", source="biofuse2026").note
    assert only("pathmnist", system="BiomedCLIP", source="biofuse2026").auc == 0.995
    assert len([one for name in ALL for one in published.rows(name) if one.source == "biofuse2026"]) == 96
