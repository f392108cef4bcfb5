import gzip
import hashlib
import os
import pickle
import struct
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from pcdarts.data.sources import DataSet, Images, load_data, pixel_statistics
from pcdarts.errors import InputError


def one_line(error: pytest.ExceptionInfo[InputError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def save_fashion_mnist(root: Path, train: int = 20, test: int = 10) -> dict[str, np.ndarray]:
    """Write random images in the format of the original files; labels count 0, 1, ..., 9, 0, ..."""
    folder = root / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    numbers = np.random.default_rng(0)
    saved = {}
    for prefix, count in (("train", train), ("t10k", test)):
        saved[prefix] = numbers.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(
            struct.pack(">4i", 0x803, count, 28, 28) + saved[prefix].tobytes()
        )
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 0x801, count) + labels.tobytes())
    return saved


def save_pickle(path: Path, content: dict[str, object]) -> str:
    """Write what a CIFAR file holds; return its md5 checksum."""
    path.write_bytes(pickle.dumps(content))
    return hashlib.md5(path.read_bytes()).hexdigest()


# Fashion-MNIST


def test_fashion_mini_is_part_of_the_package():
    data = load_data("fashion-mini")
    assert data.train.pixels.shape == (6000, 1, 28, 28)
    assert data.test.pixels.shape == (1000, 1, 28, 28)
    assert data.train.pixels.dtype == torch.uint8
    assert data.train.labels.dtype == torch.int64
    assert data.train.labels.bincount().tolist() == [600] * 10
    assert (data.num_classes, data.image_channels, data.image_size) == (10, 1, 28)
    assert (data.classes[0], data.classes[9]) == ("T-shirt/top", "Ankle boot")


def test_fashion_mini_comes_with_its_licence():
    licence = resources.files("pcdarts.data").joinpath("fashion-mini.LICENSE").read_text("utf-8")
    assert "The MIT License (MIT)" in licence
    assert "Copyright © 2017 Zalando SE" in licence


def test_fashion_mini_takes_no_root(tmp_path):
    with pytest.raises(InputError) as error:
        load_data("fashion-mini", root=tmp_path)
    assert "'fashion-mini' is part of this package and takes no --data-root" in one_line(error)


def test_fashion_mnist_is_read_from_its_original_files(tmp_path):
    saved = save_fashion_mnist(tmp_path)
    data = load_data("fashion-mnist", root=tmp_path)
    assert torch.equal(data.train.pixels, torch.from_numpy(saved["train"]).unsqueeze(1))
    assert torch.equal(data.test.pixels, torch.from_numpy(saved["t10k"]).unsqueeze(1))
    assert data.test.labels.tolist() == list(range(10))
    assert data.classes == load_data("fashion-mini").classes


def test_damaged_fashion_mnist_files_are_refused(tmp_path):
    save_fashion_mnist(tmp_path)
    file = tmp_path / "FashionMNIST" / "raw" / "train-images-idx3-ubyte"
    file.write_bytes(gzip.compress(file.read_bytes()))
    with pytest.raises(InputError) as error:
        load_data("fashion-mnist", root=tmp_path)
    assert "put FashionMNIST/raw/train-images-idx3-ubyte" in one_line(error)


# CIFAR


@pytest.mark.parametrize(("name", "label_key", "meta_key"), [
    ("cifar10", "labels", "label_names"),
    ("cifar100", "fine_labels", "fine_label_names"),
])  # fmt: skip
def test_cifar_is_read_from_its_original_files(tmp_path, monkeypatch, name, label_key, meta_key):
    source = getattr(datasets, name.upper())
    folder = tmp_path / source.base_folder
    folder.mkdir()
    classes = [f"class {number}" for number in range(10)]
    numbers = np.random.default_rng(0)
    pixels = {}
    # Files in the original format; only their checksums differ from those that torchvision knows.
    for parts in ("train_list", "test_list"):
        entries = []
        for file, _ in getattr(source, parts):
            pixels.setdefault(parts, []).append(numbers.integers(0, 256, (10, 3, 32, 32), dtype=np.uint8))
            content = {"data": pixels[parts][-1].reshape(10, -1), label_key: list(range(10))}
            entries.append([file, save_pickle(folder / file, content)])
        monkeypatch.setattr(source, parts, entries)
    checksum = save_pickle(folder / source.meta["filename"], {meta_key: classes})
    monkeypatch.setattr(source, "meta", {**source.meta, "md5": checksum})

    data = load_data(name, root=tmp_path)
    assert data.classes == tuple(classes)
    for images, parts in ((data.train, "train_list"), (data.test, "test_list")):
        assert torch.equal(images.pixels, torch.from_numpy(np.concatenate(pixels[parts])))
        assert images.labels.tolist() == list(range(10)) * len(pixels[parts])


class Code:
    """What a hostile file holds: unpickling it makes a file."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.made,)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_a_cifar_file_with_another_checksum_is_not_unpickled(tmp_path, monkeypatch, name):
    source = getattr(datasets, name.upper())
    monkeypatch.setattr(source, "url", "http://127.0.0.1:9/nothing-listens-here.tar.gz")
    files = [file for parts in (source.train_list, source.test_list) for file, _ in parts] + [source.meta["filename"]]
    folder = tmp_path / source.base_folder
    folder.mkdir()
    for file in files:
        save_pickle(folder / file, Code(tmp_path / "made"))
    with pytest.raises(
        InputError,
        match=r"these are not the files of CIFAR-100?: .* is another file, or not the whole one; nothing was changed",
    ):
        load_data(name, root=tmp_path)
    # Even where all but the names of the classes are what they should be.
    for parts in ("train_list", "test_list"):
        content = {"data": np.zeros((10, 3072), dtype=np.uint8), "labels": [0] * 10}
        entries = [[file, save_pickle(folder / file, content)] for file, _ in getattr(source, parts)]
        monkeypatch.setattr(source, parts, entries)
    with pytest.raises(
        InputError, match=r"(batches\.|)meta' is another file, or not the whole one; nothing was changed"
    ):
        load_data(name, root=tmp_path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("saved", ["tensors", "code"])
def test_the_old_format_of_fashion_mnist_is_read_without_unpickling_more_than_tensors(tmp_path, saved):
    folder = tmp_path / "FashionMNIST" / "processed"
    folder.mkdir(parents=True)
    pixels = torch.arange(10 * 784).view(10, 28, 28).byte()
    content = (pixels, torch.arange(10)) if saved == "tensors" else Code(tmp_path / "made")
    for file in ("training.pt", "test.pt"):
        torch.save(content, folder / file)
    if saved == "tensors":
        assert torch.equal(load_data("fashion-mnist", root=tmp_path).train.pixels, pixels.unsqueeze(1))
    else:
        with pytest.raises(InputError) as error:
            load_data("fashion-mnist", root=tmp_path)
        assert len(one_line(error)) < 1000
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("labels", [9, 11])
def test_fashion_mnist_without_one_label_for_each_image_is_refused(tmp_path, labels):
    save_fashion_mnist(tmp_path)
    file = tmp_path / "FashionMNIST" / "raw" / "t10k-labels-idx1-ubyte"
    file.write_bytes(struct.pack(">2i", 0x801, labels) + bytes(labels))
    with pytest.raises(InputError, match=f"10 images have {labels} labels: give one to each"):
        load_data("fashion-mnist", root=tmp_path)


def test_data_without_images_is_refused():
    images = Images(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1]))
    nothing = images.subset(torch.tensor([], dtype=torch.int64))
    with pytest.raises(InputError, match="'mine' has no test images: the file is damaged"):
        DataSet("mine", ("a", "b"), images, nothing, (0.0,), (1.0,))


@pytest.mark.parametrize("name", ["fashion-mnist", "cifar10", "cifar100"])
def test_data_that_cannot_be_downloaded_says_where_to_put_it(tmp_path, name):
    (tmp_path / "file").write_text("")  # no folder, so the download ends before it starts
    with pytest.raises(InputError) as error:
        load_data(name, root=tmp_path / "file")
    assert f"data {name!r} could not be read from or downloaded to {str(tmp_path / 'file')!r} (" in one_line(error)


# Folders


def test_an_image_folder_becomes_a_data_set_with_statistics_of_its_own(save_images):
    root = save_images(*(f"{which}/{name}/{n}.png" for which in ("train", "val") for name in "ab" for n in range(3)))
    data = load_data("folder", root=root)
    assert data.classes == ("a", "b")
    assert (len(data.train), len(data.test), data.image_channels, data.image_size) == (6, 6, 3, 10)
    assert data.mean == pytest.approx(data.train.pixels.double().div(255).mean((0, 2, 3)).tolist(), abs=1e-12)


def test_one_colour_image_in_the_test_set_makes_all_images_colour(save_images):
    save_images("train/a/0.png", "train/b/0.png", "test/a/0.png", mode="L")
    data = load_data("folder", root=save_images("test/b/0.png"))
    assert data.train.pixels.shape == (2, 3, 10, 10)
    assert data.test.pixels.shape == (2, 3, 10, 10)


def test_an_image_that_is_not_kept_is_not_read(save_images):
    root = save_images(*(f"{which}/{name}/{n}.png" for which in ("train", "test") for name in "ab" for n in range(4)))
    (root / "train" / "a" / "0.png").write_bytes(b"")
    refused = 0
    for seed in range(10):
        try:
            assert len(load_data("folder", root=root, train_images=2, seed=seed).train) == 2
        except InputError:
            refused += 1
    assert 0 < refused < 10


def test_bad_images_are_left_out_counted_and_listed_where_that_is_wanted(save_images):
    root = save_images(*(f"{which}/{name}/{n}.png" for which in ("train", "test") for name in "ab" for n in range(4)))
    whole = load_data("folder", root=root)
    (root / "train" / "a" / "2.png").write_bytes(b"")
    (root / "test" / "b" / "0.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="cannot be read"):
        load_data("folder", root=root)
    data = load_data("folder", root=root, on_bad_image="skip")
    reason = "it is not an image of type AVIF, BMP, GIF, JPEG, JPEG2000, PNG, PPM, TIFF or WEBP"
    assert data.skipped == (f"'{root}/train/a/2.png': {reason}", f"'{root}/test/b/0.png': {reason}")
    for images, before, left in (
        (data.train, whole.train, [0, 1, 3, 4, 5, 6, 7]),
        (data.test, whole.test, [0, 1, 2, 3, 5, 6, 7]),
    ):
        assert torch.equal(images.pixels, before.pixels[left])
        assert torch.equal(images.labels, before.labels[left])


def test_skipping_moves_no_image_between_training_and_test_set(save_images):
    root = save_images(*(f"{name}/{n}.png" for name in "ab" for n in range(10)))
    whole = load_data("folder", root=root)
    (root / "a" / "3.png").write_bytes(b"")
    data = load_data("folder", root=root, on_bad_image="skip")
    for images, before in ((data.train, whole.train), (data.test, whole.test)):
        known = [pixels.numpy().tobytes() for pixels in before.pixels]
        assert all(pixels.numpy().tobytes() in known for pixels in images.pixels)
    assert len(data.train) + len(data.test) == 19


def test_no_other_image_takes_the_place_of_a_skipped_one(save_images):
    root = save_images(*(f"{which}/{name}/{n}.png" for which in ("train", "test") for name in "ab" for n in range(8)))
    for n in range(4):
        (root / "train" / "a" / f"{n}.png").write_bytes(b"")
    counts = set()
    for seed in range(5):
        data = load_data("folder", root=root, train_images=8, seed=seed, on_bad_image="skip")
        assert len(data.train) + len(data.skipped) == 8
        counts.add(len(data.train))
    assert max(counts) < 8


@pytest.mark.parametrize(("which", "words"), [("train", "training"), ("test", "test")])
def test_a_class_of_which_nothing_can_be_read_is_refused(save_images, which, words):
    root = save_images(*(f"{which}/{name}/{n}.png" for which in ("train", "test") for name in "ab" for n in range(2)))
    for n in range(2):
        (root / which / "b" / f"{n}.png").write_bytes(b"")
    with pytest.raises(InputError) as error:
        load_data("folder", root=root, on_bad_image="skip")
    assert f"no {words} image of class 'b' can be read (2 images were skipped; the first is '{root}" in one_line(error)


def test_two_thousand_classes_are_read(tmp_path):
    image = tmp_path / "image.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8), dtype=np.uint8)).save(image)
    for number in range(2000):
        folder = tmp_path / "images" / f"{number:04d}"
        folder.mkdir(parents=True)
        for name in ("a.png", "b.png"):
            os.link(image, folder / name)
    data = load_data("folder", root=tmp_path / "images")
    assert (data.num_classes, len(data.train), len(data.test)) == (2000, 2000, 2000)
    assert data.test.labels.tolist() == list(range(2000))


@pytest.mark.parametrize("name", ["line\nbreak", "quote'\"", "🐜", "\udcff\udcfe", "x" * 255, "a b", "Cat", "-", "~"])
def test_a_class_may_have_any_name(save_images, name):
    root = save_images(*(f"{folder}/{n}.png" for folder in (name, "cat") for n in range(2)))
    assert load_data("folder", root=root).classes == tuple(sorted((name, "cat")))
    (root / name / "0.png").write_bytes(b"")
    (root / name / "1.png").write_bytes(b"")
    with pytest.raises(InputError) as error:
        load_data("folder", root=root)
    assert one_line(error).isprintable()


@pytest.mark.parametrize("name", ["folder", "cifar10"])
def test_the_home_of_nobody_is_refused(name):
    with pytest.raises(InputError, match=r"'~nobody-here/images' names the home folder of an unknown user"):
        load_data(name, root="~nobody-here/images")


def test_a_folder_needs_a_root():
    with pytest.raises(InputError) as error:
        load_data("folder")
    assert "give --data-root" in one_line(error)


@pytest.mark.parametrize("setting", ["train_set", "test_set"])
def test_data_with_sets_of_its_own_takes_no_others(setting):
    with pytest.raises(
        InputError, match="data 'fashion-mini' has sets of its own, and none called mine: drop --train-set"
    ):
        load_data("fashion-mini", **{setting: "mine"})


def test_a_job_is_told_of_classes_sets_limits_and_ignored_files(save_images):
    names = [f"class {number:02d}" for number in range(14)]
    root = save_images(*(f"{which}/{name}/{n}.png" for which in ("train", "test") for name in names for n in range(2)))
    (root / "train" / "list.csv").write_text("")
    data = load_data("folder", root=root, train_images=14)
    assert data.notes == (
        f"14 classes: {', '.join(names[:10])} and 4 more",
        "training set: 'train' (28 images); test set: 'test' (28 images)",
        "ignored 1 file with the extension .csv",
        "14 of 28 training images are used (--train-images 14)",
    )


# Sizes and subsets


@pytest.mark.parametrize("size", [14, 32])
def test_images_are_resized_as_pillow_does_it(size):
    data = load_data("fashion-mini", image_size=size, train_images=20)
    assert data.image_size == size
    assert data.test.pixels.shape == (1000, 1, size, size)
    original = load_data("fashion-mini", train_images=20).train
    for resized, image in zip(data.train.pixels, original.pixels, strict=True):
        expected = Image.fromarray(image[0].numpy()).resize((size, size), Image.Resampling.BILINEAR)
        assert (resized[0].int() - torch.from_numpy(np.array(expected)).int()).abs().max() <= 1


@pytest.mark.parametrize("size", [2**17, 2**62, 10**30])
def test_a_size_beyond_all_memory_is_refused(size):
    with pytest.raises(InputError, match=rf"20 images of {size}x{size} pixels do not fit in memory"):
        load_data("fashion-mini", image_size=size, train_images=20)


@pytest.mark.parametrize("size", [0, 7, -3])
def test_a_size_too_small_for_a_network_is_refused(size):
    with pytest.raises(InputError, match=rf"the images are to be {size}x{size} pixels, .* give --image-size 8 or more"):
        load_data("fashion-mini", image_size=size)


def test_a_folder_of_images_too_small_for_a_network_is_refused(save_images):
    root = save_images(*(f"{name}/{n}.png" for name in "ab" for n in range(2)), size=(6, 6))
    with pytest.raises(InputError, match=r"the images are to be 6x6 pixels, but 8x8 is the least"):
        load_data("folder", root=root)


def test_a_subset_has_equally_many_of_each_class_and_depends_on_the_seed():
    one = load_data("fashion-mini", train_images=105, test_images=50, seed=0)
    assert (len(one.train), len(one.test)) == (105, 50)
    assert set(one.train.labels.bincount().tolist()) == {10, 11}
    assert one.test.labels.bincount().tolist() == [5] * 10
    again = load_data("fashion-mini", train_images=105, seed=0)
    other = load_data("fashion-mini", train_images=105, seed=1)
    assert torch.equal(one.train.pixels, again.train.pixels)
    assert not torch.equal(one.train.pixels, other.train.pixels)


@pytest.mark.parametrize("count", [9, 0, -1])
def test_fewer_images_than_classes_are_refused(count):
    with pytest.raises(InputError) as error:
        load_data("fashion-mini", train_images=count)
    assert one_line(error) == (
        f"train_images is {count}, but there are 10 classes: use 10 or more, or none for all images"
    )


def test_a_set_with_no_more_images_than_asked_for_is_kept_whole():
    whole, asked = load_data("fashion-mini"), load_data("fashion-mini", train_images=6001, test_images=1000, seed=1)
    assert torch.equal(asked.train.pixels, whole.train.pixels)
    assert torch.equal(asked.test.labels, whole.test.labels)


def test_images_can_be_indexed():
    images = load_data("fashion-mini", train_images=20).train
    some = images.subset(torch.tensor([3, 1]))
    assert torch.equal(some.pixels, images.pixels[[3, 1]])
    assert torch.equal(some.labels, images.labels[[3, 1]])


# Statistics


@pytest.mark.parametrize("channels", [1, 3])
def test_statistics_are_those_of_the_pixels_in_float64(channels):
    pixels = torch.randint(0, 256, (20, channels, 9, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    scaled = pixels.numpy().astype(np.float64) / 255
    mean, std = pixel_statistics(pixels)
    assert mean == pytest.approx(scaled.mean((0, 2, 3)), abs=1e-14)
    assert std == pytest.approx(scaled.std((0, 2, 3)), abs=1e-14)


def test_images_of_a_single_value_cannot_be_normalised():
    with pytest.raises(InputError, match="channel 0 of all training images has one value everywhere"):
        pixel_statistics(torch.full((5, 1, 8, 8), 7, dtype=torch.uint8))


# Names and consistency


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("cifar-10", "did you mean 'cifar10'?"),
        ("fashion_mini", "did you mean 'fashion-mini'?"),
        ("zzz", "use one of fashion-mini, fashion-mnist, cifar10, cifar100, folder"),
    ],
)
def test_an_unknown_name_is_answered_with_a_known_one(name, hint):
    with pytest.raises(InputError) as error:
        load_data(name)
    assert one_line(error).startswith(f"unknown data {name!r}: {hint}")


@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_that_is_no_class_is_refused(label):
    images = Images(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1]))
    wrong = Images(images.pixels, torch.tensor([0, label]))
    with pytest.raises(InputError, match=r"the test labels of 'mine' run from .* but its 2 classes are 0 to 1"):
        DataSet("mine", ("a", "b"), images, wrong, (0.0,), (1.0,))


def test_training_and_test_images_of_different_shapes_are_refused():
    small, large = (Images(torch.zeros(1, 1, n, n, dtype=torch.uint8), torch.tensor([0])) for n in (8, 9))
    with pytest.raises(InputError, match=r"are \[1, 8, 8\] and its test images \[1, 9, 9\]"):
        DataSet("mine", ("a", "b"), small, large, (0.0,), (1.0,))
