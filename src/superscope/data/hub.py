"""``hf:DATASET[/CONFIG][:SPLIT]``: a folder, the hub's cache or the hub, by Hugging Face's ``datasets``.

The rows become an Arrow file in the cache of ``datasets``, once, which is then mapped into memory: any row
can be read without the others.
"""

import contextlib
import re
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from superscope.core.errors import DataError, SuperscopeError
from superscope.data.named import Request
from superscope.data.samples import IMAGENET, Samples
from superscope.data.tables import TableImages, TableTexts, image_column

_PART = r"[A-Za-z_][\w.]*(?:\[[^\]/]*\])?"
_SPEC = re.compile(rf"(?P<where>.+?)(?::(?P<split>{_PART}(?:\+{_PART})*))?")
_PREFERRED = ("test", "validation", "valid", "val", "dev")
_TIMEOUT = 10.0
"""Seconds to wait for the hub's first answer."""


class _Place(NamedTuple):
    """A data set that may be: a folder, or the name of a repository; and one of its configs, or None."""

    path: str
    config: str | None
    local: bool

    def __str__(self) -> str:
        return self.path if self.config is None else f"{self.path} (config {self.config})"


def load_hub(spec: str, request: Request) -> Samples:
    """Return what ``spec``, the part behind ``hf:``, names: images or texts.

    - A folder, ``FOLDER[:SPLIT]`` or ``FOLDER/CONFIG[:SPLIT]``: one that ``save_to_disk`` wrote, or one as
      the repositories of the hub are (Parquet, CSV, JSON lines or image files, with or without a card).
    - ``NAME``, ``NAME/CONFIG``, ``ORG/NAME`` or ``ORG/NAME/CONFIG``, whichever there is, ORG/NAME before
      NAME/CONFIG. It is looked for in the cache of the hub, in that of ``datasets``, then on the hub itself.

    Without a split, ``test``, else ``validation``, else the only one. A split may be cut (``train[:1000]``).

    Raises:
        DataError: in one line, for what is not there, has no such split or config, or cannot be read.
    """
    datasets = _library()
    where, split = _divided(spec)
    if local := _local(where):
        with _told(spec, local):
            if any((Path(local.path) / name).is_file() for name in ("dataset_dict.json", "state.json")):
                table, split = _saved(datasets, local, split)
            else:
                table, split = _opened(datasets, local, split)
        name = Path(local.path).name
    else:
        place, table, split = _found(datasets, where, split)
        name = place.path if place.config is None else f"{place.path}/{place.config}"
    if not len(table):
        raise DataError(f"hf:{spec} holds no samples")
    image = image_column(table, request.columns)
    if image is None:
        request = request._replace(split=split)
        return request.text(TableTexts(table, request.columns, name))
    return TableImages(
        table,
        image,
        request.columns.label,
        name=name,
        split=split,
        normalization=request.normalization(IMAGENET),
        image_size=request.image_size,
    )


def _library() -> Any:
    try:
        import datasets
    except Exception as error:  # a broken companion raises anything
        raise DataError(
            f"hf:DATASET needs the package datasets ({type(error).__name__}: {error}); "
            "install it with pip install 'superscope[hf]'"
        ) from error
    return datasets


def _divided(spec: str) -> tuple[str, str | None]:
    """Return the name and the split; a folder whose name holds a colon is a folder."""
    match = _SPEC.fullmatch(spec)
    if match is None or Path(spec).expanduser().is_dir():
        return spec, None
    return match["where"], match["split"]


def _local(where: str) -> _Place | None:
    """Return the folder that is meant; None for the name of a repository.

    Raises:
        DataError: for what can only be a folder, and is not there.
    """
    path = Path(where).expanduser()
    if path.is_dir():
        return _Place(str(path.absolute()), None, local=True)
    if path.is_file():
        raise DataError(f"{path} is a file; give the folder it is in, or text:FILE")
    if len(path.parts) > 1 and path.parent.is_dir() and path.parent != Path("/"):
        return _Place(str(path.parent.absolute()), path.name, local=True)
    if where.startswith(("/", ".", "~")) or where.count("/") > 2:
        raise DataError(
            f"{path} does not exist; expected a folder of Parquet, CSV, JSON lines or image files"
        )
    return None


def _found(datasets: Any, where: str, split: str | None) -> tuple[_Place, Any, str]:
    """Return the first place where the data set is, and the table."""
    from huggingface_hub import constants

    parts = where.split("/")
    names = [where] if len(parts) < 3 else ["/".join(parts[:2])]
    places = [_Place(names[0], parts[2] if len(parts) == 3 else None, local=False)]
    if len(parts) == 2:
        places.append(_Place(*parts, local=False))
    faults: list[str] = []
    for place in places:
        if snapshot := _snapshot(place.path):
            try:
                with _told(where, place):
                    return place, *_opened(datasets, _Place(snapshot, place.config, local=True), split)
            except DataError as error:
                faults.append(str(error))
    offline = datasets.config.HF_HUB_OFFLINE or constants.HF_HUB_OFFLINE
    reached = "" if not offline else "offline mode is on (HF_HUB_OFFLINE)"
    for place in places:
        reached = reached or _unreachable(place.path)
        try:
            with _told(where, place), _offline(datasets, bool(reached)):
                return place, *_opened(datasets, place, split)
        except DataError as error:
            faults.append(str(error))
    if told := next((fault for fault in faults if "Couldn't reach" not in fault), None):
        raise DataError(told + (f"; and the hub was not asked: {reached}" if reached else ""))
    raise DataError(
        f"no data set {' or '.join(map(str, places))} in this folder, in the hub's cache "
        f"({constants.HF_HUB_CACHE}) or in that of datasets ({datasets.config.HF_DATASETS_CACHE}), and "
        f"the hub was not asked: {reached}; for a local copy give hf:FOLDER:SPLIT, or set HF_HOME to the "
        "cache that has it"
    )


def _snapshot(name: str) -> str | None:
    """Return the folder of the hub's cache that holds a repository's files; None where it has none."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return str(snapshot_download(name, repo_type="dataset", local_files_only=True))
    except HFValidationError as error:
        raise DataError(f"{name!r} is no folder and no name of a data set: {_line(error)}") from error
    except LocalEntryNotFoundError:
        return None


def _unreachable(name: str) -> str:
    """Ask the hub once for a repository; return why it gave no answer, or nothing where it did."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        HfApi().dataset_info(name, timeout=_TIMEOUT)
    except HfHubHTTPError:  # it answered: it has none of that name, or keeps it closed
        return ""
    except Exception as error:  # noqa: BLE001  # no network raises whatever the HTTP library in use does
        return f"it cannot be reached ({_line(error)})"
    return ""


@contextlib.contextmanager
def _offline(datasets: Any, really: bool) -> Iterator[None]:
    """Have ``datasets`` look no further than its cache, so that it does not try an unreachable hub again."""
    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = before or really
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before


def _opened(datasets: Any, place: _Place, split: str | None) -> tuple[Any, str]:
    """Return the table of a split, and the split; of a local set no other split is prepared."""
    builder = datasets.load_dataset_builder(place.path, place.config)
    files = getattr(builder.config, "data_files", None)
    there = [str(name) for name in (files or builder.info.splits or ())]
    split = _chosen(split, there, place)
    options: dict[str, Any] = {}
    if place.local and files:
        wanted = [name for name in there if name in _names(split)]
        options = {
            "data_files": {name: list(files[name]) for name in wanted},
            "verification_mode": "no_checks",  # a card's sizes are those of all splits
        }
    return datasets.load_dataset(place.path, place.config, split=split, **options), split


def _saved(datasets: Any, place: _Place, split: str | None) -> tuple[Any, str | None]:
    """Return the table that ``save_to_disk`` wrote, and its split."""
    found = datasets.load_from_disk(place.path)
    if isinstance(found, datasets.Dataset):
        own = str(found.split) if found.split is not None else None
        if split is None:
            return found, own
        found = {own or "train": found}
    split = _chosen(split, list(found), place)
    rows = datasets.ReadInstruction.from_spec(split).to_absolute({name: len(found[name]) for name in found})
    parts = [found[each.splitname].select(range(each.from_, each.to)) for each in rows]
    return parts[0] if len(parts) == 1 else datasets.concatenate_datasets(parts), split


def _chosen(split: str | None, there: Sequence[str], place: _Place) -> str:
    """Return the split to read of those there are.

    Raises:
        DataError: when the one asked for is not among them, or none was and there are several.
    """
    if split is None:
        split = next((name for name in _PREFERRED if name in there), None)
        if split is None and len(there) == 1:
            split = there[0]
        if split is None:
            raise DataError(
                f"{place} has the splits {', '.join(there)}; name one, as in :{[*there, 'train'][0]}"
            )
    elif absent := [name for name in _names(split) if name not in there]:
        raise DataError(f"{place} has no {absent[0]} split; there is {' and '.join(there) or 'none'}")
    return split


def _names(split: str) -> list[str]:
    return [part.partition("[")[0] for part in split.split("+")]


@contextlib.contextmanager
def _told(spec: str, place: _Place) -> Iterator[None]:
    """Turn what ``datasets`` says into one line, and keep its progress bars away."""
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    quiet = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    except SuperscopeError:
        raise
    except (
        Exception
    ) as error:  # it raises ValueError, FileNotFoundError, RuntimeError, its own, pyarrow's, ...
        raise DataError(f"hf:{spec}: {place} cannot be read: {_line(error)}") from error
    finally:
        if not quiet:
            enable_progress_bars()


def _line(error: BaseException) -> str:
    """Return what an error says in one line; what caused it where that says more."""
    cause = error.__cause__ or error
    cause = cause if type(error).__name__ == "DatasetGenerationError" else error
    return textwrap.shorten(f"{type(cause).__name__}: {cause}", 300, placeholder=" ...")
