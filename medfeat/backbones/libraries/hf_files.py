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

from medfeat.backbones.libraries.hf_processing import Processing, read_processing, side_of
from medfeat.backbones.library import Access
from medfeat.backbones.weights.hub import commit_of, file_of_repo
from medfeat.errors import DataError, MissingFileError, UsageError, first_line
from medfeat_cache import reading

# Who wrote a configuration, and where: it builds the same network without them
_INCIDENTAL = ("_name_or_path", "transformers_version")
_REVISION = re.compile(r"\w[\w+-]*([./][\w+-]+)*")


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
    repo, revision = _split_source(source_id)
    file = _file(repo, ("config.json",), revision, access)
    config = read_json(file)
    if file.parent == access.folder:
        identity = f"config:{_config_digest(config, file.parent)}"
    else:
        identity = commit_of(file) or revision
    return Configured(repo, identity, _processing(repo, revision, config.get("vision_config") or config, access))


def _split_source(source_id: str) -> tuple[str, str]:
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
        content = reading.read_json(file)
    except (OSError, ValueError) as error:
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
        native = side_of(config.get("image_size") or 224)
        return read_processing(content.get("image_processor", content), native, str(file))
    except DataError:
        raise
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise DataError(f"{file} does not say how images are prepared ({first_line(error)}): get it again") from error
