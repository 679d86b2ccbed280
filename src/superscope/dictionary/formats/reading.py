"""Whose layout a folder has."""

from pathlib import Path

from superscope.core.errors import WeightsError
from superscope.dictionary.dictionary import Dictionary
from superscope.dictionary.formats import saelens, sparsify
from superscope.dictionary.formats.files import CONFIG

_SHOWN = 5


def read_dictionary(folder: Path | str) -> Dictionary:
    """Read a dictionary in the layout of SAELens or of sparsify; the files in the folder tell which.

    What comes back computes what the library that wrote it computes, in float32 on the CPU: where a bias is
    taken off the input or codes are scaled by the decoder's norms, that is folded into the weights. The
    decoder's rows keep the norms they have in the file. ``config`` is the one that the dictionary was trained
    with if superscope wrote it; else its options for training are defaults, and k is a note where the
    architecture does not fix it.

    Args:
        folder: with ``cfg.json`` and ``sae_weights.safetensors`` (SAELens) or ``sae.safetensors`` (sparsify).

    Raises:
        WeightsError: in one line, when there is no such folder, a file is missing or damaged, shapes do not
            fit the config, or the autoencoder is one that superscope does not have (named in the line).
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise WeightsError(f"there is no folder {folder.absolute()}; give one that holds a dictionary")
    for layout, read in ((saelens, saelens.read_saelens), (sparsify, sparsify.read_sparsify)):
        if (folder / layout.WEIGHTS).is_file():
            return read(folder)
    below = sorted(str(path.parent.relative_to(folder)) for path in folder.glob(f"*/**/{CONFIG}"))
    listed = ", ".join(below[:_SHOWN]) + (f" and {len(below) - _SHOWN:,} more" if len(below) > _SHOWN else "")
    hint = f"; give one of the folders in it: {listed}" if below else ""
    raise WeightsError(
        f"{folder.absolute()} has neither {saelens.WEIGHTS} (SAELens) nor {sparsify.WEIGHTS} (sparsify){hint}"
    )
