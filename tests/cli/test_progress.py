"""How far long work is, where no person is watching."""

import io
from dataclasses import dataclass

import pytest
from rich.console import Console

from medfeat.types import SilentProgress
from medfeat.workflows.jobs.each import Overall, each
from medfeat_cli import progress as progress_module
from medfeat_cli.progress import LineProgress


@pytest.fixture
def clock():
    now = [0.0]

    def tell() -> float:
        return now[0]

    tell.now = now
    return tell


def test_a_log_hears_how_far_and_how_long_once_in_a_while(clock, capsys):
    progress = LineProgress(every=60, clock=clock)
    progress.start(1584, "mobilenetv2_100 on adrenalmnist3d")
    for _ in range(10):
        clock.now[0] += 15
        progress.advance(33)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "mobilenetv2_100 on adrenalmnist3d: 132 of 1,584 images, 2.2 images/s, about 0:11:00 left",
        "mobilenetv2_100 on adrenalmnist3d: 264 of 1,584 images, 2.2 images/s, about 0:10:00 left",
    ]


def test_short_work_and_the_end_of_work_say_nothing(clock, capsys):
    progress = LineProgress(every=60, clock=clock)
    progress.start(4, "linear", unit="settings")
    for _ in range(3):
        clock.now[0] += 10
        progress.advance(1)
    clock.now[0] += 1000
    progress.advance(1)  # all done: the result follows at once
    progress.finish()
    assert capsys.readouterr().err == ""


def test_each_stretch_is_timed_from_its_own_start(clock, capsys):
    progress = LineProgress(every=60, clock=clock)
    progress.start(100, "reading")
    clock.now[0] += 59
    progress.advance(50)
    progress.start(100, "embedding")
    clock.now[0] += 59
    progress.advance(50)
    assert capsys.readouterr().err == ""
    clock.now[0] += 1
    progress.advance(25)
    assert "embedding: 75 of 100 images, 1.2 images/s, about 0:00:20 left" in capsys.readouterr().err


def test_of_very_slow_work_only_the_time_left_is_told(clock, capsys):
    progress = LineProgress(every=60, clock=clock)
    progress.start(4, "mlp", unit="settings")
    clock.now[0] += 100
    progress.advance(1)
    assert capsys.readouterr().err == "mlp: 1 of 4 settings, about 0:05:00 left\n"


def test_a_log_says_which_of_several_runs_a_line_is_about(clock, capsys):
    progress = LineProgress(every=60, clock=clock)
    progress.whole(3, 18, "run")
    progress.start(100, "mlp", unit="settings")
    clock.now[0] += 60
    progress.advance(50)
    assert capsys.readouterr().err.startswith("run 4 of 18, mlp: 50 of 100 settings")
    progress.whole(18, 18, "run")
    progress.start(100, "drawing", unit="figures")
    clock.now[0] += 60
    progress.advance(50)
    assert capsys.readouterr().err.startswith("drawing: 50 of 100")


@pytest.fixture
def bars(monkeypatch, clock):
    """A bar on a terminal of 80 letters, whose screen is kept."""
    screen = Console(file=io.StringIO(), force_terminal=True, width=80)
    monkeypatch.setattr(progress_module, "_console", lambda: screen)
    return progress_module._TerminalProgress(clock)


def shown(bars):
    return [(task.description, task.fields["said"]) for task in bars._bars.tasks]


def test_one_bar_says_how_far_all_runs_are_and_one_how_far_this_one(bars, clock):
    bars.whole(0, 18, "run")
    assert shown(bars) == [("run 1 of 18", "")]
    clock.now[0] += 24
    bars.whole(3, 18, "run")
    bars.start(15, "linear", unit="settings")
    bars.advance(5)
    assert shown(bars)[0] == ("run 4 of 18", "2 min left")
    assert shown(bars)[1][0] == "linear" and shown(bars)[1][1].startswith("5/15")
    bars.finish()
    assert [name for name, _ in shown(bars)] == ["run 4 of 18"]


def test_bars_vanish_when_they_are_done(bars):
    bars.whole(0, 2, "run")
    bars.start(10, "linear", unit="settings")
    bars.advance(10)
    bars.whole(2, 2, "run")
    assert bars._bars is None
    ended = bars_file(bars)
    assert ended.rstrip().endswith("\x1b[2K")  # the lines of the bars are erased, and nothing is printed after them


def bars_file(bars):
    return progress_module._console().file.getvalue()


def test_a_single_stretch_has_one_bar_that_vanishes(bars):
    bars.start(10, "embedding")
    bars.advance(4)
    assert len(shown(bars)) == 1
    bars.finish()
    assert bars._bars is None


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "1 s left"), (89, "89 s left"), (150, "2 min left"), (7200, "2.0 h left")]
)
def test_time_left_is_as_exact_as_it_can_be_known(seconds, said):
    assert progress_module.time_left(seconds) == said


def test_every_job_is_counted_once_and_a_single_one_not_at_all():
    class Whole(SilentProgress):
        def whole(self, done, total, what):
            self.said.append(f"{what} {done} of {total}")

    told = Whole()
    overall = Overall(told, "run", 3)
    jobs = [Job("a"), Job("b"), Job("c")]
    each(jobs[:2], str, overall=overall)
    each(jobs[2:], str, overall=overall)
    overall.end()
    assert told.said == ["run 0 of 3", "run 1 of 3", "run 2 of 3", "run 3 of 3"]
    alone = Whole()
    each(jobs[:1], str, overall=Overall(alone, "run", 1))
    assert alone.said == []


@dataclass(frozen=True)
class Job:
    name: str
