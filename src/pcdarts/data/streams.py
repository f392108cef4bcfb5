"""Randomness without state: every place that draws random numbers names its own stream."""

import json
from hashlib import blake2b

import torch


def generator(seed: int, *path: str | int) -> torch.Generator:
    """A CPU generator for the stream named by `seed` and `path`, e.g. `generator(seed, "weight", epoch)`.

    A pure function: the same seed and path give the same numbers wherever and whenever they are drawn, so a resumed
    run needs no saved random state; different paths give unrelated numbers. (torch's CPU generator keeps 32 bits of
    its seed: among very many streams two may coincide, which matters for secrets and not for augmentation.)
    """
    digest = blake2b(json.dumps([seed, *path]).encode(), digest_size=4).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big"))
