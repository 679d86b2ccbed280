"""Matrix products, by whichever library multiplies faster here."""

import numpy as np
import torch
from torch import Tensor

from superscope.core.runtime import numpy_multiplies_faster


def product(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """Return a b of two matrices, into ``out`` where it is given."""
    single = a.device.type == "cpu" and a.dtype == torch.float32 and torch.get_num_threads() == 1
    if single and numpy_multiplies_faster():
        into = None if out is None else out.numpy()
        with np.errstate(all="ignore"):  # what is not finite is looked for in the loss
            return torch.from_numpy(np.matmul(a.detach().numpy(), b.detach().numpy(), out=into))
    return torch.mm(a, b) if out is None else torch.mm(a, b, out=out)
