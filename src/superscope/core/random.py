"""Random generators, passed in and never global.

Each use derives its own stream from a seed and a path of names, so that adding a draw in one place changes
nothing in another.
"""

import hashlib

import torch


def generator(seed: int, *path: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return the generator of ``seed`` for the use named by ``path``.

    Streams of different seeds or paths are independent; equal ones are equal on every machine.

    >>> a, b = generator(0, "init", 1), generator(0, "init", 1)
    >>> bool(torch.equal(torch.rand(3, generator=a), torch.rand(3, generator=b)))
    True
    """
    name = "/".join([str(seed), *(str(part) for part in path)])
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1
    return torch.Generator(device=device).manual_seed(number)
