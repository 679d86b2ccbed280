"""Dictionaries on the Hugging Face hub."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from superscope.core.errors import ModelError, WeightsError
from superscope.dictionary.dictionary import Dictionary
from superscope.dictionary.formats import saelens, sparsify
from superscope.dictionary.formats.files import CONFIG
from superscope.dictionary.formats.reading import read_dictionary
from superscope.dictionary.formats.saelens import write_saelens
from superscope.models.hub import brief

_FILES = (CONFIG, saelens.WEIGHTS, sparsify.WEIGHTS)


def to_hub(
    dictionary: Dictionary,
    repo: str,
    folder: str = "",
    *,
    private: bool = False,
    metadata: Mapping[str, Any] | None = None,
) -> str:
    """Upload a dictionary in SAELens' layout, and return the address of the commit.

    The repository is made where it is not there. The token is huggingface_hub's: HF_TOKEN, or its login.

    Args:
        dictionary: what is uploaded.
        repo: OWNER/NAME.
        folder: in the repository, its root by default; SAELens' ``SAE.from_pretrained(repo, folder)`` needs
            one.
        private: whether a repository that is made is private.
        metadata: as for :func:`write_saelens`.

    Raises:
        ModelError: when huggingface_hub is not there, or the hub cannot be reached or does not let you.
    """
    hub = _hub(repo)
    with tempfile.TemporaryDirectory() as temporary:
        write_saelens(dictionary, temporary, metadata)
        try:
            api = hub.HfApi()
            api.create_repo(repo, private=private, exist_ok=True)
            done = api.upload_folder(
                repo_id=repo,
                folder_path=temporary,
                path_in_repo=folder or None,
                commit_message=f"Upload a {dictionary.config.architecture} dictionary",
            )
        except Exception as error:  # of the HTTP library, which one depends on the version
            raise ModelError(_reason(repo, error, "nothing was uploaded")) from error
    return str(done.commit_url)


def from_hub(repo: str, folder: str = "", revision: str | None = None) -> Dictionary:
    """Read a dictionary of the hub, SAELens' or sparsify's, from the cache where it is there.

    Args:
        repo: OWNER/NAME.
        folder: in the repository, its root by default.
        revision: a branch, tag or commit.

    Raises:
        ModelError: when huggingface_hub is not there, or the hub cannot be reached or has no such repository.
        WeightsError: when the repository has no dictionary there, or one that cannot be read.
    """
    hub = _hub(repo)
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    wanted = [f"{folder}/{name}" if folder else name for name in _FILES]
    try:
        cached = Path(hub.snapshot_download(repo, revision=revision, local_files_only=True), folder)
        complete = (cached / CONFIG).is_file() and any((cached / name).is_file() for name in _FILES[1:])
    except HFValidationError as error:
        raise ModelError(_reason(repo, error, "")) from error
    except LocalEntryNotFoundError:
        cached, complete = Path(), False
    if complete:
        return read_dictionary(cached)
    try:
        fetched = Path(hub.snapshot_download(repo, revision=revision, allow_patterns=wanted), folder)
    except Exception as error:
        raise ModelError(
            _reason(repo, error, f"it is not in the cache {hub.constants.HF_HUB_CACHE}")
        ) from error
    if not fetched.is_dir() or not any((fetched / name).is_file() for name in _FILES[1:]):
        where = f"its folder {folder}" if folder else "its root; give the folder of one"
        raise WeightsError(f"the repository {repo} has no dictionary in {where}")
    return read_dictionary(fetched)


def _hub(repo: str) -> Any:
    try:
        import huggingface_hub
    except ImportError as missing:
        raise ModelError(
            f"{repo} on the hub needs the package huggingface_hub ({missing}); pip install 'superscope[hf]'"
        ) from missing
    return huggingface_hub


def _reason(repo: str, error: Exception, state: str) -> str:
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    if isinstance(error, HFValidationError):
        return f"{repo!r} is no repository's name: {brief(error)}; write OWNER/NAME"
    if isinstance(error, GatedRepoError):
        return (
            f"the hub gives {repo} only to those it knows; accept its terms there and set HF_TOKEN; {state}"
        )
    if isinstance(error, RepositoryNotFoundError):
        return f"the hub has no {repo}, or keeps it private; look at the spelling, or set HF_TOKEN; {state}"
    said = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else brief(error)
    return f"the hub cannot be reached for {repo} ({said}); {state}"
