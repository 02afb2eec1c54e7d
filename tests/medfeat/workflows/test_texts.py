"""Images and texts in one space: equal to transformers' own functions, prompted by class, learnt from few labels."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from medfeat.backbones import load_backbone
from medfeat.backbones.text_tower import text_tower
from medfeat.datasets.medmnist_table import medmnist_sets
from medfeat.errors import MissingFileError, UnsuitedHeadError, UsageError
from medfeat.heads.saving import load_model
from medfeat.heads.text_linear import TextLinearProbe
from medfeat.tasks.prompts import prompts_for
from medfeat.types import View
from medfeat.workflows.extract import extract
from medfeat.workflows.few_shot import few_shot
from medfeat.workflows.predict import predict
from medfeat.workflows.probe import probe
from medfeat_cache import FeatureStore
from small_networks import MEAN, SIDE, STD, put_texts, tokenizer

PROMPTS = {"templates": ["an image of {}", "a photo of {}"], "classes": {"dark": ["dark", "black"], "bright": "bright"}}


@pytest.fixture(scope="module", params=["clip", "siglip"])
def model(request, tmp_path_factory):
    """A folder with a small random model of images and texts, and the model."""
    folder = tmp_path_factory.mktemp(request.param)
    return folder, put_texts(folder, request.param)


@pytest.fixture
def clip(model):
    """The first of them alone."""
    if "clip" not in model[0].name or "siglip" in model[0].name:
        pytest.skip("one model is enough here")
    return model


def vector(output):
    return (output if isinstance(output, torch.Tensor) else output.pooler_output).detach().numpy()


def held(count: int = 24) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Dark and bright images."""
    rng = np.random.default_rng(0)
    found = {}
    for name, n in (("train", count), ("val", 12), ("test", 12)):
        y = np.arange(n) % 2
        images = np.clip(70 + 100 * y[:, None, None] + 30 * rng.normal(size=(n, SIDE, SIDE)), 0, 255)
        found[name] = (images.astype(np.uint8), y)
    return found


def pairs():
    """The images of `held` as a program would give them."""
    return {name: list(zip(images, y.tolist(), strict=True)) for name, (images, y) in held().items()}


def projected(folder, root):
    options = {"weights": folder, "precision": "fp32", "batch_size": 8, "device": "cpu", "cache_dir": root}
    options |= {"pool": "projected", "name": "shades", "classes": "dark,bright"}
    return extract(pairs(), "hf:clinic/both", **options).stores[0]


def test_projected_images_are_those_of_transformers(model, cache_root):
    folder, built = model
    store = projected(folder, cache_root)
    images = held()["test"][0]
    fed = np.stack([np.asarray(Image.fromarray(one).convert("RGB"), np.float32) for one in images]) / 255
    fed = (fed - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    with torch.inference_mode():
        theirs = vector(built.get_image_features(pixel_values=torch.from_numpy(fed).permute(0, 3, 1, 2)))
    with FeatureStore(store.path) as opened:
        assert opened.recipe["pool"] == "projected"
        ours = opened.take([f"test/{row}" for row in range(12)])
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_texts_are_those_of_transformers(model):
    folder, built = model
    backbone = load_backbone("hf:clinic/both", weights=folder, views=[View(pool="projected")], offline=True)
    texts = ["a photo of dark", "no bright image of an unknown word", "white"]
    tower = text_tower(backbone, folder)
    ours = tower.vectors(texts)
    length = {"padding": "max_length", "max_length": 12} if "siglip" in folder.name else {"padding": True}
    tokens = tokenizer()(texts, return_tensors="pt", truncation=True, **length)
    with torch.inference_mode():
        theirs = vector(built.get_text_features(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert tower.scale == pytest.approx(float(built.logit_scale.detach().exp()), rel=1e-6)


def test_a_tokenizer_that_is_here_is_read_without_asking_a_hub(clip, monkeypatch):
    read, asked = transformers.AutoTokenizer.from_pretrained, []
    heard = lambda *given, **options: asked.append(options) or read(*given, **options)  # noqa: E731
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", heard)
    text_tower(load_backbone("hf:clinic/both", weights=clip[0], views=[View(pool="projected")]), clip[0])
    assert asked == [{"local_files_only": True}]


def test_other_poolings_beside_it_come_from_the_image_tower_as_before(clip, cache_root):
    folder, _ = clip
    options = {"weights": folder, "precision": "fp32", "batch_size": 8, "device": "cpu", "cache_dir": cache_root}
    alone = extract(pairs(), "hf:clinic/both", pool="cls", name="shades", **options).stores[0]
    both = extract(pairs(), "hf:clinic/both", pool="projected,cls", name="shades", **options).stores
    assert [store.dim for store in both] == [20, 24]
    assert both[1].path == alone.path and both[1].action == "reuse"


def test_what_reads_no_texts_is_refused_in_one_line(cache_root):
    with pytest.raises(UsageError, match="got 'projected', which has no projection to a space of texts"):
        load_backbone("resnet18", weights="random", views=[View(pool="projected")])
    with pytest.raises(UsageError, match="has no projection to a space of texts: name a model that has one"):
        load_backbone("beit", weights="random", views=[View(pool="projected")])
    extract(pairs(), "stats", name="shades", cache_dir=cache_root)
    with pytest.raises(UnsuitedHeadError, match="this store holds none features: embed by a network of images and"):
        probe("shades", "stats", head="zero-shot", cache_dir=cache_root)


def test_a_tokenizer_that_is_not_there_is_said(clip, tmp_path, monkeypatch):
    import shutil

    bare = shutil.copytree(clip[0], tmp_path / "bare", ignore=shutil.ignore_patterns("tokenizer*", "special*"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    backbone = load_backbone("hf:clinic/both", weights=bare, views=[View(pool="projected")], offline=True)
    with pytest.raises(
        MissingFileError, match=r"the tokenizer of https://huggingface\.co/clinic/both cannot be read"
    ) as e:
        text_tower(backbone, bare)
    assert "\n" not in str(e.value)


def test_zero_shot_scores_are_those_of_the_model_itself(clip, cache_root, tmp_path):
    folder, built = clip
    projected(folder, cache_root)
    file = tmp_path / "prompts.json"
    file.write_text(json.dumps(PROMPTS))
    run = probe("shades", head="zero-shot", prompts=file, cache_dir=cache_root, resamples=20).runs[0]
    scores = np.load(run.folder / "scores.npz")
    fed = np.stack([np.asarray(Image.fromarray(one).convert("RGB"), np.float32) for one in held()["test"][0]]) / 255
    fed = torch.from_numpy((fed - np.array(MEAN, np.float32)) / np.array(STD, np.float32)).permute(0, 3, 1, 2)
    texts = [["an image of dark", "an image of black", "a photo of dark", "a photo of black"],
             ["an image of bright", "a photo of bright"]]  # fmt: skip
    with torch.inference_mode():
        unit = torch.nn.functional.normalize
        image = unit(torch.from_numpy(vector(built.get_image_features(pixel_values=fed))))
        classes = []
        for some in texts:
            tokens = tokenizer()(some, return_tensors="pt", padding=True)
            rows = torch.from_numpy(vector(built.get_text_features(tokens["input_ids"], tokens["attention_mask"])))
            classes.append(unit(unit(rows).mean(0), dim=0))
        theirs = (built.logit_scale.exp() * image @ torch.stack(classes).T).softmax(1).numpy()
    order = {name: row for row, name in enumerate(scores["test_ids"].tolist())}
    ours = scores["test_scores"][[order[f"test/{row}"] for row in range(12)]]
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert len(run.choice["tried"]) == 1 and run.protocol["training"] == "zero-shot"
    again = predict(run.folder, data="shades", cache_dir=cache_root)
    rows = [again.ids.tolist().index(name) for name in scores["test_ids"].tolist()]
    np.testing.assert_allclose(again.scores[rows], scores["test_scores"], atol=1e-6)


def test_offline_goes_with_the_network_that_reads_texts(clip, cache_root, tmp_path, monkeypatch):
    projected(clip[0], cache_root)
    file = tmp_path / "prompts.json"
    file.write_text(json.dumps(PROMPTS))

    def load(network, options, progress):
        raise MissingFileError(f"offline: {options.offline}")

    monkeypatch.setattr("medfeat.extraction.remake.load_again", load)
    for offline in (True, False):
        with pytest.raises(MissingFileError, match=f"offline: {offline}"):
            probe("shades", head="zero-shot", prompts=file, cache_dir=cache_root, resamples=20, offline=offline)


def test_baselines_keep_their_head_beside_one_that_reads_texts(clip, cache_root, tmp_path):
    projected(clip[0], cache_root)
    extract(pairs(), "stats", name="shades", classes="dark,bright", cache_dir=cache_root)
    prompts = tmp_path / "prompts.json"
    prompts.write_text(json.dumps(PROMPTS))
    asked = {"head": "zero-shot", "prompts": prompts, "resamples": 20, "cache_dir": cache_root}
    report = probe("shades", "hf:clinic/both", **asked)
    assert [(run.backbone, run.head) for run in report.baselines] == [("stats", "linear")] and not report.failed


def test_other_texts_are_another_run(clip, cache_root, tmp_path):
    projected(clip[0], cache_root)
    keys = []
    for phrase in ("dark", "black", "dark"):
        file = tmp_path / "prompts.json"
        file.write_text(json.dumps({**PROMPTS, "classes": {**PROMPTS["classes"], "dark": phrase}}))
        run = probe("shades", head="zero-shot", prompts=file, cache_dir=cache_root, resamples=20).runs[0]
        keys.append((run.key, run.reused))
    assert keys[0][0] != keys[1][0] and keys[2] == (keys[0][0], True)


def test_few_labels_are_learnt_from_with_texts(clip, cache_root, tmp_path):
    projected(clip[0], cache_root)
    file = tmp_path / "prompts.json"
    file.write_text(json.dumps(PROMPTS))
    report = few_shot(
        "shades",
        head="text-linear,zero-shot,lp++",
        shots="2",
        draws=2,
        prompts=file,
        cache_dir=cache_root,
        resamples=20,
    )
    scores = {curve.head: curve.points[0].values["auc"].value for curve in report.curves}
    assert set(scores) == {"text-linear", "zero-shot", "lp++"}
    assert min(scores["text-linear"], scores["lp++"]) > 0.9


def test_class_means_are_blended_with_texts_where_the_network_reads_any(clip, cache_root, tmp_path):
    projected(clip[0], cache_root)
    extract(pairs(), "stats", name="shades", classes="dark,bright", cache_dir=cache_root)
    file = tmp_path / "prompts.json"
    file.write_text(json.dumps(PROMPTS))
    report = probe("shades", "hf:clinic/both,stats", head="lp++", prompts=file, cache_dir=cache_root, resamples=20)
    assert not report.failed
    multipliers = {run.backbone: load_model(run.folder / "model").multipliers_ for run in report.runs}
    assert (multipliers["hf:clinic/both"] > 1).all() and (multipliers["stats"] == 0).all()


@pytest.mark.parametrize("kind", ["multi-class", "multi-label"])
def test_the_informed_probe_is_the_minimum_that_torch_finds(kind):
    rng = np.random.default_rng(0)
    X, towards, away = rng.normal(size=(40, 6)), rng.normal(size=(3, 6)), rng.normal(size=(3, 6))
    towards, away = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (towards, away))
    several = kind == "multi-label"
    y = rng.integers(0, 2, (40, 3)) if several else rng.integers(0, 3, (40, 1))
    probe_ = TextLinearProbe(towards, away if several else None, 5.0, 0.3, 0.1, task_type=kind, n_classes=3).fit(X, y)
    unit = torch.from_numpy(X / np.linalg.norm(X, axis=1, keepdims=True))
    given = unit @ torch.from_numpy(towards).T - (unit @ torch.from_numpy(away).T if several else 0)
    z = torch.hstack([(unit - unit.mean(0)) / unit.std(0, correction=0), torch.ones(40, 1)])
    weights = torch.zeros(3, 7, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=500, tolerance_grad=1e-12, tolerance_change=0)
    functional = torch.nn.functional

    def step():
        optimiser.zero_grad()
        logits = 5.0 * 0.3 * given + z @ weights.T
        if several:
            loss = functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(y).double(), reduction="sum")
        else:
            loss = functional.cross_entropy(logits, torch.from_numpy(y[:, 0]), reduction="sum")
        loss = loss + (weights**2).sum() / (2 * 0.1)
        loss.backward()
        return loss

    optimiser.step(step)
    np.testing.assert_allclose(probe_.coef_, weights.detach().numpy(), atol=1e-5)


def test_without_labels_the_informed_probe_is_the_zero_shot_classifier():
    rng = np.random.default_rng(1)
    X, towards = rng.normal(size=(30, 5)), np.eye(5)[:3]
    y = rng.integers(0, 3, (30, 1))
    found = TextLinearProbe(towards, None, 10.0, 1.0, 1e-9, n_classes=3).fit(X, y).scores(X)
    logits = 10.0 * X[:, :3] / np.linalg.norm(X, axis=1, keepdims=True)
    odds = np.exp(logits)
    np.testing.assert_allclose(found, odds / odds.sum(1, keepdims=True), atol=1e-6)


def test_all_eighteen_sets_have_texts_for_all_their_classes():
    from medfeat.types import Task

    for name, entry in medmnist_sets().items():
        n = len(entry.classes)
        task = Task("official", entry.task, entry.classes, np.array(["a"]), np.zeros((1, 1)), np.array(["train"]))
        found = prompts_for(name).of(task)
        assert len(found.classes) == n and all(len(texts) >= 3 for texts in found.classes), name
        texts = [text for some in found.classes for text in some]
        assert len(set(texts)) == len(texts), f"{name}: no text stands for two classes"
        assert not any("{" in text for text in (*texts, *(t for some in found.without for t in some)))
        assert bool(found.without) is (entry.task == "multi-label")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"classes": {"dark": "dark"}}, "has no phrases for 'bright'"),
        ({"classes": {"dark": "dark", "bright": []}}, "classes, 'bright' must be a text or a list of texts"),
        ({"templates": ["no place"], "classes": {"dark": "x"}}, r"templates must have \{\} where a phrase goes"),
        ({"clases": {}}, "holds 'clases'"),
        ([1], "holds a list: it must be of the form"),
        ("{", "cannot be read as JSON"),
    ],
)
def test_prompts_that_cannot_be_meant_are_one_line(tmp_path, content, said):
    from medfeat.types import Task

    file = tmp_path / "prompts.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    none = np.zeros(0)
    task = Task("official", "binary-class", ("dark", "bright"), none.astype(str), none[:, None], none.astype(str))
    with pytest.raises(ValueError, match=said) as error:
        prompts_for("shades", file).of(task)
    assert "\n" not in str(error.value)


def test_a_set_without_known_texts_asks_for_them(clip, cache_root):
    projected(clip[0], cache_root)
    with pytest.raises(UsageError, match=r"no texts are known of the classes of shades: give them with --prompts FILE"):
        probe("shades", head="zero-shot", cache_dir=cache_root)
