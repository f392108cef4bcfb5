"""The methods that there are, by name."""

from collections.abc import Callable

from pcdarts.methods.bayesnas import BayesNAS
from pcdarts.methods.darts import DARTS
from pcdarts.methods.drnas import DrNAS
from pcdarts.methods.fair_darts import FairDARTS
from pcdarts.methods.gaea import GAEA
from pcdarts.methods.gdas import GDAS
from pcdarts.methods.method import Method
from pcdarts.methods.p_darts import PDARTS
from pcdarts.methods.parsec import PARSEC
from pcdarts.methods.proxyless import ProxylessNAS
from pcdarts.methods.sampling.enas import ENAS
from pcdarts.methods.sampling.evolution import Evolution
from pcdarts.methods.sampling.nao import NAO
from pcdarts.methods.sampling.pnas import PNAS
from pcdarts.methods.sampling.random_ws import RandomWS
from pcdarts.methods.selection.darts_pt import darts_pt
from pcdarts.methods.selection.te_nas import TENAS
from pcdarts.methods.snas import SNAS

METHODS: dict[str, Callable[..., Method]] = {
    "darts": DARTS,
    "gaea": GAEA,
    "fair-darts": FairDARTS,
    "gdas": GDAS,
    "drnas": DrNAS,
    "parsec": PARSEC,
    "bayesnas": BayesNAS,
    "snas": SNAS,
    "proxyless": ProxylessNAS,
    "random-ws": RandomWS,
    "evolution": Evolution,
    "enas": ENAS,
    "pnas": PNAS,
    "p-darts": PDARTS,
    "nao": NAO,
    "darts-pt": darts_pt,
    "te-nas": TENAS,
}
"""Each is made by `METHODS[name](space, edge_normalization, device, **settings)`, the settings being plain numbers.

Their names and defaults for users are those of `config/groups/method_settings.py`.
"""
