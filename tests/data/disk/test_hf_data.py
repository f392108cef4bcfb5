"""Hugging Face data sets as a source, all made on the spot and read without a network."""

import io
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from pcdarts.data.disk.decode import BadImage, read_images
from pcdarts.data.disk.hf_data import find_hub_images
from pcdarts.data.disk.pixel_range import find_pixel_range
from pcdarts.data.sources import load_data
from pcdarts.errors import InputError

datasets = pytest.importorskip("datasets")

NAMES = ["ant", "bee", "wasp"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    """Nothing is fetched, and nothing is left in the user's cache."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


def encoded(shade, mode="L"):
    buffer = io.BytesIO()
    Image.new(mode, (9, 9), shade if mode == "L" else (shade, 0, 0)).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def made(labels, feature=None, images=None, column="label"):
    """A split whose image i has the shade i."""
    feature = feature or datasets.ClassLabel(names=NAMES)
    rows = {"image": images or [encoded(shade) for shade in range(len(labels))], column: labels}
    return datasets.Dataset.from_dict(rows, features=datasets.Features({"image": datasets.Image(), column: feature}))


def parquet(folder, **splits):
    """A folder as on the hub: a Parquet file for each split."""
    for split, dataset in splits.items():
        (folder / "data").mkdir(parents=True, exist_ok=True)
        dataset.to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")
    return str(folder)


def shades(files):
    return read_images(list(files.sources)).pixels[:, 0, 0, 0].tolist()


def test_a_folder_of_parquet_files_is_read_with_its_sets_and_classes(tmp_path):
    found = find_hub_images(parquet(tmp_path / "mine", train=made([0, 1, 2, 0]), test=made([2, 1])))
    assert found.classes == tuple(NAMES)
    assert found.train.labels.tolist() == [0, 1, 2, 0]
    assert found.test.labels.tolist() == [2, 1]
    assert found.train.labels.dtype == torch.int64
    assert shades(found.train) == [0, 1, 2, 3]
    assert read_images(list(found.test.sources)).pixels.shape == (2, 1, 9, 9)  # greyscale stays greyscale
    assert found.train.subset(torch.tensor([3, 1])).sources.names() == ["train/3", "train/1"]


def test_what_save_to_disk_wrote_is_read(tmp_path):
    splits = {"train": made([0, 1, 1]), "validation": made([1, 0])}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "dict")
    found = find_hub_images(str(tmp_path / "dict"))
    assert (found.train.labels.tolist(), found.test.labels.tolist()) == ([0, 1, 1], [1, 0])
    made([0, 0, 0, 1, 1, 1]).save_to_disk(tmp_path / "one")
    assert len(find_hub_images(str(tmp_path / "one")).train) == 4


def test_a_folder_of_class_folders_is_read(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "pets" / "train" / name).mkdir(parents=True)
        for shade in range(3):
            Image.new("RGB", (9, 9), (shade, 0, 0)).save(tmp_path / "pets" / "train" / name / f"{shade}.png")
    found = find_hub_images(str(tmp_path / "pets"))
    assert found.classes == ("cat", "dog")
    assert sorted(shades(found.train) + shades(found.test)) == [0, 0, 1, 1, 2, 2]
    assert all(size > 0 for _, size in found.train.sources.identities())
    for path in (tmp_path / "pets").rglob("*.png"):
        path.unlink()
    assert {size for _, size in found.train.sources.identities()} == {-1}


def test_without_a_labelled_test_set_a_fifth_of_each_class_becomes_one(tmp_path):
    labels = [0] * 10 + [1] * 5
    for name, splits in {"alone": {}, "unlabelled": {"test": made([-1, -1])}}.items():
        found = find_hub_images(parquet(tmp_path / name, train=made(labels), **splits))
        assert found.test.labels.bincount().tolist() == [2, 1]
        assert found.train.labels.bincount().tolist() == [8, 4]
        assert sorted(shades(found.train) + shades(found.test)) == list(range(15))


@pytest.mark.parametrize(
    ("labels", "feature", "classes", "numbers"),
    [
        (["wasp", "ant", "ant", "wasp"], "string", ("ant", "wasp"), [1, 0, 0, 1]),
        ([10, 2, 2, 10], "int64", ("2", "10"), [1, 0, 0, 1]),
    ],
)
def test_texts_and_numbers_are_classes_too(tmp_path, labels, feature, classes, numbers):
    split = made(labels, datasets.Value(feature))
    found = find_hub_images(parquet(tmp_path / "mine", train=split, test=split))
    assert found.classes == classes
    assert found.train.labels.tolist() == numbers


def test_images_can_be_sent_to_other_processes(tmp_path):
    files = find_hub_images(parquet(tmp_path / "mine", train=made([0, 1, 2]), test=made([0]))).train
    sent = pickle.loads(pickle.dumps(files.sources.subset(torch.tensor([2, 0]))))
    assert [image.read_bytes() for image in sent] == [encoded(2)["bytes"], encoded(0)["bytes"]]


def test_a_damaged_image_is_named(tmp_path):
    images = [encoded(0), {"bytes": b"no image", "path": "odd.png"}, None, encoded(3)]
    name = parquet(tmp_path / "mine", train=made([0, 1, 0, 1], images=images), test=made([0]))
    found = find_hub_images(name)
    with pytest.raises(BadImage, match=r"image 1 of 'train' of .*mine"):
        read_images(list(found.train.sources))
    decoded = read_images(list(found.train.sources), on_bad_image="skip")
    assert decoded.kept.tolist() == [0, 3]
    assert len(decoded.skipped) == 2


def test_images_of_12_bits_have_a_range_too(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(np.full((9, 9), 4000, np.uint16)).save(buffer, "PNG")
    images = [encoded(0), {"bytes": buffer.getvalue(), "path": None}, None, encoded(3)]
    name = parquet(tmp_path / "mine", train=made([0, 1, 1, 0], images=images), test=made([0, 1]))
    found = find_hub_images(name)
    train, test = found.train.sources, found.test.sources
    assert [len(head) for head in train.heads()] == [26, 26, 0, 26]
    pixel_range, notes = find_pixel_range(train.subset(torch.tensor([2, 1, 0])), [test], None, "stop")
    assert pixel_range == (0, 4095)
    assert notes[0] == "1 of 5 images have more than 8 bits; their values 0 to 4095 become 0 to 255"


def test_the_files_of_a_folder_of_class_folders_are_looked_into(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "pets" / "train" / name).mkdir(parents=True)
        for number in range(3):
            Image.fromarray(np.full((9, 9), 300, np.uint16)).save(tmp_path / "pets" / "train" / name / f"{number}.png")
    found = find_hub_images(str(tmp_path / "pets"))
    assert find_pixel_range(found.train.sources, [found.test.sources], None, "stop")[0] == (0, 1023)


def test_an_image_has_an_identity_that_changes_with_it(tmp_path):
    images = [encoded(0), {"bytes": b"12345", "path": None}, None]
    found = find_hub_images(parquet(tmp_path / "mine", train=made([0, 1, 1], images=images), test=made([0])))
    expected = {"train/0": len(encoded(0)["bytes"]), "train/1": 5, "train/2": -1}
    assert dict(found.train.sources.identities()) == expected


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        (lambda: {"train": made([0, None, 1]), "test": made([0])}, "image 1 of 'train' of .* has no label"),
        (lambda: {"train": made([0, 1]), "test": made([0, None])}, "image 1 of 'test' of .* has no label"),
        (lambda: {"train": made([0, 0, 1])}, "class 'bee' has only one image, .image 2 of 'train' of "),
        (lambda: {"train": made([7, 7], datasets.Value("int64"))}, "only one class"),
        (lambda: {"train": made([0.5, 1.5], datasets.Value("float32"))}, "no column of classes, only image and label"),
        (lambda: {"train": made([0, 1]).remove_columns("image")}, "no column of images, only label"),
        (lambda: {"dev": made([0, 1]), "rest": made([0, 1])}, "the splits dev and rest, but none called train"),
    ],
)
def test_what_is_no_labelled_set_of_images_is_refused_in_one_line(tmp_path, splits, words):
    datasets.DatasetDict(splits()).save_to_disk(tmp_path / "mine")
    with pytest.raises(InputError, match=words) as refusal:
        find_hub_images(str(tmp_path / "mine"))
    assert "\n" not in str(refusal.value)


def test_a_name_that_cannot_be_had_is_refused_in_one_line(tmp_path):
    with pytest.raises(InputError, match=r"data set '.*nowhere' cannot be read") as refusal:
        find_hub_images(str(tmp_path / "nowhere"))
    assert "\n" not in str(refusal.value)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.py").write_text("raise SystemExit('code was run')")
    with pytest.raises(InputError, match="cannot be read"):
        find_hub_images(str(tmp_path / "mine"))


def test_splits_have_the_names_that_people_give_them_and_what_is_not_used_is_said(tmp_path):
    splits = {"training": made([0, 1, 1]), "dev": made([1, 0]), "testing": made([-1]), "unsupervised": made([-1, -1])}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "mine")
    found = find_hub_images(str(tmp_path / "mine"))
    assert (found.train.labels.tolist(), found.test.labels.tolist()) == ([0, 1, 1], [1, 0])
    assert found.notes == (
        "training set: the split 'training' (3 images); test set: the split 'dev' (2 images)",
        "ignored the split 'testing' (1 image): it has no labels",
        "ignored the split 'unsupervised' (2 images)",
    )
    chosen = find_hub_images(str(tmp_path / "mine"), "dev", "training")
    assert (chosen.train.labels.tolist(), chosen.test.labels.tolist()) == ([1, 0], [0, 1, 1])
    for settings, words in {
        ("rest", None): "train_set is rest, but .* has the splits dev, testing, training and unsupervised",
        (None, "testing"): "test_set is testing, but this split of .* has no labels",
        ("dev", "dev"): "train_set and test_set are both the split 'dev'",
    }.items():
        with pytest.raises(InputError, match=words):
            find_hub_images(str(tmp_path / "mine"), *settings)


def test_measured_is_the_labelled_test_split_or_else_all_images(tmp_path):
    whole = parquet(tmp_path / "whole", train=made([0, 1, 1, 0, 2, 2]), test=made([-1, -1]))
    found = find_hub_images(whole, to_measure=True)
    assert found.test.labels.tolist() == [0, 1, 1, 0, 2, 2]
    assert found.test_is == f"all images of {whole!r}: it has no test set"
    made([0, 1]).save_to_disk(tmp_path / "one")
    assert len(find_hub_images(str(tmp_path / "one"), to_measure=True).test) == 2
    two = parquet(tmp_path / "two", train=made([0, 1, 1]), validation=made([2, 1]))
    found = find_hub_images(two, to_measure=True)
    assert (found.test.labels.tolist(), found.test_is) == ([2, 1], "the split 'validation'")


def test_a_validation_split_is_training_or_test_data_unless_something_is_to_be_chosen(tmp_path):
    root = parquet(tmp_path / "mine", train=made([0, 1, 2, 0]), validation=made([1, 2, 1]), test=made([2, 1]))
    assert find_hub_images(root).validation is None
    found = find_hub_images(root, val_chooses=True)
    assert [part.labels.tolist() for part in (found.train, found.validation, found.test)] == [
        [0, 1, 2, 0],
        [1, 2, 1],
        [2, 1],
    ]
    assert "validation set: the split 'validation' (3 images)" in found.notes
    found = find_hub_images(root, "train", "validation", validation_set="test")
    assert [len(found.test), len(found.validation)] == [3, 2]


def test_without_a_test_split_the_validation_split_stays_for_choosing(tmp_path):
    root = parquet(tmp_path / "mine", train=made([0, 1, 2] * 5), validation=made([1, 2, 0]))
    found = find_hub_images(root, val_chooses=True)
    assert [len(part) for part in (found.train, found.validation, found.test)] == [12, 3, 3]
    assert len(find_hub_images(root).test) == 3
    with pytest.raises(InputError, match="train_set and validation_set are both the split 'train'"):
        find_hub_images(root, "train", validation_set="train")


@pytest.mark.parametrize("loading", ["resident", "streaming"])
def test_a_part_of_the_training_split_is_kept_and_copies_are_named_by_their_rows(tmp_path, loading):
    copied = made([1], images=[encoded(3)])
    root = parquet(tmp_path / "mine", train=made([0, 1, 2] * 5), test=copied)
    options = {"hub_name": root, "image_size": 9, "loading": loading}
    data = load_data("huggingface", **options, validation_fraction=0.2)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [12, 3, 1]
    (line,) = [note for note in data.notes if note.startswith("warning")]
    assert line.startswith("warning: 1 of 1 test image is among the ")
    assert line.endswith("'test/0' is 'train/3'")


def test_a_test_split_may_lack_a_class(tmp_path):
    root = parquet(tmp_path / "mine", train=made([0, 1, 2] * 2), test=made([1, 2]))
    assert load_data("huggingface", hub_name=root).test.labels.tolist() == [1, 2]
