"""The loop does what a plain loop does, and what interrupts it costs nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from medfeat.errors import DivergedError, MedfeatError, OutOfMemoryError, UsageError
from medfeat.finetuning.batches import batches, epoch_order, frequencies
from medfeat.types import SilentProgress

from .tiny import SETTINGS, Judge, images, model, training, values


class Rising(Judge):
    """Every epoch is better than the one before: the last is kept."""

    def __init__(self):
        self.seen = 0

    def score(self, outputs):
        self.seen += 1
        return float(self.seen), 0.0

    def beats(self, new, old):
        return new.number > old.number


def equal(one, other):
    return all(torch.equal(one[name], other[name]) for name in one) and one.keys() == other.keys()


def test_an_epoch_equals_a_plain_loop(tmp_path):
    run = training(tmp_path, judge=Rising(), epochs=1, smoothing=0.1)
    run.run()
    plain = model()
    plain.eval()  # frozen statistics of batch norm; nothing else here has two modes
    rest = [p for name, p in plain.named_parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in plain.parameters() if p.ndim >= 2], "weight_decay": 0.01},
            {"params": rest, "weight_decay": 0.0},
        ],
        lr=1e-2,
    )
    x, y = images()
    order = np.random.default_rng([0, 1]).permutation(30)
    for step, rows in enumerate([order[0:8], order[8:16], order[16:24], order[24:30]]):
        # four steps, the first tenth of which (at least one) rises; then half a cosine over three
        rate = 1e-2 * (1.0 if step == 0 else 0.5 * (1 + math.cos(math.pi * (step - 1) / 3)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        features = plain.network(x[rows])
        logits = features @ plain.head.weight.T + plain.head.bias
        functional.cross_entropy(logits, torch.from_numpy(y[rows].argmax(1)), label_smoothing=0.1).backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        optimizer.step()
    for name, value in values(plain).items():
        torch.testing.assert_close(values(run.model)[name], value, atol=1e-5, rtol=0, msg=name)


@pytest.mark.parametrize("settings", [{}, {"augmented": True}, {"sampler": "balanced"}, {"soup": 3}])
@pytest.mark.parametrize("killed_after", [1, 2])
def test_a_killed_training_ends_bit_for_bit_as_an_uninterrupted_one(tmp_path, settings, killed_after):
    from medfeat.datasets.changes import CHANGES
    from medfeat.finetuning.augment import augmentation

    options = dict(settings)
    if options.pop("augmented", False):
        options["augment"] = augmentation(CHANGES)

    def run(folder, progress=None):
        return training(folder, model(dropout=0.3), progress=progress, judge=Rising(), **options)

    whole = run(tmp_path / "whole")
    whole.run()
    broken = run(tmp_path / "broken")
    gradients, steps = broken._gradients, []

    def killed(*arguments):
        steps.append(1)
        if len(steps) > 4 * killed_after + 2:  # in the middle of an epoch
            raise KeyboardInterrupt
        return gradients(*arguments)

    broken._gradients = killed
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    progress = SilentProgress()
    again = run(tmp_path / "broken", progress)
    done = again.run()
    assert progress.said[0] == f"resuming at epoch {killed_after + 1}"
    assert equal(values(again.model), values(whole.model))
    assert [epoch.loss for epoch in done.epochs] == [
        epoch.loss for epoch in whole.keeper.load(whole.model, whole.optimizer).epochs
    ]


def test_a_kill_while_the_checkpoint_is_written_costs_that_epoch_alone(tmp_path, monkeypatch):
    whole = training(tmp_path / "whole", judge=Rising())
    whole.run()
    broken = training(tmp_path / "broken", judge=Rising())
    save, written = torch.save, []

    def killed(content, file):
        written.append(1)
        if len(written) == 6:  # start: 2 files, epoch 1: 2 files, epoch 2: the second of its 2 files
            file.write(b"half a checkpoint")
            raise KeyboardInterrupt
        save(content, file)

    monkeypatch.setattr(torch, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    monkeypatch.undo()
    progress = SilentProgress()
    again = training(tmp_path / "broken", judge=Rising(), progress=progress)
    again.run()
    assert progress.said[0] == "resuming at epoch 2"
    assert equal(values(again.model), values(whole.model))


def test_other_settings_are_refused_by_name(tmp_path):
    training(tmp_path, epochs=1).run()
    with pytest.raises(UsageError, match=r"epochs 1 \(now 2\), lr 0.01 \(now 0.02\)"):
        training(tmp_path, epochs=2, lr=0.02).run()


def test_the_start_counts_as_epoch_0_and_is_kept_where_nothing_beats_it(tmp_path):
    before = values(model())

    class Falling(Rising):
        def beats(self, new, old):
            return new.number < old.number

    run = training(tmp_path, judge=Falling())
    done = run.run()
    assert done.best == 0 and len(done.epochs) == 4
    assert equal(values(run.model), before)


class Told(Rising):
    """Says what it was given, call after call; higher is better."""

    def __init__(self, *scores):
        self.scores = list(scores)

    def score(self, outputs):
        return self.scores.pop(0), 0.0

    def beats(self, new, old):
        return (new.first, -new.number) > (old.first, -old.number)


def test_the_best_epochs_are_averaged_as_long_as_val_gains_by_it(tmp_path):
    # the start, three epochs; then the averages of 3 and 2, and of 3, 2 and 1
    run = training(tmp_path, judge=Told(0.5, 0.6, 0.7, 0.8, 0.9, 0.85), soup=3)
    trained = run.run()
    assert (trained.best, trained.soup.epochs, trained.soup.first) == (3, (3, 2), 0.9)
    third, second = (run.keeper.values(number) for number in (3, 2))
    for name, value in values(run.model).items():
        if name in third and value.is_floating_point():
            wanted = (third[name].double() + second[name].double()) / 2
            torch.testing.assert_close(value.double(), wanted, rtol=0, atol=1e-7)


@pytest.mark.parametrize("average", [0.8, 0.7])
def test_an_average_no_better_than_the_best_epoch_is_left(tmp_path, average):
    run = training(tmp_path, judge=Told(0.5, 0.6, 0.7, 0.8, average), soup=2)
    assert run.run().soup is None
    third = run.keeper.values(3)
    assert all(torch.equal(value, third[name]) for name, value in values(run.model).items() if name in third)


def test_training_stops_early_where_val_no_longer_rises(tmp_path):
    class Flat(Judge):
        def score(self, outputs):
            return 0.5, 0.0

    done = training(tmp_path, judge=Flat(None), epochs=20, patience=2).run()
    assert len(done.epochs) == 3 and "2 epochs" in done.stopped


def test_minutes_stop_training_at_a_whole_epoch_equal_to_one_cut_there(tmp_path):
    ticks = iter(np.arange(0, 1000, 1.0))
    timed = training(tmp_path / "timed", judge=Rising(), epochs=5, max_seconds=16.5, clock=lambda: next(ticks))
    done = timed.run()
    reached = done.epochs[-1].number
    assert 0 < reached < 5 and "dropped" in done.stopped
    whole = training(tmp_path / "whole", judge=Rising(), epochs=5)
    stop = whole._one_more
    whole._one_more = lambda state: "enough" if state.epochs[-1].number == reached else stop(state)
    whole.run()
    assert equal(values(timed.model), values(whole.model))


def test_when_memory_runs_out_the_batch_is_cut_and_gradients_are_added_up(tmp_path):
    whole = training(tmp_path / "whole", judge=Rising(), epochs=1)
    whole.run()
    net = model()
    forward = net.forward

    def tight(batch):
        if batch.count > 3:
            raise torch.OutOfMemoryError("out of memory")
        return forward(batch)

    net.forward = tight
    progress = SilentProgress()
    cut = training(tmp_path / "cut", net, judge=Rising(), epochs=1, progress=progress)
    done = cut.run()
    assert done.state.micro == 2 and any("memory ran out: 2 samples" in line for line in progress.said)
    for name, value in values(whole.model).items():
        torch.testing.assert_close(values(net)[name], value, atol=1e-6, rtol=1e-5, msg=name)


def test_not_even_one_sample_fitting_is_one_line(tmp_path):
    net = model()

    def full(batch):
        raise torch.OutOfMemoryError("out of memory")

    net.forward = full
    with pytest.raises(OutOfMemoryError, match="not even one sample"):
        training(tmp_path, net).run()


def test_a_loss_that_is_no_number_names_epoch_and_rate_and_keeps_the_best(tmp_path):
    run = training(tmp_path, judge=Rising(), epochs=3)
    gradients, steps = run._gradients, []

    def broken(*arguments):
        steps.append(1)
        return math.nan if len(steps) > 4 else gradients(*arguments)

    run._gradients = broken
    with pytest.raises(
        DivergedError, match=r"became nan in epoch 2 at a learning rate of .* the best epoch, 1, is kept"
    ):
        run.run()
    assert (tmp_path / "epoch-001.pt").is_file()


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    whole = training(tmp_path / "whole", judge=Rising())
    whole.run()
    full = training(tmp_path / "full", judge=Rising())
    save, written = torch.save, []

    def no_room(content, file):
        written.append(1)
        if len(written) == 5:
            file.write(b"half")
            raise OSError(28, "No space left on device")
        save(content, file)

    monkeypatch.setattr(torch, "save", no_room)
    with pytest.raises(MedfeatError, match=r"epoch 2: .*what was finished before is kept"):
        full.run()
    monkeypatch.undo()
    assert not list((tmp_path / "full").glob("*.tmp")) and not list((tmp_path / "full").glob(".*.tmp"))
    again = training(tmp_path / "full", judge=Rising())
    again.run()
    assert equal(values(again.model), values(whole.model))


def test_the_callers_random_numbers_are_left_alone(tmp_path):
    run = training(tmp_path, model(dropout=0.5), epochs=1)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    run.run()
    assert torch.equal(torch.rand(2), expected)


def test_every_sample_is_seen_once_an_epoch_and_rare_classes_oftener_when_balanced():
    from medfeat.finetuning.training_settings import TrainingSettings

    plain = TrainingSettings(**SETTINGS)
    order = epoch_order(10, plain, 1, np.ones(10))
    assert (
        sorted(order.tolist()) == list(range(10)) and order.tolist() != epoch_order(10, plain, 2, np.ones(10)).tolist()
    )
    assert [len(part) for part in batches(order, 4)] == [4, 4, 2]
    targets = np.eye(2)[np.r_[np.zeros(900, int), np.ones(100, int)]]
    balanced = TrainingSettings(**SETTINGS, sampler="balanced")
    drawn = epoch_order(1000, balanced, 1, frequencies(targets))
    assert np.mean(drawn >= 900) == pytest.approx(0.5, abs=0.06)
