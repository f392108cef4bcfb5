"""Which folder is the training, validation or test set: by the usual names, or as the user says; never guessed."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from pcdarts.data.disk.decode import quoted
from pcdarts.data.disk.listing import MOST_LINES, Folder
from pcdarts.errors import InputError, counted, in_short, listed, shown

_MEANINGS = {
    "train": ("train", "training", "trn", "trainval"),
    "val": ("val", "valid", "validation", "dev", "eval", "evaluation"),
    "test": ("test", "testing", "tst"),
}
_SET_OF = {word: meaning for meaning, words in _MEANINGS.items() for word in words}
_WRAPPING = "sets?|data|dataset|split|images?|imgs?|pictures?|photos?|samples?"
_SET_NAME = re.compile(rf"(?:{_WRAPPING})*({'|'.join(sorted(_SET_OF, key=len, reverse=True))})(?:{_WRAPPING})*")

FLAGS = {"train": "--train-set", "val": "--validation-set", "test": "--test-set"}
WHAT_TO_SAY = "say which folder is which with --train-set and --test-set"


def meaning(name: str) -> str | None:
    """`train`, `val` or `test` if a name means that, as `Training`, `train_set` and `val2017` do."""
    match = _SET_NAME.fullmatch("".join(_words(name)))
    return _SET_OF[match[1]] if match else None


def _words(name: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", name.lower())


def _meaning_in(name: str) -> str | None:
    """The meaning of the only word for a set in a name: `train` in `flowers_train`."""
    found = {meaning(word) for word in _words(name)} - {None}
    return found.pop() if len(found) == 1 else None


@dataclass(frozen=True)
class Sets:
    """The folders of the sets; a `val` that does not choose is the test set, or beside `test` training data."""

    root: Path
    train: Folder | None
    val: Folder | None
    test: Folder | None
    notes: tuple[str, ...] = ()
    """What was ignored, and which wrapping folders were entered."""
    chosen: tuple[str, ...] = ()
    """Which of the sets ("train", "val", "test") the user has named."""
    passed: tuple[Folder, ...] = ()
    """The folders around the sets, which may hold other files."""
    val_chooses: bool = False
    """Whether `val` is for choosing, and so neither training nor test data."""

    def called(self, folder: Folder) -> str:
        """The folder's path below the root, for a message."""
        return called(folder.path, self.root)


def called(path: Path, root: Path) -> str:
    """A path for messages: relative to the root; the root itself by its name."""
    return quoted(root.name or root) if path == root else quoted(path.relative_to(root).as_posix())


def find_sets(
    root: Path,
    train_set: str | None = None,
    test_set: str | None = None,
    validation_set: str | None = None,
    val_chooses: bool = False,
) -> Sets:
    """Find the sets in a folder, without looking at images.

    Args:
        root: the folder. If it holds only another folder, as unpacked archives often do, that one is searched.
        train_set, test_set, validation_set: the folders that the user has chosen, as paths below the root; `.` is the
            root itself.
        val_chooses: whether a validation set is for choosing; so is one that is named.

    Raises:
        InputError: a folder cannot be listed, a chosen folder does not exist, two folders mean the same set, or it is
            not clear whether folders are sets or classes.
    """
    test, val = _chosen(root, test_set, "test_set"), _chosen(root, validation_set, "validation_set")
    left_out = frozenset(os.path.realpath(folder.path) for folder in (test, val) if folder)
    train = _chosen(root, train_set, "train_set", left_out)
    _check_are_different({"train_set": train, "validation_set": val, "test_set": test}, root)
    val_chooses = val_chooses or val is not None
    given = {which: folder for which, folder in (("train", train), ("val", val), ("test", test)) if folder}
    chosen = tuple(given)
    top = Folder(root, left_out)
    if train and ((test and (val or not val_chooses)) or train.path == root):
        return Sets(root, train, val, test, (), chosen, () if train.path == root else (top,), val_chooses)
    *passed, base = _down_to_base(top)
    named = _named(base) if chosen else _find_named(base, root)
    found = _by_meaning({folder: which for folder, which in named.items() if which not in chosen}, root)
    found |= given
    if train and "test" in found and not val_chooses:
        found.pop("val", None)  # the user has said what to train on
    if "train" not in found and (chosen or not named):
        found = {"train": base, **given}
    notes = [] if base.path == root else [f"the images are in the folder {called(base.path, root)}"]
    if found.get("train") is not base:
        notes += _ignored(base, found.values(), root)
        passed.append(base)
    train, val, test = (found.get(which) for which in ("train", "val", "test"))
    return Sets(root, train, val, test, tuple(notes), chosen, tuple(passed), val_chooses)


def _check_are_different(chosen: dict[str, Folder | None], root: Path) -> None:
    """Make sure that no two of the folders that the user has chosen are the same.

    Raises:
        InputError: two are.
    """
    seen: dict[str, str] = {}
    for setting, folder in chosen.items():
        if folder is None:
            continue
        other = seen.setdefault(os.path.realpath(folder.path), setting)
        if other != setting:
            raise InputError(
                f"{other} and {setting} are both the folder {called(folder.path, root)}: a network must be tested on "
                "other images than it was trained on or chosen by"
            )


def unwrap(folder: Folder) -> Folder:
    """The only folder with images in `folder` if that one holds folders of images; otherwise `folder` itself."""
    full = folder.full
    return full[0] if len(full) == 1 and not full[0].images and full[0].full else folder


def check_classes_are_no_sets(folder: Folder, root: Path) -> None:
    """Check that the folders in `folder` do not all hold the same sub-folders, as sets do.

    Raises:
        InputError: they do.
    """
    alike = _alike(folder.full)
    if not alike:
        return
    names = listed([called(inner.path, root) for inner in folder.full[:4]], "and")
    more = f" and {len(folder.full) - 4} more" if len(folder.full) > 4 else ""
    if all(map(meaning, alike)):
        raise InputError(
            f"the class folders {names}{more} hold sets ({_some(alike)}): put the sets above the classes, as in "
            "train/CLASS/IMAGE"
        )
    itself = folder.path.relative_to(root).as_posix()
    raise InputError(
        f"{names}{more} hold the same folders ({_some(alike)}), so they seem to be sets and not classes: "
        f"{WHAT_TO_SAY}, or that they are classes with --train-set {shown(itself)}"
    )


def _chosen(root: Path, name: str | None, setting: str, without: frozenset[str] = frozenset()) -> Folder | None:
    """The folder that the user has named."""
    if name is None:
        return None
    parts = PurePath(name).parts
    if PurePath(name).is_absolute() or ".." in parts or "\0" in name:
        raise InputError(
            f"{setting} is {shown(name)}, but it must be a folder inside {quoted(root)}: give its path from there"
        )
    if not os.path.isdir(root / name):
        there = [folder.name for folder in Folder(root).folders]
        known = f"it has {_some(there)}" if there else "it has no folders"
        raise InputError(f"{setting} is {shown(name)}, but {quoted(root)} has no such folder: {known}")
    return Folder(root.joinpath(*parts), without)


def _down_to_base(folder: Folder) -> list[Folder]:
    """The folders from `folder` down to the one that holds the sets or classes, through wrapping folders."""
    folders = [folder]
    while not any(meaning(inner.name) for inner in folders[-1].full):
        inner = unwrap(folders[-1])
        if inner is folders[-1]:
            break
        folders.append(inner)
    return folders


def _named(base: Folder) -> dict[Folder, str]:
    """The folders whose names mean a set; a test or validation set must hold images."""
    named = {folder: which for folder in base.folders if (which := meaning(folder.name))}
    return {folder: which for folder, which in named.items() if which == "train" or folder.holds_images}


def _find_named(base: Folder, root: Path) -> dict[Folder, str]:
    """Which folders in `base` are which sets; empty if they are classes.

    Raises:
        InputError: it is not clear.
    """
    named = _named(base)
    others = [folder for folder in base.full if folder not in named]
    meanings = set(named.values())
    if not others:
        return named
    are_flat = all(folder.images for folder, which in named.items() if which == "train")
    if "train" in meanings and len(meanings) > 1 and not are_flat:
        return named
    partly = {folder: which for folder in base.full if (which := _meaning_in(folder.name))}
    train = [folder for folder, which in partly.items() if which == "train"]
    if train and len(set(partly.values())) > 1 and all(len(unwrap(folder).full) > 1 for folder in train):
        return partly  # seg_train and seg_test, also beside an unlabelled seg_pred
    check_classes_are_no_sets(base, root)
    if not named or (meanings == {"train"} and are_flat):  # a class "train" beside others, such as "bus"
        return {}
    raise _cannot_tell(named, others, base, root)


def _cannot_tell(named: dict[Folder, str], others: Sequence[Folder], base: Folder, root: Path) -> InputError:
    """The error for folders with names of sets beside others."""
    one = len(named) == 1
    names = listed([called(folder.path, root) for folder in list(named)[:3]], "and")
    flags = {FLAGS["test" if which == "val" else which]: folder for folder, which in named.items()}
    sets = " ".join(f"{flag} {shown(folder.path.relative_to(root).as_posix())}" for flag, folder in flags.items())
    return InputError(
        f"it is not clear whether {names} in {quoted(root)}, beside {_some([folder.name for folder in others])}, "
        f"{'is a set or a class' if one else 'are sets or classes'}: give {sets} for {'a set' if one else 'sets'}, or "
        f"--train-set {shown(base.path.relative_to(root).as_posix())} if all folders are classes"
    )


def _by_meaning(named: dict[Folder, str], root: Path) -> dict[str, Folder]:
    """The folder of each set.

    Raises:
        InputError: two folders mean the same set.
    """
    found = {which: folder for folder, which in named.items()}
    if len(found) < len(named):
        meanings = list(named.values())
        twice = [called(folder.path, root) for folder, which in named.items() if meanings.count(which) > 1]
        raise InputError(
            f"image folder {quoted(root)} has {listed(twice, 'and')}, which mean the same set: keep one of them, or "
            f"{WHAT_TO_SAY}"
        )
    return found


def _alike(folders: Sequence[Folder]) -> list[str]:
    """The names of the sub-folders that all `folders` have in common, if these are most of their sub-folders."""
    if len(folders) < 2 or any(folder.images for folder in folders):
        return []
    inner = [{one.name for one in unwrap(folder).full} for folder in folders]
    common = set.intersection(*inner)
    return sorted(common) if len(common) > 1 and 2 * len(common) >= len(set.union(*inner)) else []


def _ignored(base: Folder, used: Iterable[Folder], root: Path) -> list[str]:
    """Notes about the folders in `base` that are not used: a line for each of the first ones, one for the rest."""
    paths = [folder.path for folder in used]
    unused = [
        (called(folder.path, root), sum(len(inner.images) for inner in folder.walk()))
        for folder in base.folders
        if not any(path.is_relative_to(folder.path) for path in paths)
    ]
    lines = [f"ignored the folder {name} ({counted(count, 'image')})" for name, count in unused[:MOST_LINES]]
    if rest := unused[MOST_LINES:]:
        count = counted(sum(count for _, count in rest), "image")
        lines.append(f"ignored {counted(len(rest), 'other folder')} ({count})")
    return lines


def _some(names: Sequence[str]) -> str:
    return in_short([*map(quoted, names)])
