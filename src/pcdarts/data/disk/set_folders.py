"""Which folder is which set: by the names that people give them, or as they say; never by a guess."""

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

WHAT_TO_SAY = "say which folder is which with --train-set and --test-set"


def meaning(name: str) -> str | None:
    """`train`, `val` or `test` where that is what a name says, as `Training`, `train_set` and `val2017` do."""
    match = _SET_NAME.fullmatch("".join(_words(name)))
    return _SET_OF[match[1]] if match else None


def _words(name: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", name.lower())


def _meaning_in(name: str) -> str | None:
    """What the only word for a set in a name says: `train` of `flowers_train`."""
    found = {meaning(word) for word in _words(name)} - {None}
    return found.pop() if len(found) == 1 else None


@dataclass(frozen=True)
class Sets:
    """The folders of the sets; where there is no test set, `val` takes its place, or a part of `train`."""

    root: Path
    train: Folder | None
    val: Folder | None
    test: Folder | None
    notes: tuple[str, ...] = ()
    """What was ignored, and which folders were entered."""
    chosen: tuple[str, ...] = ()
    """Which of them the user has named."""
    passed: tuple[Folder, ...] = ()
    """The folders around them, in which other files may lie."""

    def called(self, folder: Folder) -> str:
        """The folder's path below the root, for a message."""
        return called(folder.path, self.root)


def called(path: Path, root: Path) -> str:
    """A path below the root as it is written in messages; the root by its name."""
    return quoted(root.name or root) if path == root else quoted(path.relative_to(root).as_posix())


def find_sets(root: Path, train_set: str | None = None, test_set: str | None = None) -> Sets:
    """Find the sets in a folder, without looking at images.

    Args:
        root: the folder; one that holds nothing but another one, as archives unpack, is entered.
        train_set, test_set: paths below the root of the folders that the user has chosen; `.` is the root itself.

    Raises:
        InputError: a folder that cannot be listed, a chosen one that is not there, two folders that mean the same set,
            or folders of which nobody can tell whether they are sets or classes.
    """
    test = _chosen(root, test_set, "test_set")
    left_out = frozenset({os.path.realpath(test.path)}) if test else frozenset[str]()
    train = _chosen(root, train_set, "train_set", left_out)
    if train and test and os.path.realpath(train.path) in left_out:
        raise InputError(
            f"train_set and test_set are both the folder {called(train.path, root)}: a network is to be tested on "
            "other images than it has learnt from"
        )
    chosen = tuple(which for which, folder in (("train", train), ("test", test)) if folder)
    top = Folder(root, left_out)
    if train and (test or train.path == root):
        return Sets(root, train, None, test, (), chosen, () if train.path == root else (top,))
    *passed, base = _down_to_base(top)
    named = _named(base) if chosen else _settled(base, root)
    found = _by_meaning({folder: which for folder, which in named.items() if which not in chosen}, root)
    found |= {which: folder for which, folder in (("train", train), ("test", test)) if folder}
    if train and "test" in found:
        found.pop("val", None)  # what is to be learnt from has been said
    if "train" not in found and (chosen or not named):
        found = {"train": base} | ({"test": test} if test else {})
    notes = [] if base.path == root else [f"the images are in the folder {called(base.path, root)}"]
    if found.get("train") is not base:
        notes += _ignored(base, found.values(), root)
        passed.append(base)
    train, val, test = (found.get(which) for which in ("train", "val", "test"))
    return Sets(root, train, val, test, tuple(notes), chosen, tuple(passed))


def entered(folder: Folder) -> Folder:
    """The only folder with images in `folder`, if there is one and it holds folders of images; else `folder`."""
    full = folder.full
    return full[0] if len(full) == 1 and not full[0].images and full[0].full else folder


def check_classes_are_no_sets(folder: Folder, root: Path) -> None:
    """Make sure that the folders in `folder` are not sets which all hold the same classes.

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
        f"{names}{more} hold the same folders ({_some(alike)}), so that they seem to be sets and not classes: "
        f"{WHAT_TO_SAY}, or that they are classes with --train-set {shown(itself)}"
    )


def _chosen(root: Path, name: str | None, setting: str, without: frozenset[str] = frozenset()) -> Folder | None:
    """The folder that the user has named."""
    if name is None:
        return None
    parts = PurePath(name).parts
    if PurePath(name).is_absolute() or ".." in parts or "\0" in name:
        raise InputError(f"{setting} is {shown(name)}, but it is a folder inside --data-root: name it from there")
    if not os.path.isdir(root / name):
        there = [folder.name for folder in Folder(root).folders]
        known = f"it has {_some(there)}" if there else "it has no folders"
        raise InputError(f"{setting} is {shown(name)}, but {quoted(root)} has no such folder: {known}")
    return Folder(root.joinpath(*parts), without)


def _down_to_base(folder: Folder) -> list[Folder]:
    """The folders from `folder` to that of the sets or classes: always the only one with images in it."""
    way = [folder]
    while not any(meaning(inner.name) for inner in way[-1].full):
        further = entered(way[-1])
        if further is way[-1]:
            break
        way.append(further)
    return way


def _named(base: Folder) -> dict[Folder, str]:
    """The folders whose names say which set they are; those of tests and validations must hold images."""
    named = {folder: which for folder in base.folders if (which := meaning(folder.name))}
    return {folder: which for folder, which in named.items() if which == "train" or folder.holds_images}


def _settled(base: Folder, root: Path) -> dict[Folder, str]:
    """Which folders in `base` are sets; none where they are classes.

    Raises:
        InputError: nobody can tell.
    """
    named = _named(base)
    others = [folder for folder in base.full if folder not in named]
    meanings = set(named.values())
    if not others:
        return named
    are_flat = all(folder.images for folder, which in named.items() if which == "train")
    if "train" in meanings and len(meanings) > 1 and not are_flat:
        return named
    told = {folder: which for folder in base.full if (which := _meaning_in(folder.name))}
    learnt = [folder for folder, which in told.items() if which == "train"]
    if learnt and len(set(told.values())) > 1 and all(len(entered(folder).full) > 1 for folder in learnt):
        return told  # seg_train and seg_test, also beside an unlabelled seg_pred
    check_classes_are_no_sets(base, root)
    if not named or (meanings == {"train"} and are_flat):  # trains, beside buses
        return {}
    raise _cannot_tell(named, others, base, root)


def _cannot_tell(named: dict[Folder, str], others: Sequence[Folder], base: Folder, root: Path) -> InputError:
    """What to say of folders with names of sets beside others."""
    one = len(named) == 1
    names = listed([called(folder.path, root) for folder in list(named)[:3]], "and")
    flags = {f"--{'train' if which == 'train' else 'test'}-set": folder for folder, which in named.items()}
    sets = " ".join(f"{flag} {shown(folder.path.relative_to(root).as_posix())}" for flag, folder in flags.items())
    return InputError(
        f"nobody can tell whether {names} in {quoted(root)}, beside {_some([folder.name for folder in others])}, "
        f"{'is a set or a class' if one else 'are sets or classes'}: say {sets} for {'a set' if one else 'sets'}, or "
        f"--train-set {shown(base.path.relative_to(root).as_posix())} if all folders are classes"
    )


def _by_meaning(named: dict[Folder, str], root: Path) -> dict[str, Folder]:
    """The folder of each set."""
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
    """The names of the folders that all `folders` hold, if that is most of what they hold."""
    if len(folders) < 2 or any(folder.images for folder in folders):
        return []
    inner = [{one.name for one in entered(folder).full} for folder in folders]
    common = set.intersection(*inner)
    return sorted(common) if len(common) > 1 and 2 * len(common) >= len(set.union(*inner)) else []


def _ignored(base: Folder, used: Iterable[Folder], root: Path) -> list[str]:
    """Notes about the folders in `base` that are not read: a line for each of the first ones, then one for the rest."""
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
