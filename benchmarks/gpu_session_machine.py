"""What `gpu_session.py` runs on: the machine in words, packages that it lacks, and images."""

import importlib.metadata
import json
import re
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gpu_session_commands import ROOT, Session
from gpu_session_data import synthetic

EXTRAS = ("detection", "onnx")
"""Of pyproject.toml, which the smoke test uses."""

DESCRIPTION = """
import json, os, platform
found = {"python": platform.python_version(), "cores": os.cpu_count()}
try:
    found["memory_gb"] = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9)
    import torch, torchvision
    found |= {"torch": torch.__version__, "torchvision": torchvision.__version__, "cuda": torch.version.cuda}
    found |= {"cudnn": torch.backends.cudnn.version(), "cuda_is_available": torch.cuda.is_available()}
    if torch.cuda.is_available():
        about = torch.cuda.get_device_properties(0)
        found |= {"gpus": torch.cuda.device_count(), "card": about.name}
        found |= {"card_memory_gb": round(about.total_memory / 1e9, 1), "multiprocessors": about.multi_processor_count}
        found |= {"capability": f"{about.major}.{about.minor}", "bf16": torch.cuda.is_bf16_supported()}
        found["tf32_as_set"] = [torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32]
        product = torch.ones(64, 64, device="cuda") @ torch.ones(64, 64, device="cuda")
        found["a_product_is_right"] = bool((product == 64).all())
except Exception as error:
    found["error"] = repr(error)
print(json.dumps(found))
"""

TEST_IMAGES = 1000
"""Unpacked at most: nothing here reports a test error, and every job reads them all."""

DRIVER = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total,clocks.sm,clocks.max.sm", "--format=csv"]


def install_wheels(session: Session, wheels: Path | None) -> None:
    """Say which packages are missing, and install those that are in the folder into one of the session's own."""
    session.about["missing_packages"] = missing = missing_packages()
    print(f"missing packages: {', '.join(missing) or 'none'}", flush=True)
    if wheels is None:
        return
    files = sorted(wheels.glob("*.whl"))
    if not files:
        session.note(f"{wheels} holds no wheels: nothing was installed")
        return
    site = session.work / "site"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile", "--no-cache-dir"]
    session.command("machine", "wheels", [*pip, "--upgrade", "--target", site, *(file.resolve() for file in files)], 90)
    session.environment["PYTHONPATH"] += f":{site}"
    # Found here too, where COCO files and junit reports are made without them, but what is missing is asked again.
    sys.path.append(str(site))
    importlib.invalidate_caches()
    session.about["missing_after_wheels"] = still = missing_packages()
    if still:
        session.note(f"still missing after the wheels: {', '.join(still)}")


def missing_packages() -> list[str]:
    """Of what pyproject.toml asks for, pytest and its time limits, what is not installed or too old."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], "pytest>=8", "pytest-timeout>=2.3", "hypothesis>=6.100"]
    for extra in EXTRAS:
        wanted += project["optional-dependencies"][extra]
    missing = []
    for requirement in wanted:
        name, _, least = requirement.partition(">=")
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(requirement)
            continue
        if numbers(version) < numbers(least):
            missing.append(f"{requirement} (there is {version})")
    return missing


def numbers(version: str) -> list[int]:
    """`2.11.0+cu130` as [2, 11, 0]."""
    return [int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3]]


def describe_machine(session: Session, device: str) -> None:
    """Versions, card, driver and memory, in the summary before anything else."""
    ended = session.command("machine", "facts", [sys.executable, "-c", DESCRIPTION], 120)
    try:
        session.about["machine"] = json.loads(ended.text().splitlines()[-1])
    except (ValueError, IndexError):
        session.note(f"the machine could not be described: {ended.tail(5)}")
    if device == "cuda":
        driver = session.command("machine", "driver", DRIVER, 30)
        session.about.setdefault("machine", {})["driver"] = driver.tail(1)
    print(json.dumps(session.about.get("machine", {})), flush=True)
    session.save()


@dataclass(frozen=True)
class SomeImages:
    """An image folder, and what is to be said of it."""

    folder: Path
    what: str
    train: int


def prepare_images(session: Session, given: Sequence[Path], tiny: bool) -> SomeImages:
    """The image folder made of all pieces, or of noise where there are none."""
    pieces = [file for path in given for file in (sorted(path.glob("*.zip")) if path.is_dir() else [path])]
    pieces = list({file.name: file for file in pieces if file.is_file()}.values())
    folder = session.work / "images"
    if pieces:
        script = Path(__file__).with_name("gpu_session_data.py")
        unpack = [
            sys.executable,
            script,
            "unpack",
            folder,
            *map(Path.resolve, pieces),
            "--test-images",
            str(TEST_IMAGES),
        ]
        ended = session.command("machine", "images", unpack, 120)
        of = re.search(r"-of-(\d+)", pieces[0].name)
        if ended.ended == "done":
            counts = json.loads(ended.text().splitlines()[-1])
            what = f"{counts['train']:,} real training images, of {len(pieces)} pieces"
            if of and int(of[1]) > len(pieces):
                what += f" ({of[1]} make up the whole set: an epoch has fewer steps than the paper's)"
            session.note(what)
            return SomeImages(folder, what, counts["train"])
    train, test, side = (160, 40, 8) if tiny else (50_000, TEST_IMAGES, 32)
    folder = session.work / "noise"
    synthetic(folder, train, test, side)
    what = f"{train:,} synthetic training images (noise), because no piece of real ones was given"
    session.note(what)
    return SomeImages(folder, what, train)
