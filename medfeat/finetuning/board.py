"""A training as TensorBoard shows it, told epoch by epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from medfeat.errors import MedfeatError, MissingExtraError
from medfeat.finetuning.checkpoint import Epoch


def require_board() -> None:
    """Refuse where TensorBoard is not installed.

    Raises
    ------
    MissingExtraError
        Naming the extra that installs it.
    """
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise MissingExtraError.of("--tensorboard needs", "tensorboard", "tensorboard", error) from error


@contextmanager
def board(folder: Path, scores: tuple[str, str]) -> Iterator[Callable[[Epoch], None]]:
    """Yield what writes an epoch for TensorBoard; what was written of an epoch before, a resumed training repeats.

    Parameters
    ----------
    folder
        Of this training.
    scores
        Names of the two scores of val.

    Raises
    ------
    MedfeatError
        It cannot be written.
    """
    from torch.utils.tensorboard import SummaryWriter

    def told(epoch: Epoch) -> None:
        values = {f"val/{scores[0]}": epoch.first, f"val/{scores[1]}": epoch.second}
        if epoch.loss is not None:
            values |= {"train/loss": epoch.loss, "train/rate": epoch.lr, "images per second": epoch.images_per_second}
        for name, value in values.items():
            writer.add_scalar(name, value, epoch.number)
        writer.flush()

    try:
        with SummaryWriter(str(folder)) as writer:
            yield told
    except OSError as error:
        raise MedfeatError(f"cannot write for TensorBoard in {folder} ({error}): name another folder") from error
