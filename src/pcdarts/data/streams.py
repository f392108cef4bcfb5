"""Random numbers without state: all code that draws random numbers names its own stream."""

import json
from hashlib import blake2b

import torch


def generator(seed: int, *path: str | int) -> torch.Generator:
    """A CPU generator for the stream named by `seed` and `path`, e.g. `generator(seed, "weight", epoch)`.

    A pure function: the same seed and path always give the same numbers, so a resumed run needs no saved random state;
    different paths give independent numbers. (torch's CPU generator keeps 32 bits of its seed, so two of very many
    streams may coincide; that is harmless here.)
    """
    digest = blake2b(json.dumps([seed, *path]).encode(), digest_size=4).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big"))
