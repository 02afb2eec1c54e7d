"""Pretrained weights from the libraries' own caches and hubs; what cannot be had is said in one line."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from pathlib import Path

from medfeat.errors import MissingFileError, first_line
from medfeat.types import Progress

_TIMEOUT_S = 15.0
_KNOCK_S = 5.0
_OTHERWISE = "give a file with --weights FILE"


def file_of_url(url: str, *, offline: bool, progress: Progress) -> Path:
    """Return the file of a URL in torch's hub cache, downloading it when it is not there.

    Parameters
    ----------
    url
        Its last part is the file's name there; a digest at the name's end is checked, as torch.hub does.
    offline
        Make no network call.
    progress
        Told of each piece, in bytes.

    Raises
    ------
    MissingFileError
        When the file is not there and may not, or cannot, be fetched; what arrived so far is kept.
    DataError
        When what arrived has another digest, or there is no place for it.
    """
    import torch

    place = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if place.is_file():
        return place
    if offline:
        raise MissingFileError(
            f"weights {place.name} are not on this machine: get {url} and put it at {place}, or {_OTHERWISE}"
        )
    from medfeat.download import Expected, download  # brings in http and ssl

    named = re.search(r"-([0-9a-f]{8,})\.", place.name)
    wanted = Expected("sha256", named[1]) if named else None
    download(url, place, expected=wanted, otherwise=_OTHERWISE, progress=progress)
    return place


def file_of_repo(repo: str, names: tuple[str, ...], *, revision: str | None = None, offline: bool) -> Path:
    """Return the first of these files of a Hugging Face repository, from its cache or its hub.

    Parameters
    ----------
    repo
        ``OWNER/NAME``.
    names
        File names in order of preference.
    revision
        Branch, tag or commit; None is the main branch.
    offline
        Make no network call.

    Raises
    ------
    MissingFileError
        When none is there and may, or can, be fetched.
    """
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    for name in names:
        found = try_to_load_from_cache(repo, name, revision=revision)
        if isinstance(found, str):
            return Path(found)
    either = " or ".join(names)
    at = f" at {revision}" if revision else ""
    pinned = f" --revision {revision}" if revision else ""
    place = f"(looked in {constants.HF_HUB_CACHE})"
    wanted = f"{either} of https://huggingface.co/{repo}{at} is not on this machine {place}"
    advice = f"run `hf download {repo}{pinned}` where there is a network, or give a file with --weights FILE"
    if offline or constants.HF_HUB_OFFLINE:
        raise MissingFileError(f"{wanted}: {advice}")
    if not _answers(constants.ENDPOINT):
        raise MissingFileError(f"{wanted}: {advice} ({constants.ENDPOINT} does not answer)")
    reason = "no such file there"
    for name in names:
        try:
            return Path(hf_hub_download(repo, name, revision=revision, etag_timeout=_TIMEOUT_S))
        except LocalEntryNotFoundError as error:
            raise MissingFileError(f"{wanted}: {advice} (the hub cannot be reached)") from error
        except EntryNotFoundError:
            continue
        except (HfHubHTTPError, OSError) as error:
            reason = first_line(error)
            raise MissingFileError(f"{wanted}: {advice} ({reason})") from error
    raise MissingFileError(f"{wanted}: {advice} ({reason})")


def _answers(endpoint: str) -> bool:
    """Knock once and briefly: the hub's own client retries for half a minute, and says so line by line."""
    try:
        with urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=_KNOCK_S):
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False


def commit_of(path: Path) -> str | None:
    """Read the commit a cached file of a repository belongs to off its place in the cache."""
    parts = path.parts
    if "snapshots" not in parts:
        return None
    commit = parts[parts.index("snapshots") + 1]
    return commit if re.fullmatch(r"[0-9a-f]{40}", commit) else None
