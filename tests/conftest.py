"""Settings of all tests: one thread for every process, and no deadlines, because machines are shared."""

import torch
from hypothesis import settings

settings.register_profile("pcdarts", deadline=None)
settings.load_profile("pcdarts")
torch.set_num_threads(1)
