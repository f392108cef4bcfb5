"""`pcdarts methods`: the search methods that there are."""

import sys

from pcdarts.config.bench_config import MethodsConfig
from pcdarts.config.groups.method_settings import METHOD_SETTINGS


def run_methods(config: MethodsConfig) -> None:
    """Print a line for each method; where another program reads them, only their names."""
    if not sys.stdout.isatty():
        print(*METHOD_SETTINGS, sep="\n")
        return
    width = max(map(len, METHOD_SETTINGS))
    for name, settings in METHOD_SETTINGS.items():
        print(f"{name:{width}}  {(settings.__doc__ or '').strip().splitlines()[0]}")
    print("pcdarts search --method NAME --help shows its settings; recipes: NAME (published), NAME-small (minutes)")
