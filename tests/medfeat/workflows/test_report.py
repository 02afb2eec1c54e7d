"""The page of the runs: every task type, groups, mistakes with their neighbours, tables; what users wrote is text."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from medfeat.errors import MissingFileError, UsageError
from medfeat.evaluation.runs.run import list_runs, read_scores
from medfeat.report.references import bibtex
from medfeat.types import NOT_KNOWN, SilentProgress
from medfeat.workflows.extract import extract
from medfeat.workflows.few_shot import few_shot
from medfeat.workflows.looking.mistakes import images_of, wrong
from medfeat.workflows.looking.writing_up import methods_of
from medfeat.workflows.probe import probe
from medfeat.workflows.report import write_report
from medfeat.workflows.search import search
from medfeat_cache import FeatureStore, find_stores
from medfeat_cli.main import run

from .embedded import QUICK, embed

_WORK = r"((?:[A-Z][a-z]+(?:, | and )?)+), (\d{4})"
SETS = ("synthetic", "synthetic-binary", "synthetic-multilabel", "synthetic-ordinal", "synthetic-3d")


def text_of(path):
    return path.read_text(encoding="utf-8")


@pytest.fixture
def probed(cache_root, counting):
    """Two runs of a binary set."""
    embed(cache_root)
    probe("synthetic-binary", head="linear,knn", cache_dir=cache_root, **QUICK)
    return cache_root


def test_a_cache_without_runs_is_one_line(cache_root, tmp_path):
    with pytest.raises(UsageError, match=r"no runs in .*: run `medfeat probe .*` first"):
        write_report(out=tmp_path / "r.html", cache_dir=cache_root)


def test_pictures_are_not_fetched_offline(tmp_path):
    header = SimpleNamespace(info={"source": {"data": "breastmnist", "data_root": str(tmp_path)}})
    dataset, why = images_of(header, root=tmp_path, data_root=None, offline=True, progress=SilentProgress())
    assert dataset is None and "offline forbids to fetch it" in why


def test_a_dataset_without_runs_is_named(probed, tmp_path):
    with pytest.raises(UsageError, match="no runs of synthetic in"):
        write_report("synthetic", out=tmp_path / "r.html", cache_dir=probed)


@pytest.mark.parametrize("name", SETS)
def test_every_task_type_has_a_page(name, cache_root, tmp_path):
    embed(cache_root, name, "stats")
    probe(name, head="linear", cache_dir=cache_root, **QUICK)
    made = write_report(out=tmp_path / "r.html", cache_dir=cache_root)
    text = text_of(made.out)
    assert made.runs == 1 and made.notes == ()
    assert "Its most confident mistakes" in text and "This page contains pictures" in text
    assert ("Net benefit" in text) == (name in ("synthetic-binary", "synthetic-3d"))
    assert ("Confusion matrix" in text) == (name != "synthetic-multilabel")
    for word in ("ROC on test", "Precision and recall", "how sure", "Where each number comes from"):
        assert word in text


def test_numbers_are_those_of_the_runs_and_every_run_has_a_group(probed, tmp_path):
    made = write_report(out=tmp_path / "r.html", tables=tmp_path / "tables", cache_dir=probed)
    runs, _ = list_runs(probed)
    text = text_of(made.out)
    for one in runs:
        assert f"{one.test.auc.value:.3f} [{one.test.auc.low:.3f}, {one.test.auc.high:.3f}]" in text
        assert one.key[:12] in text and f"--head {one.head}" in text
    assert len(re.findall(r'class="group-letter">[A-Z]<', text)) == len(runs) == 2
    assert re.search(r"2 runs on 1 dataset\b", text)
    names = {path.name for path in made.tables}
    assert {"overview.md", "overview.csv", "overview.tex", "synthetic-binary.csv"} <= names
    assert f"{runs[0].test.auc.value:.3f}" in text_of(tmp_path / "tables" / "synthetic-binary.tex")


def test_mistakes_are_the_surest_and_their_neighbours_those_of_search(probed, tmp_path):
    made = write_report(out=tmp_path / "r.html", head="linear", cache_dir=probed)
    (one,) = (found for found in list_runs(probed)[0] if found.head == "linear")
    stored = read_scores(one.folder)
    labels, called = stored["test_labels"][:, 0], stored["test_scores"][:, -1] > 0.5
    sure = np.where(called != labels, np.maximum(stored["test_scores"][:, -1], 1 - stored["test_scores"][:, -1]), 0)
    surest = str(stored["test_ids"][np.argmax(sure)])
    cards = re.findall(r'<article class="mistake">(.*?)</article>', text_of(made.out), re.DOTALL)
    assert f"<strong>{surest}</strong>" in cards[0] and f"({sure.max():.2f})" in cards[0]
    hits = search("synthetic-binary", "counting", id=surest, k=200, cache_dir=probed).hits
    nearest = max(hit.cosine for hit in hits if hit.split == "train")
    near = re.search(r"<figcaption>(train/\d+) ", cards[0])[1]
    assert next(hit.cosine for hit in hits if hit.id == near) == pytest.approx(nearest, abs=1e-5)
    assert "data:image/png" in cards[0]


def test_mistakes_of_labels_and_of_numbers_by_hand():
    y, s = np.array([[1, 0], [0, 1]]), np.array([[0.1, 0.6], [0.2, 0.9]])
    assert wrong(y, s, "multi-label", ("a", "b")) == [(0, "labelled a, predicted b (0.90)")]
    assert wrong(np.array([[1.0], [5.0]]), np.array([[1.5], [2.0]]), "regression", ("age",))[0] == (
        1,
        "is 5, predicted 2",
    )


def test_without_pictures_none_is_in_the_page(probed, tmp_path):
    text = text_of(write_report(out=tmp_path / "r.html", images=False, cache_dir=probed).out)
    assert "data:image" not in text and "This page contains pictures" not in text
    assert "Its most confident mistakes" in text


def test_what_users_wrote_is_text(make_store, cache_root, tmp_path):
    evil = "<script>alert(1)</script>"
    path = make_store(dataset="own", backbone="fake", task="binary-class")
    assert path.is_file()
    lines = ["id,label", *(f"{split}/{i},{evil if i % 2 else 'x & y'}" for split, n in
                           (("train", 240), ("val", 80), ("test", 80)) for i in range(n))]  # fmt: skip
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    probe(
        "own", labels=tmp_path / "labels.csv", name="evil", partial=True, head="linear", cache_dir=cache_root, **QUICK
    )
    made = write_report(out=tmp_path / "r.html", cache_dir=cache_root)
    text = text_of(made.out)
    assert "<script>alert" not in text and "&lt;script&gt;alert(1)" in text


def test_published_results_stand_beside_ours(make_store, cache_root, tmp_path):
    make_store("bloodmnist")
    probe("bloodmnist", head="linear", cache_dir=cache_root, **QUICK)
    text = text_of(write_report(out=tmp_path / "r.html", cache_dir=cache_root).out)
    assert "published results</summary>" in text and "beside published results" in text


def test_learning_curves_that_were_kept_are_drawn(probed, tmp_path):
    few_shot("synthetic-binary", shots="1,2", draws=2, resamples=20, head="knn", cache_dir=probed)
    text = text_of(write_report(out=tmp_path / "r.html", cache_dir=probed).out)
    assert "How many labels it takes" in text and "shots a class in brackets" in text
    assert "How many labels it takes" not in text_of(
        write_report(out=tmp_path / "other.html", head="linear", cache_dir=probed).out
    )


@pytest.fixture
def with_patients(make_store, cache_root, tmp_path):
    """Two images a patient, and a run of them."""
    with FeatureStore(make_store(dataset="own", task="binary-class", signal=0.5)) as store:
        rows = [(str(one), int(y)) for group in store.groups
                for one, y in zip(store.ids(group), store.labels(group)[:, 0], strict=True)]  # fmt: skip
    by_class = sorted(rows, key=lambda row: (row[0].split("/")[0], row[1]))
    lines = [f"{one},{'ab'[y]},p{i // 2}" for i, (one, y) in enumerate(by_class)]
    (tmp_path / "labels.csv").write_text("\n".join(["id,label,patient", *lines]))
    probe("own", labels=tmp_path / "labels.csv", name="patients", head="linear", cache_dir=cache_root, **QUICK)
    return cache_root


def test_scores_by_patient_are_those_of_mean_scores(with_patients, tmp_path):
    (one,) = list_runs(with_patients)[0]
    text = text_of(write_report(out=tmp_path / "r.html", cache_dir=with_patients).out)
    stored = read_scores(one.folder)
    patients = np.unique(stored["test_groups"])
    rows = [stored["test_groups"] == name for name in patients]
    y = np.array([stored["test_labels"][here][0, 0] for here in rows])
    mean = np.array([stored["test_scores"][here, -1].mean() for here in rows])
    assert len(patients) == 40
    shown = text.partition("By patient")[2].partition("</table>")[0]
    assert float(re.search(r"([\d.]+) \[", shown)[1]) == pytest.approx(roc_auc_score(y, mean), abs=6e-4)
    assert ">40<" in shown
    assert "p0" not in text


def test_methods_name_versions_hardware_and_what_to_cite(make_store, cache_root, tmp_path):
    make_store("bloodmnist")
    probe("bloodmnist", head="linear", cache_dir=cache_root, **QUICK)
    made = write_report(out=tmp_path / "r.html", tables=tmp_path / "tables", cache_dir=cache_root)
    bib, methods = ((tmp_path / "tables" / name).read_text() for name in ("references.bib", "methods.txt"))
    assert len(made.tables) == 3 * 2 + 3
    assert "@article{holm1979," in bib and "pedregosa2011scikit" in bib and bib.count("{") == bib.count("}")
    assert "scikit-learn 1." in methods and "Embedded on cpu." in methods
    assert "References as BibTeX" in text_of(made.out)


def written_up(root, **changes):
    """Return the methods of the runs in a cache, some facts of whose stores are changed."""
    runs = [replace(one, store={**one.store, **changes}) for one in list_runs(root)[0]]
    return methods_of(runs, {header.digest: header for header in find_stores(root)})


def test_methods_name_whose_weights_they_were(make_store, cache_root):
    published = {"source": "torchvision", "source_id": "squeezenet1_1.IMAGENET1K_V1", "weights_digest": "blake2b:12ab"}
    own = {"origin": "file", "source": "torchvision", "pretraining": NOT_KNOWN}
    make_store("bloodmnist", "squeezenet1_1", recipe=published, backbone_info=own)
    make_store("dermamnist", "squeezenet1_1", recipe=published)
    tuned = {**own, "pretraining": "ImageNet-1k, then tuned by medfeat on pathmnist"}
    make_store(
        "pathmnist", "squeezenet1_1", recipe={**published, "weights_digest": "blake2b:34cd"}, backbone_info=tuned
    )
    for name in ("bloodmnist", "dermamnist", "pathmnist"):
        probe(name, head="majority", cache_dir=cache_root, **QUICK)
    said = written_up(cache_root).lines[-1]
    assert "squeezenet1_1 (torchvision squeezenet1_1, weights file (blake2b:12ab), pretrained on: not known" in said
    assert "squeezenet1_1 (torchvision squeezenet1_1.IMAGENET1K_V1, weights pretrained (blake2b:12ab))" in said
    assert "weights file (blake2b:34cd), pretrained on: ImageNet-1k, then tuned by medfeat on pathmnist)" in said
    assert "squeezenet1_1, weights file mine.pth (blake2b:12ab)" in written_up(cache_root, weights="mine.pth").lines[-1]


@pytest.mark.parametrize("task", ["multi-class", "regression"])
def test_references_have_every_work_that_is_cited(task, make_store, cache_root):
    make_store("planted", task=task)
    first = "linear" if task == "multi-class" else "ridge"
    probe("planted", head=f"{first},xgboost,majority", cache_dir=cache_root, **QUICK)
    made = written_up(cache_root)
    cited = {(names.split()[0].strip(",("), year) for names, year in re.findall(_WORK, " ".join(made.lines))}
    assert len(cited) >= (2 if task == "regression" else 4)
    for author, year in cited:
        assert re.search(rf"author = \{{\{{?{author}[^@]*year = \{{{year}\}}", made.bibtex), (author, year)
    tools = {"numpy": "Harris", "scipy": "Virtanen", "scikit-learn": "Pedregosa", "xgboost": "Chen"}
    for tool, author in tools.items():
        assert f"{tool} " in made.lines[0] and f"author = {{{author}" in made.bibtex
    assert made.bibtex.count("{") == made.bibtex.count("}")
    assert "Newcombe" not in made.lines[0] if task == "regression" else "whole patients" not in made.lines[0]


def test_a_work_that_several_ask_to_be_cited_is_a_reference_once():
    said = {"pathmnist": "doi 10.1038/s41597-022-01721-8", "bloodmnist": "see 10.1038/s41597-022-01721-8"}
    found = bibtex(["holm1979", "holm1979", "nobody"], said | {"my scans": "Doe 2020", "yours": "Roe 2021"})
    assert re.findall(r"^@\w+{(.*),$", found, re.MULTILINE) == ["holm1979", "yang2023medmnist", "my-scans", "yours"]


def test_methods_say_a_rule_once_and_name_no_trees_that_did_not_stand(make_store, cache_root):
    make_store("planted")
    probe("planted", head="linear,knn", cache_dir=cache_root, **QUICK)
    runs, headers = list_runs(cache_root)[0], {}
    other = {**runs[0].choice, "rule": runs[0].choice["rule"].replace("simpler model", "earlier epoch")}
    made = methods_of([replace(runs[0], choice=other), runs[1]], headers)
    assert made.lines[0].count("official AUC on val") == 1 and "xgboost" not in made.lines[0] + made.bibtex
    assert "by ACC, then the earlier epoch or the simpler model; test was scored once" in made.lines[0]


def test_runs_of_another_cache_stand_beside_ours(make_store, cache_root, tmp_path):
    make_store("bloodmnist", signal=0.6)
    probe("bloodmnist", head="linear", cache_dir=cache_root, **QUICK)
    other = tmp_path / "other"
    shutil.copytree(cache_root, other)
    out = {"out": tmp_path / "r.html", "cache_dir": cache_root}
    same = text_of(write_report(against=other, **out).out)
    assert "the same run" in same and "other images or weights" not in same
    shutil.rmtree(cache_root)
    make_store("bloodmnist", signal=0.2)
    probe("bloodmnist", head="linear", cache_dir=cache_root, **QUICK)
    ((here,), _), ((there,), _) = list_runs(cache_root), list_runs(other)
    text = text_of(write_report(against=other, tables=tmp_path / "tables", **out).out)
    assert f"{here.test.auc.value - there.test.auc.value:+.3f} [" in text
    saved = tmp_path / "tables" / "runs.json"
    text = text_of(write_report(against=saved, **out).out)
    assert "1 run is in both; 0 only here, 0 only in runs.json" in text and "the same run" in text
    with pytest.raises(MissingFileError, match=r"there is no .*: give --against another cache"):
        write_report(against=tmp_path / "nowhere", **out)
    (tmp_path / "odd.json").write_text("[]")
    with pytest.raises(UsageError, match="holds no saved runs"):
        write_report(against=tmp_path / "odd.json", **out)


def test_runs_of_other_options_are_told_apart_and_made_again_by_their_command(make_store, cache_root, tmp_path):
    make_store("bloodmnist", signal=0.6)
    for class_weight in ("none", "balanced"):
        probe("bloodmnist", class_weight=class_weight, choose="cv", head="linear", cache_dir=cache_root, **QUICK)
    other = tmp_path / "other"
    shutil.copytree(cache_root, other)
    text = text_of(write_report(against=other, out=tmp_path / "r.html", cache_dir=cache_root).out)
    assert "2 runs are in both; 0 only here" in text
    assert "linear probe, cross-validated over train+val, class weights balanced" in text
    assert "--choose cv --class-weight balanced" in text


def test_saliency_that_cannot_be_drawn_is_a_line(probed, tmp_path):
    made = write_report(out=tmp_path / "r.html", saliency=True, head="knn", cache_dir=probed)
    assert any("no saliency of counting, knn: " in note for note in made.notes)
    assert "where the network looked" not in text_of(made.out)


@pytest.mark.realdata
def test_saliency_of_a_real_network_is_beside_its_mistakes(real_data, cache_root, tmp_path):
    with np.load(real_data / "breastmnist.npz") as file:
        few = {name: file[name][:24] for name in file.files}
    np.savez(tmp_path / "few.npz", **few)
    weights = real_data / "squeezenet1_1_torchvision_fp16src.pth"
    extract(tmp_path / "few.npz", "squeezenet1_1", weights=weights, device="cpu", precision="fp32", batch_size=8,
            cache_dir=cache_root)  # fmt: skip
    probe("few", head="linear", cache_dir=cache_root, **QUICK)
    made = write_report(out=tmp_path / "r.html", saliency=True, cache_dir=cache_root)
    assert any("squeezenet1_1 looked, by Grad-CAM" in note for note in made.notes)
    cards = re.findall(r'<article class="mistake">(.*?)</article>', text_of(made.out), re.DOTALL)
    assert cards and all("where the network looked in" in card for card in cards)


def test_from_the_command_line(probed, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["report", "--cache-dir", str(probed)]) == 0
    assert "wrote report.html: 2 runs" in capsys.readouterr().out
    assert run(["report", "--head", "nonsense", "--cache-dir", str(probed)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
