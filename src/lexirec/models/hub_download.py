"""Recommenders on the Hugging Face hub: `org/name`, or `org/name@REVISION`, fetched into the hub's own cache."""

from __future__ import annotations

import re
from pathlib import Path

from lexirec.core.errors import ArtifactError

_NAME = re.compile(r"(?P<repository>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w./-]+))?")


def is_hub_name(name: str) -> bool:
    """Say whether a name is one of the hub, and not the path of something here, or in a folder that is here."""
    path = Path(name.partition("@")[0])
    return _NAME.fullmatch(name) is not None and not Path(name).exists() and not path.parent.exists()


def fetch_from_hub(name: str) -> Path:
    """Return the folder of a repository's files, which are downloaded unless they are in the cache.

    Args:
        name: `org/name`, with `@` and a branch, tag or commit for another revision than the newest.

    Raises:
        ArtifactError: there is no such repository or revision, it needs a token, or the hub cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    found = _NAME.fullmatch(name)
    if found is None:
        raise ArtifactError(f"'{name}' is no name of the hub; write org/name or org/name@REVISION")
    repository, revision = found["repository"], found["revision"]
    try:
        return Path(snapshot_download(repository, revision=revision))
    except HFValidationError as error:
        raise ArtifactError(f"'{name}' is no name of the hub ({_line(error)})") from None
    except RevisionNotFoundError:
        raise ArtifactError(f"{name}: the hub's {repository} has no revision '{revision}'; see its page") from None
    except GatedRepoError:
        raise ArtifactError(
            f"{name}: its owner lets in only whom they admit; ask on its page, then `hf auth login`"
        ) from None
    except RepositoryNotFoundError:
        raise ArtifactError(
            f"{name}: there is no such folder here and no such repository on the hub, or it is private; for a private "
            "one, `hf auth login` first"
        ) from None
    except LocalEntryNotFoundError:
        raise ArtifactError(
            f"{name}: there is no such folder here, and the hub cannot be reached (or HF_HUB_OFFLINE is set) while "
            "the cache lacks this revision; go online, or give the path of an exported folder"
        ) from None
    except (HfHubHTTPError, OSError) as error:
        raise ArtifactError(f"{name}: it cannot be fetched from the hub ({_line(error)})") from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
