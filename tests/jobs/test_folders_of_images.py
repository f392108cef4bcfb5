"""Search, training and test on the user's own images, of any size and in colour or grey."""

import json
import shlex
import shutil
from pathlib import Path

import pytest
from PIL import Image

from command_line import done, metrics_of, refused, result_of, run_in, until_the_error
from pcdarts.data.disk.image_folder import find_images

TINY_NETWORK = ("--channels", "2", "--num-cells", "3", "--epochs", "1")
TINY_SEARCH = ("search", *TINY_NETWORK, "--k", "2", "--num-nodes", "4", "--arch-frozen-epochs", "0")


@pytest.mark.parametrize("images", ["colour_images", "grey_images"])
def test_a_folder_of_images_goes_all_the_way(tmp_path: Path, images: str, request: pytest.FixtureRequest) -> None:
    root: Path = request.getfixturevalue(images)
    printed = done(tmp_path, *TINY_SEARCH, "--data", "folder", "--data-root", str(root), "--image-size", "17")
    called = root.name.replace(" ", "-")
    search = tmp_path / "runs" / f"search-{called}-001"
    assert result_of(search)["evaluation_network"]["num_classes"] == 3
    assert result_of(search)["evaluation_network"]["image_size"] == 17
    assert metrics_of(search)[-1]["arch_loss"] > 0

    next_command = shlex.split(printed.splitlines()[-1].removeprefix("next: "))
    printed = done(tmp_path, *next_command[1:], *TINY_NETWORK)
    run = tmp_path / "runs" / f"train-{called}-001"
    error = result_of(run)["test_top1_error"]

    next_command = shlex.split(printed.splitlines()[-1].removeprefix("next: "))
    printed = done(tmp_path, *next_command[1:])
    assert until_the_error(printed) == [
        "3 classes: ant, bee and wasp",
        f"training set: 18 of the 24 images in '{root.name}'; test set: the other 6, a fifth of each "
        "class (one image at least), because there is no labelled test set",
        "validation set: 3 of the 18 training images, drawn of each class (--validation-fraction 0.15); the other 15 "
        "are learnt from",
        f"runs/{run.name}: top-1 error {error:.2f} % of 6 images (a fifth of each class, kept for this because there "
        "is no test set)",
    ]


@pytest.fixture(scope="module")
def trained_on_a_folder(tmp_path_factory: pytest.TempPathFactory, colour_images: Path) -> Path:
    """A training on a folder without a test set, beside that folder, which is called `mine`."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copytree(colour_images, folder / "mine")
    arguments = ["--genotype", "random:1", "--data", "folder", "--data-root", "mine", "--image-size", "9"]
    done(folder, "train", *arguments, *TINY_NETWORK, "--run", "run")
    return folder


def measured(folder: Path, *arguments: str) -> str:
    """The error that `pcdarts test` prints, without the name of the run."""
    return until_the_error(done(folder, "test", "run", *arguments))[-1].removeprefix("run: top-1 error ")


def test_the_runs_own_data_is_known_where_it_has_moved(tmp_path: Path, trained_on_a_folder: Path) -> None:
    shutil.copytree(trained_on_a_folder / "run", tmp_path / "run")
    shutil.copytree(trained_on_a_folder / "mine", tmp_path / "elsewhere")
    error = result_of(tmp_path / "run")["test_top1_error"]
    expected = f"{error:.2f} % of 6 images (a fifth of each class, kept for this because there is no test set)"
    for arguments in (["--data-root", "elsewhere"], ["--data", "folder", "--data-root", "elsewhere"]):
        assert measured(tmp_path, *arguments) == expected


def test_a_run_says_that_its_images_have_changed(trained_on_a_folder: Path) -> None:
    warning = "warning: these are not the images that run was trained and tested on"
    assert warning not in done(trained_on_a_folder, "test", "run")
    new = shutil.copy(trained_on_a_folder / "mine" / "ant" / "0.png", trained_on_a_folder / "mine" / "ant" / "new.png")
    assert warning in done(trained_on_a_folder, "test", "run").splitlines()
    new.unlink()


def test_of_other_data_without_a_test_set_all_images_are_measured(tmp_path: Path, trained_on_a_folder: Path) -> None:
    shutil.copytree(trained_on_a_folder / "run", tmp_path / "run")
    other = tmp_path / "other"
    for name in ("ant", "bee", "wasp"):
        shutil.copytree(trained_on_a_folder / "mine" / name, other / name)
        (other / name / "0.png").unlink()
    for arguments in (["--data-root", "other"], ["--data", "folder", "--data-root", "other"]):
        assert measured(tmp_path, *arguments).endswith(" % of 21 images (all images of 'other': it has no test set)")
    other.rename(tmp_path / "dev")
    other.mkdir()
    (tmp_path / "dev").rename(other / "dev")
    assert measured(tmp_path, "--data-root", "other").endswith(" % of 21 images (the validation set 'dev')")
    assert measured(tmp_path, "--data-root", ".", "--test-set", "other/dev").endswith(" (the folder 'other/dev')")


def test_greyscale_images_are_three_equal_channels_to_a_network_of_colours(
    trained_on_a_folder: Path, grey_images: Path, tmp_path: Path
) -> None:
    in_colour = tmp_path / grey_images.name
    for path in grey_images.rglob("*.png"):
        place = in_colour / path.relative_to(grey_images)
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).convert("RGB").save(place)
    line = measured(trained_on_a_folder, "--data", "folder", "--data-root", str(grey_images))
    assert " % of 24 images (" in line
    assert measured(trained_on_a_folder, "--data", "folder", "--data-root", str(in_colour)) == line


def test_images_that_a_run_was_trained_on_are_left_out_wherever_links_lead_to_them(trained_on_a_folder: Path) -> None:
    wider = trained_on_a_folder / "wider"
    for name in ("ant", "bee", "wasp"):
        (wider / name).mkdir(parents=True)
        (wider / name / "mine").symlink_to(trained_on_a_folder / "mine" / name)
        shutil.copy(trained_on_a_folder / "mine" / name / "0.png", wider / name / "new.png")
    words = (
        "of 9 images (all images of 'wider', but 18 that the network was trained on or chosen by: it has no test set)"
    )
    assert measured(trained_on_a_folder, "--data", "folder", "--data-root", "wider").endswith(words)

    alone = trained_on_a_folder / "alone"
    for path in find_images(trained_on_a_folder / "mine").train.sources:
        place = alone / path.parent.name / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(path)
    message = refused(trained_on_a_folder, "test", "run", "--data", "folder", "--data-root", "alone")
    assert "the network was trained on or chosen by every one of them" in message
    (alone).rename(trained_on_a_folder / "test")
    alone.mkdir()
    (trained_on_a_folder / "test").rename(alone / "test")
    printed = done(trained_on_a_folder, "test", "run", "--data", "folder", "--data-root", "alone")
    assert "warning: the network was trained on or chosen by 18 of these 18 images" in printed


def test_a_recipes_limit_to_its_own_data_does_not_thin_other_data_and_limits_are_said(
    tmp_path: Path, colour_images: Path
) -> None:
    data = ["--recipe", "fashion-mini", "--data", "folder", "--data-root", str(colour_images), "--image-size", "9"]
    printed = done(tmp_path, *TINY_SEARCH, *data, "--train-images", "6")
    assert "6 of 18 training images are used (--train-images 6)" in printed.splitlines()
    (run,) = (tmp_path / "runs").iterdir()
    assert "6 of 18 training images are used (--train-images 6)" in (run / "log.txt").read_text().splitlines()
    assert "--train-images 6" in printed.splitlines()[-1]


def test_predict_says_what_it_ignores_in_a_folder(trained_on_a_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(trained_on_a_folder / "mine" / "ant", tmp_path / "photos")
    for name in ("a.heic", "b.HEIC", "notes.txt", ".hidden"):
        (tmp_path / "photos" / name).write_bytes(b"")
    ended = run_in(tmp_path, "predict", str(trained_on_a_folder / "run"), "photos", "--json")
    assert ended.code == 0
    assert len(json.loads(ended.out)) == 8
    assert ended.err.splitlines() == [
        "photos: ignored 2 files with the extension .heic (Pillow alone cannot read HEIC: convert them to JPEG)",
        "photos: ignored 1 file with the extension .txt",
        "photos: ignored 1 hidden file or folder",
    ]


def test_a_split_of_the_layout_of_imagenet_is_drawn_of_its_training_set(tmp_path: Path, colour_images: Path) -> None:
    shutil.copytree(colour_images, tmp_path / "images" / "train")
    for name in ("val", "test"):
        (tmp_path / "images" / name).mkdir()
        shutil.copy(colour_images / "ant" / "0.png", tmp_path / "images" / name / "0.png")
    printed = done(tmp_path, "data", "split", "--data-root", "images", "--weight-fraction", "0.5")
    assert "ignored 'test' (1 image)" in printed
    assert "3 classes: ant, bee and wasp" in printed
    before, following = printed.splitlines()[-2:]
    assert before.startswith(
        "before a search: 'val' in 'images' would be the test set, but its images are not in class"
    )
    assert following.startswith("next: pcdarts search --recipe imagenet --data-root images --split-file split.json")

    shutil.rmtree(tmp_path / "images" / "val")
    printed = done(tmp_path, "data", "split", "--data-root", "images", "--weight-fraction", "0.5", "--out", "two.json")
    assert "before a search" not in printed


def test_a_split_leaves_the_validation_images_out_and_a_search_with_it_does_too(
    tmp_path: Path, colour_images: Path
) -> None:
    shutil.copytree(colour_images, tmp_path / "images")
    fraction = ("--validation-fraction", "0.34")
    printed = done(tmp_path, "data", "split", "--data-root", "images", "--weight-fraction", "0.5", *fraction)
    validation = "validation set: 6 of the 18 training images, drawn of each class (--validation-fraction 0.34)"
    assert validation in printed
    assert "of 12 training images, drawn of each of 3 classes" in printed
    assert printed.endswith("--validation-fraction 0.34 --split-file split.json\n")
    data = ["--data", "folder", "--data-root", "images", "--image-size", "9"]
    printed = done(tmp_path, *TINY_SEARCH, *data, *fraction, "--split-file", "split.json")
    assert "6 weight and 3 arch images of folder" in printed
    message = refused(tmp_path, *TINY_SEARCH, *data, "--validation-fraction", "0.7", "--split-file", "split.json")
    assert "are not among the 5 training images" in message


def test_many_classes_of_few_images_are_trained_with_a_validation_set(tmp_path: Path) -> None:
    for name in range(200):
        (tmp_path / "images" / f"{name:03d}").mkdir(parents=True)
        for number in range(3):
            Image.new("L", (9, 9), (name + number) % 256).save(tmp_path / "images" / f"{name:03d}" / f"{number}.png")
    data = ["--data", "folder", "--data-root", "images", "--image-size", "9"]
    printed = done(tmp_path, "train", "--genotype", "random:1", *data, *TINY_NETWORK, "--run", "run")
    assert printed.startswith("run: 340 training, 60 validation and 200 test images of folder (200 classes")
    few = [line for line in printed.splitlines() if "have no image in the validation set" in line]
    assert few == [
        "140 of 200 classes have no image in the validation set, because there are too few of them: "
        f"{few[0].split(': ')[1]}"
    ]
    assert result_of(tmp_path / "run")["best_epoch"] >= 1


def test_where_no_class_has_two_images_left_nothing_is_kept_for_validation_and_a_line_says_what_to_do(
    tmp_path: Path, colour_images: Path
) -> None:
    for name in ("ant", "bee", "wasp"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(2):
            shutil.copy(colour_images / name / f"{number}.png", tmp_path / "images" / name)
    data = ["--data", "folder", "--data-root", "images", "--image-size", "9"]
    assert refused(tmp_path, "train", "--genotype", "random:1", *data, *TINY_NETWORK) == (
        "validation_fraction is 0.15, but no class has a second training image to keep for validation: add images, or "
        "use --validation-fraction 0 (and --select last)"
    )
    none = ("--validation-fraction", "0", "--select", "last")
    printed = done(tmp_path, "train", "--genotype", "random:1", *data, *TINY_NETWORK, *none, "--run", "run")
    assert printed.startswith("run: 3 training and 3 test images of folder")
