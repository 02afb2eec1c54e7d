"""What lies beside the weights of a Hugging Face model: which model it is, and how its images are prepared."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # public, though not re-exported

from medfeat.backbones.download import commit_of, file_of_repo, first_line
from medfeat.backbones.network import Access
from medfeat.errors import DataError, MissingFileError, UsageError
from medfeat.types import Interpolation

# Pillow's numbers for its filters, which image processors store
_FILTERS: dict[int, Interpolation] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
# Who wrote a configuration, and where: it builds the same network without them
_INCIDENTAL = ("_name_or_path", "transformers_version")
_REVISION = re.compile(r"\w[\w+-]*([./][\w+-]+)*")


@dataclass(frozen=True)
class Processing:
    """What an image processor's configuration says, as far as it changes the network's input."""

    size: int
    resize: int
    squash: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: Interpolation


@dataclass(frozen=True)
class Configured:
    """A model as its configuration files describe it.

    Attributes
    ----------
    repo
        ``OWNER/REPO``, as it was named.
    identity
        The commit of a repository, ``config:DIGEST`` of a folder, or the revision as it was named.
    processing
        Of its images.
    """

    repo: str
    identity: str
    processing: Processing

    @property
    def source_id(self) -> str:
        """The repository and what identifies its state."""
        return f"{self.repo}@{self.identity}" if self.identity else self.repo


def configured(source_id: str, access: Access) -> Configured:
    """Read the configuration files of a repository, or those of the user's own folder.

    Parameters
    ----------
    source_id
        ``OWNER/REPO[@REVISION]``.
    access
        Whether they may be fetched, and the folder where they are looked for first.

    Raises
    ------
    UsageError
        When no repository can have this name.
    MissingFileError
        When a file is not there and may not, or cannot, be fetched.
    DataError
        When a file is damaged.
    """
    repo, revision = split_source(source_id)
    file = _file(repo, ("config.json",), revision, access)
    config = read_json(file)
    if file.parent == access.folder:
        identity = f"config:{_config_digest(config, file.parent)}"
    else:
        identity = commit_of(file) or revision
    return Configured(repo, identity, _processing(repo, revision, config.get("vision_config") or config, access))


def split_source(source_id: str) -> tuple[str, str]:
    """Split ``OWNER/REPO[@REVISION]`` in two, or say that no repository can have this name."""
    repo, at, revision = source_id.partition("@")
    wrong = f"a Hugging Face backbone must be named hf:OWNER/REPO[@REVISION], got {f'hf:{source_id}'!r}"
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise UsageError(f"{wrong}: copy OWNER/REPO from its page on https://huggingface.co") from error
    if repo.count("/") != 1 or (at and not _REVISION.fullmatch(revision)):
        raise UsageError(f"{wrong}: REVISION is a branch, a tag or a commit")
    return repo, revision


def read_json(file: Path) -> dict[str, Any]:
    """Read a file that must hold one JSON object."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file} is not readable JSON ({first_line(error)}): get it again") from error
    if not isinstance(content, dict):
        raise DataError(f"{file} must hold a JSON object, got a {type(content).__name__}: get it again")
    return content


def _file(repo: str, names: tuple[str, ...], revision: str, access: Access) -> Path:
    own = [access.folder / name for name in names if access.folder and (access.folder / name).is_file()]
    return own[0] if own else file_of_repo(repo, names, revision=revision or None, offline=access.offline)


def _config_digest(config: dict[str, Any], folder: Path) -> str:
    """Digest what builds the network: the same tensors under another configuration are another network."""
    told = json.dumps(_essential(config), sort_keys=True, separators=(",", ":"))
    digest = hashlib.blake2b(told.encode(), digest_size=8)
    for code in sorted(folder.rglob("*.py")) if "auto_map" in config else ():
        digest.update(f"\n{code.relative_to(folder).as_posix()}\n".encode() + code.read_bytes())
    return digest.hexdigest()


def _essential(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _essential(inner) for key, inner in value.items() if key not in _INCIDENTAL}
    return value


def _processing(repo: str, revision: str, config: dict[str, Any], access: Access) -> Processing:
    names = ("preprocessor_config.json", "processor_config.json")
    try:
        file = _file(repo, names, revision, access)
    except MissingFileError as error:
        message = f"hf:{repo} has no preprocessor_config.json at hand, so its preprocessing is not known ({error})"
        raise MissingFileError(message) from error
    content = read_json(file)
    try:
        return read_processing(content.get("image_processor", content), _side(config.get("image_size") or 224))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise DataError(f"{file} does not say how images are prepared ({first_line(error)}): get it again") from error


def read_processing(content: dict[str, Any], native: int) -> Processing:
    """Read an image processor's configuration.

    Parameters
    ----------
    content
        Of ``preprocessor_config.json``.
    native
        Side in pixels the network was made for, where the processor does not say.

    Returns
    -------
    Processing
        Sizes, filter and normalisation.

    Raises
    ------
    ValueError
        For sizes or colours that no network takes; what is of the wrong type raises what Python raises.
    """
    size = content.get("size", native)
    if isinstance(size, dict):
        squash = "shortest_edge" not in size
        resize = int(size.get("shortest_edge") or size.get("height") or native)
    else:
        # old processors stored one number; those that crop meant the shorter edge by it
        resize, squash = _side(size), not content.get("do_center_crop", False)
    crops, normalises = content.get("do_center_crop", False), content.get("do_normalize", True)
    found = Processing(
        size=_side(content.get("crop_size") or resize) if crops else resize,
        resize=resize,
        squash=squash,
        mean=_colours(content["image_mean"]) if normalises and "image_mean" in content else (0.0,) * 3,
        std=_colours(content["image_std"]) if normalises and "image_std" in content else (1.0,) * 3,
        interpolation=_FILTERS.get(int(content.get("resample", 2)), "bilinear"),
    )
    if found.size < 1 or found.resize < 1 or not all(found.std):
        raise ValueError(f"size {found.size}, resize {found.resize}, std {found.std}")
    return found


def _side(value: Any) -> int:
    """Read the side of a square, which some spell as a number, others as two or as height and width."""
    if isinstance(value, dict):
        value = value["height"]
    return int(value[0] if isinstance(value, list) else value)


def _colours(value: Any) -> tuple[float, ...]:
    values = tuple(float(one) for one in value)
    if len(values) != 3:
        raise ValueError(f"{len(values)} colours instead of 3")
    return values
