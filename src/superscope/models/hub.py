"""Models and weights of the Hugging Face hub: a local folder, the hub's cache, and only then the network.

What is in the cache is used as it is, without a look at the network, so that a cache copied to a machine
without one works. What has to be fetched is asked for once, with a short wait: huggingface_hub alone would
try six times, 23 s, before it says that there is no network.
"""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from superscope.core.errors import ModelError, WeightsError

PREFIX = "hf:"
_ANSWER = 10.0  # seconds for the hub's list of files
_SAFE = ("model.safetensors", "model.safetensors.index.json")
_TORCH = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".th")


def hub_folder(name: str) -> Path:
    """Return the folder with config, weights and tokenizer of a model: a local one, or the hub's snapshot.

    Args:
        name: a folder, or ``NAME`` or ``OWNER/NAME`` on the hub.

    Raises:
        ModelError: when it is nowhere, or incomplete, or the hub cannot be reached.
    """
    folder = Path(name).expanduser()
    if name and folder.is_dir():
        if lacking := _lacking(folder):
            raise ModelError(
                f"the folder {folder.absolute()} has no {lacking}; give one that save_pretrained wrote"
            )
        return folder
    _require_hub_name(name, ModelError)
    cached = _cached(name)
    if cached is not None and not _lacking(cached):
        return cached
    files = [file for file in _listed(name, ModelError) if "/" not in file]
    weights = ".safetensors" if any(file in _SAFE for file in files) else ".bin"
    kinds = (".json", ".txt", ".model", weights)
    fetched = _fetch(name, [file for file in files if file.endswith(kinds)], ModelError)
    if lacking := _lacking(fetched):
        raise ModelError(f"{PREFIX}{name} on the hub has no {lacking}, so transformers cannot load it")
    return fetched


def hub_file(name: str) -> Path:
    """Return the weights file that ``REPO`` or ``REPO/FILE`` means, REPO being a local folder or on the hub.

    Without FILE it is ``model.safetensors``, or else ``pytorch_model.bin``.

    Raises:
        WeightsError: when it is nowhere, or the hub cannot be reached.
    """
    parts = name.split("/")
    named = [parts[-1]] if parts[-1].endswith(_SUFFIXES) else []
    repo = "/".join(parts[: len(parts) - len(named)])
    if named and len(parts) > 3 and parts[0] not in ("", ".", "..", "~") and not Path(repo).is_dir():
        # a file in a folder of the repository
        repo, named = "/".join(parts[:2]), ["/".join(parts[2:])]
    wanted = named or [_SAFE[0], _TORCH[0]]
    folder = Path(repo).expanduser()
    if folder.is_dir():
        if found := _first(folder, wanted):
            return found
        raise WeightsError(f"the folder {folder.absolute()} has no {' or '.join(wanted)}; name its file")
    _require_hub_name(repo, WeightsError)
    cached = _cached(repo)
    if cached is not None and (found := _first(cached, wanted)):
        return found
    files = _listed(repo, WeightsError)
    present = [file for file in wanted if file in files]
    if not present:
        others = [file for file in files if file.endswith(_SUFFIXES)]
        listed = f"; it has {', '.join(others[:5])}" if others else ""
        raise WeightsError(f"{PREFIX}{repo} on the hub has no {' or '.join(wanted)}{listed}")
    return _fetch(repo, present[:1], WeightsError) / present[0]


def _lacking(folder: Path) -> str | None:
    if not (folder / "config.json").is_file():
        return "config.json"
    return None if _first(folder, (*_SAFE, *_TORCH)) else f"{_SAFE[0]} or {_TORCH[0]}"


def _first(folder: Path, names: Sequence[str]) -> Path | None:
    return next((path for name in names if (path := folder / name).is_file()), None)


def _require_hub_name(name: str, error: type[ModelError]) -> None:
    if not name:
        raise error(f"{PREFIX} names nothing; write {PREFIX}NAME, or {PREFIX}FOLDER for a local copy")
    if name.startswith((".", "/", "~")) or "\\" in name or name.count("/") > 1:
        raise error(f"{PREFIX}{name}: there is no folder {Path(name).expanduser().absolute()}")
    try:
        import huggingface_hub  # noqa: F401
    except ImportError as missing:
        raise error(
            f"{PREFIX}{name} needs the package huggingface_hub ({missing}); pip install 'superscope[hf]'"
        ) from missing


def _cached(repo: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repo, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        return None


def _listed(repo: str, error: type[ModelError]) -> list[str]:
    """Return the names of the repository's files, which also tells whether the hub can be reached at all."""
    from huggingface_hub import HfApi

    try:
        return [each.rfilename for each in HfApi().model_info(repo, timeout=_ANSWER).siblings or ()]
    except Exception as caught:  # of the HTTP library, which one depends on the version
        raise error(_unreachable(repo, caught)) from caught


def _fetch(repo: str, files: Sequence[str], error: type[ModelError]) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repo, allow_patterns=list(files)))
    except Exception as caught:
        raise error(_unreachable(repo, caught)) from caught


def _unreachable(repo: str, caught: Exception) -> str:
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    looked = f"{PREFIX}{repo} is neither a folder nor in the hub's cache {constants.HF_HUB_CACHE}"
    if isinstance(caught, GatedRepoError):
        return (
            f"{looked}, and the hub gives it only to those it knows; accept its terms there and set HF_TOKEN"
        )
    if isinstance(caught, RepositoryNotFoundError | HFValidationError):
        return f"{looked}, and the hub has no such model, or keeps it private; look at the spelling"
    said = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else brief(caught)
    return (
        f"{looked}, and the hub cannot be reached ({said}); download it where there is a network and give "
        f"{PREFIX}FOLDER, or point HF_HUB_CACHE at a cache that has it"
    )


def brief(error: Exception, letters: int = 200) -> str:
    """Return the kind of an error and what it says, on one line of at most so many letters."""
    said = ": ".join(filter(None, (type(error).__name__, str(error))))
    return textwrap.shorten(said, letters, placeholder=" ...")
