"""How far long work is, where no person is watching."""

import pytest

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
