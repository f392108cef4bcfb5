import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from coco_set import COLOURS, GREY, box, write_set
from pcdarts.data.coco.coco import CocoData, load_coco, load_coco_test
from pcdarts.data.coco.coco_images import CocoImages
from pcdarts.data.streams import generator
from pcdarts.errors import InputError

RED = box(7, 10, 5, 20, 10)
BLUE = box(90, 40, 20, 15, 15)
GREEN = box(2, 0, 30, 5, 5)
OBJECTS = [[RED], [BLUE, GREEN], [], [GREEN]]


def loaded(root: Path, **options: Any) -> CocoData:
    return load_coco(root, train_sets=("train2017",), test_set="val2017", **options)


def write_both(root: Path, **options: Any) -> CocoData:
    write_set(root, "train2017", OBJECTS, **options)
    write_set(root, "val2017", [[RED]], first_id=1000)
    return loaded(root)


def test_labels_count_from_one_by_ascending_category_id(tmp_path: Path) -> None:
    data = write_both(tmp_path)
    assert data.classes == ("green", "red", "blue")
    assert data.train.category_ids == (2, 7, 90)
    assert [data.train.target(index)[1].tolist() for index in range(4)] == [[2], [3, 1], [], [1]]


def test_targets_are_corners_in_pixels_of_the_stored_image(tmp_path: Path) -> None:
    boxes, labels = write_both(tmp_path).train.target(1)
    assert boxes.dtype == torch.float32
    assert labels.dtype == torch.int64
    assert boxes.tolist() == [[40, 20, 55, 35], [0, 30, 5, 35]]


def test_an_image_without_objects_stays_and_has_no_boxes(tmp_path: Path) -> None:
    boxes, labels = write_both(tmp_path).train.target(2)
    assert boxes.shape == (0, 4)
    assert labels.shape == (0,)


def test_a_box_is_clipped_to_its_image_and_left_out_if_nothing_remains(tmp_path: Path) -> None:
    odd = [
        box(7, -10, -10, 30, 20),
        box(7, 50, 30, 100, 100),
        box(2, 60, 0, 10, 10),
        box(2, -20, 0, 10, 10),
        box(90, 5, 5, 0, 10),
        box(90, 5, 5, 10, 0),
        box(90, 5, 5, 10, -1),
        box(90, 59.5, 5, 10, 10),
    ]
    write_set(tmp_path, "train2017", [odd, [RED, BLUE, GREEN] * 2])
    write_set(tmp_path, "val2017", [[RED]], first_id=1000)
    train = loaded(tmp_path).train
    boxes, labels = train.target(0)
    assert boxes.tolist() == [[0, 0, 20, 10], [50, 30, 60, 40]]
    assert labels.tolist() == [2, 2]
    assert len(train.objects_of(0)) == len(odd)


def test_crowds_are_kept_for_measuring_and_not_learnt_from(tmp_path: Path) -> None:
    write_set(tmp_path, "train2017", [[RED, BLUE | {"iscrowd": 1}]])
    write_set(tmp_path, "val2017", [[RED]], first_id=1000)
    train = loaded(tmp_path).train
    assert train.target(0)[1].tolist() == [2]
    assert train.objects_of(0).crowd.tolist() == [False, True]


def test_objects_go_with_their_images_whatever_their_order_in_the_file(tmp_path: Path) -> None:
    data = write_both(tmp_path, change=lambda content: content["annotations"].reverse())
    assert [data.train.target(index)[1].tolist() for index in range(4)] == [[2], [1, 3], [], [1]]


def test_a_subset_takes_objects_along(tmp_path: Path) -> None:
    train = write_both(tmp_path).train
    order = [3, 1, 1, 2, 0]
    subset = train.subset(torch.tensor(order))
    assert subset.image_ids == (4, 2, 2, 3, 1)
    for place, index in enumerate(order):
        torch.testing.assert_close(subset.target(place), train.target(index))
        assert subset.read(place).tobytes() == train.read(index).tobytes()
    assert len(train.subset([])) == 0


def test_it_can_be_sent_to_another_process(tmp_path: Path) -> None:
    train = write_both(tmp_path).train
    there: CocoImages = pickle.loads(pickle.dumps(train))
    assert there.digest() == train.digest()


def test_sets_are_merged_and_some_of_the_last_one_held_out(tmp_path: Path) -> None:
    write_set(tmp_path, "train2014", OBJECTS)
    write_set(tmp_path, "val2014", OBJECTS * 5, first_id=100)
    sets = {seed: load_coco(tmp_path, train_sets=("train2014", "val2014"), held_out=8, seed=seed) for seed in (0, 0, 1)}
    for data in sets.values():
        assert len(data.test) == 8
        assert min(data.test.image_ids) >= 100
        assert sorted(data.train.image_ids + data.test.image_ids) == [1, 2, 3, 4, *range(100, 120)]
        for part in (data.train, data.test):
            for index, image_id in enumerate(part.image_ids):
                assert len(part.objects_of(index)) == len(OBJECTS[(image_id - (1 if image_id < 100 else 100)) % 4])
                assert part.files[index].name == f"{image_id:04}.png"
    assert sets[0].test.image_ids == sets[1].test.image_ids


@pytest.mark.parametrize("count", [0, 4, 5, -1])
def test_what_is_held_out_must_be_some_and_not_all(tmp_path: Path, count: int) -> None:
    write_set(tmp_path, "train2017", OBJECTS)
    with pytest.raises(InputError, match="of the 4 images of 'train2017' cannot be held out"):
        load_coco(tmp_path, train_sets=("train2017",), held_out=count)


def test_a_number_of_images_is_drawn_by_seed(tmp_path: Path) -> None:
    write_both(tmp_path)
    drawn = {loaded(tmp_path, train_images=2, seed=seed).train.image_ids for seed in range(10)}
    assert len(drawn) > 1
    assert {len(ids) for ids in drawn} == {2}
    assert loaded(tmp_path, train_images=2, seed=3).digest() == loaded(tmp_path, train_images=2, seed=3).digest()
    assert "'train2017': 2 of 4 images are used (--train-images 2)" in loaded(tmp_path, train_images=2).notes
    all_there_are = loaded(tmp_path, train_images=99, test_images=99)
    assert len(all_there_are.train) == 4
    assert all_there_are.notes == loaded(tmp_path).notes


def test_test_dev_has_no_objects_and_lies_in_the_folder_of_test(tmp_path: Path) -> None:
    write_set(tmp_path, "train2017", OBJECTS)
    write_set(tmp_path, "test-dev2015", OBJECTS, kind="image_info", folder="test2015", first_id=500)
    test = load_coco_test(tmp_path, "test-dev2015", test_images=None, seed=0, on_bad_image="stop").test
    assert not test.has_annotations
    assert test.target(0)[0].shape == (0, 4)
    assert test.read(0).size == (60, 40)
    assert load_coco(tmp_path, train_sets=("train2017",), test_set="test-dev2015").test.digest() == test.digest()
    with pytest.raises(InputError, match=r"no boxes to train on, which would be in .*instances_test-dev2015\.json"):
        load_coco(tmp_path, train_sets=("test-dev2015",), test_set="train2017")


def test_the_digest_tells_data_apart_and_not_where_they_lie(tmp_path: Path) -> None:
    digests = []
    for number, (objects, options) in enumerate(
        [
            (OBJECTS, {}),
            (OBJECTS, {}),
            ([[BLUE], *OBJECTS[1:]], {}),
            ([[RED | {"bbox": [10, 5, 20, 11]}], *OBJECTS[1:]], {}),
            ([[RED | {"iscrowd": 1}], *OBJECTS[1:]], {}),
            (OBJECTS, {"size": (61, 40)}),
            (OBJECTS, {"first_id": 2}),
        ]
    ):
        write_set(tmp_path / str(number), "train2017", objects, **options)
        write_set(tmp_path / str(number), "val2017", [[RED]], first_id=1000)
        digests.append(loaded(tmp_path / str(number)).digest())
    assert digests[0] == digests[1]
    assert len(set(digests[1:])) == len(digests) - 1


@pytest.mark.parametrize("mode", ["L", "1", "CMYK", "P", "RGBA", "LA"])
def test_images_of_every_mode_become_rgb(tmp_path: Path, mode: str) -> None:
    train = write_both(tmp_path).train
    Image.open(train.files[0]).convert(mode).save(train.files[0], "TIFF" if mode == "CMYK" else "PNG")
    image = train.read(0)
    assert image.mode == "RGB"
    assert image.size == (60, 40)


def turned(path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.open(path).save(path, "PNG", exif=exif)


def test_boxes_mean_the_pixels_as_they_are_stored(tmp_path: Path) -> None:
    train = write_both(tmp_path).train
    for orientation in (3, 6):
        turned(train.files[0], orientation)
        assert train.read(0).getpixel((15, 10)) == COLOURS[7]


def test_an_image_is_turned_if_only_then_it_has_the_size_on_record(tmp_path: Path) -> None:
    train = write_both(tmp_path).train
    upright = Image.open(train.files[0]).copy()
    upright.transpose(Image.Transpose.ROTATE_90).save(train.files[0])
    turned(train.files[0], 6)  # to be turned clockwise by 90 degrees
    assert np.array_equal(np.asarray(train.read(0)), np.asarray(upright))
    assert train.read(0).getpixel((1, 1)) == (GREY, GREY, GREY)


def test_an_image_of_another_size_than_its_record_says_is_refused(tmp_path: Path) -> None:
    train = write_both(tmp_path).train
    Image.new("RGB", (30, 40)).save(train.files[0])
    with pytest.raises(InputError, match=r"0001\.png' cannot be read \(it is 30x40 pixels, but its record says 60x40"):
        train.read(0)


def test_a_missing_file_ends_it_or_is_left_out(tmp_path: Path) -> None:
    data = write_both(tmp_path)
    data.train.files[1].unlink()
    with pytest.raises(InputError, match=r"0002\.png' cannot be read \(it does not exist\).*--on-bad-image skip"):
        loaded(tmp_path)
    skipping = loaded(tmp_path, on_bad_image="skip")
    assert skipping.train.image_ids == (1, 3, 4)
    assert skipping.train.target(2)[1].tolist() == [1]
    assert [line.endswith("0002.png': it does not exist") for line in skipping.skipped] == [True]


def test_a_set_of_which_no_file_is_there_is_refused(tmp_path: Path) -> None:
    data = write_both(tmp_path)
    data.test.files[0].unlink()
    with pytest.raises(InputError, match=r"'val2017' has no image whose file exists; .* '1000\.png' and is not in .*"):
        loaded(tmp_path, on_bad_image="skip")
    kept = data.train.files[0]
    for path in list(data.train.files)[1:]:
        path.unlink()
    write_set(tmp_path, "val2017", [[RED]], first_id=1000)
    assert loaded(tmp_path, on_bad_image="skip").train.files[0] == kept
    with pytest.raises(
        InputError, match=r"'train2017' has no image that can be read; the first is .*it does not exist"
    ):
        loaded(tmp_path, on_bad_image="skip", train_images=1, seed=seed_without_the_first_image())


def seed_without_the_first_image() -> int:
    """A seed that draws another one of four images."""
    return next(s for s in range(99) if torch.randperm(4, generator=generator(s, "train", "images kept"))[0] != 0)


@pytest.mark.parametrize("name", ["", ".", "..", "../val2017", "a/b", "/tmp", "val\0", "gone2017"])
def test_a_set_that_is_not_there_is_refused(tmp_path: Path, name: str) -> None:
    write_both(tmp_path)
    with pytest.raises(InputError, match="the COCO set"):
        load_coco(tmp_path, train_sets=("train2017",), test_set=name)


def set_in(key: str, index: int, field: str, value: Any) -> Any:
    """A change of one field of one record."""
    return lambda content: content[key][index].update({field: value})


def without(key: str, field: str) -> Any:
    return lambda content: content[key][0].pop(field)


BAD_RECORDS = {
    "no images": (lambda content: content.update(images=[]), "no images in it"),
    "no categories": (lambda content: content.update(categories=[], annotations=[]), "no categories in it"),
    "images is no list": (lambda content: content.update(images={"id": 1}), "it has no list of images"),
    "no list of annotations": (lambda content: content.pop("annotations"), "it has no list of annotations"),
    "an image that is none": (lambda content: content["images"].append(3), r"images\[4\] is 3, but an object"),
    "no file name": (without("images", "file_name"), r"images\[0\] has no file_name"),
    "no category": (without("annotations", "category_id"), r"annotations\[0\] has no category_id"),
    "a negative width": (set_in("images", 0, "width", -1), "has width -1, but 1 to 65536 pixels is expected"),
    "huge height": (set_in("images", 0, "height", 10**9), "has height 1000000000, but"),
    "height of half a pixel": (set_in("images", 0, "height", 40.5), "has height 40.5, but"),
    "an id that is a text": (set_in("images", 0, "id", "a"), "has id 'a', but an integer of at most 53 bits is"),
    "half an id": (set_in("images", 0, "id", 1.5), "has id 1.5, but an integer"),
    "no id": (without("images", "id"), r"images\[0\] has no id"),
    "a huge id": (set_in("images", 0, "id", 2**53 + 1), "has id 9007199254740993, but"),
    "an id that is true": (set_in("images", 0, "id", True), "has id True, but"),
    "an image twice": (set_in("images", 1, "id", 1), "the id 1 occurs twice"),
    "a category twice": (set_in("categories", 1, "id", 7), "the id 7 occurs twice"),
    "an image twice, once as a text": (set_in("images", 1, "id", "01"), "the id 1 occurs twice"),
    "an unknown image": (set_in("annotations", 0, "image_id", 77), "has image_id 77, but there is no such image"),
    "an unknown category": (set_in("annotations", 0, "category_id", 1), "has category_id 1, but there is no such"),
    "a box of NaN": (set_in("annotations", 0, "bbox", [0, 0, float("nan"), 1]), "has bbox .*nan.*, but"),
    "a box without end": (set_in("annotations", 0, "bbox", [0, 0, float("inf"), 1]), "has bbox .*inf.*, but"),
    "three sides": (set_in("annotations", 0, "bbox", [0, 0, 1]), r"has bbox \[0, 0, 1\], but"),
    "a box of text": (set_in("annotations", 0, "bbox", "0011"), "has bbox '0011', but"),
    "a negative area": (set_in("annotations", 0, "area", -1), "has area -1, but a number of square pixels"),
    "half a crowd": (set_in("annotations", 0, "iscrowd", 0.5), "has iscrowd 0.5, but 0 or 1 is expected"),
    "a crowd of lists": (set_in("annotations", 0, "iscrowd", []), r"has iscrowd \[\], but 0 or 1 is expected"),
    "a name that is none": (set_in("categories", 0, "name", None), "has name None, but a text is expected"),
}
BAD_NAMES = ["../0001.png", "a/../../0001.png", "/etc/passwd", "", ".", "a\0b", "\ud800.png", 5, None, ["a"]]


@pytest.mark.parametrize("case", BAD_RECORDS)
def test_a_record_that_cannot_be_used_is_one_line(tmp_path: Path, case: str) -> None:
    change, words = BAD_RECORDS[case]
    with pytest.raises(InputError, match=words) as caught:
        write_both(tmp_path, change=change)
    assert "instances_train2017.json" in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_path_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: object) -> None:
    with pytest.raises(InputError, match=r"images\[0\] has file_name .* but a path below the folder") as caught:
        write_both(tmp_path, change=set_in("images", 0, "file_name", name))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}", '{"images": 1e999}', "[" * 100_000, "9" * 5000, "\xff"])
def test_a_file_that_holds_something_else_is_one_line(tmp_path: Path, text: str) -> None:
    write_both(tmp_path)
    (tmp_path / "annotations" / "instances_train2017.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"instances_train2017\.json") as caught:
        loaded(tmp_path)
    assert str(caught.value).isprintable()


def bare(content: dict[str, Any]) -> None:
    for annotation in content["annotations"]:
        del annotation["area"], annotation["iscrowd"], annotation["id"]
    for category in content["categories"]:
        category["supercategory"] = None


def with_null(content: dict[str, Any]) -> None:
    for annotation in content["annotations"]:
        annotation |= {"area": None, "iscrowd": None, "id": None}


def with_odd_ids(content: dict[str, Any]) -> None:
    """Floating-point numbers and texts; those of annotations are no numbers at all, or the same."""
    for annotation, name in zip(content["annotations"], (7, 7, 1.5, "x"), strict=True):
        annotation["id"] = name
        annotation["image_id"] = float(annotation["image_id"])
        annotation["category_id"] = str(annotation["category_id"])
    for image in content["images"]:
        image |= {"id": str(image["id"]), "width": float(image["width"])}
    for category in content["categories"]:
        category["id"] = float(category["id"])


@pytest.mark.parametrize("change", [bare, with_null, with_odd_ids])
def test_what_nothing_needs_may_be_missing_or_odd(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    plain = write_both(tmp_path)
    data = write_both(tmp_path, change=change)
    assert data.digest() == plain.digest()
    assert data.notes == plain.notes
    assert not data.train.objects.crowd.any()


@pytest.mark.parametrize("absent", ["missing", None, 0])
def test_a_size_that_is_not_on_record_is_read_from_the_image(tmp_path: Path, absent: object) -> None:
    plain = write_both(tmp_path)

    def change(content: dict[str, Any]) -> None:
        for image in content["images"][:3]:
            image["width"] = absent
            if absent == "missing":
                del image["width"]

    data = write_both(tmp_path, change=change)
    assert data.digest() == plain.digest()
    assert data.notes == (
        "'train2017': 3 of 4 images without a size on record: read from the files",
        *plain.notes,
    )
    turned(data.train.files[0], 6)
    assert "(1 of them are turned by their EXIF data when shown;" in loaded(tmp_path).notes[0]
    assert loaded(tmp_path).train.read(0).size == (60, 40)
    data.train.files[1].write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"0002\.png' cannot be read"):
        loaded(tmp_path)
    assert loaded(tmp_path, on_bad_image="skip").train.image_ids == (1, 3, 4)


@pytest.mark.parametrize("absent", ["missing", None, []])
def test_a_missing_box_is_that_around_the_polygon(tmp_path: Path, absent: object) -> None:
    def change(content: dict[str, Any]) -> None:
        for annotation in content["annotations"][:3]:
            annotation["bbox"] = absent
            if absent == "missing":
                del annotation["bbox"]
        content["annotations"][0]["segmentation"] = [[10, 5, 30, 5, 12.5, 15], [11, 6, 12, 6, 12, 7]]
        content["annotations"][1]["segmentation"] = [40, 20, 55, 20, 55, 35]
        content["annotations"][2]["segmentation"] = {"counts": [1], "size": [40, 60]}

    data = write_both(tmp_path, change=change)
    assert data.notes[:2] == (
        "'train2017': 2 objects without a box, but with a polygon: the box around that is used",
        "'train2017': 1 objects with neither a box nor a polygon: left out",
    )
    assert data.train.target(0)[0].tolist() == [[10, 5, 30, 15]]
    assert data.train.target(1)[0].tolist() == [[40, 20, 55, 35]]


def test_annotations_of_which_none_has_a_box_are_refused(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        for annotation in content["annotations"]:
            del annotation["bbox"]

    with pytest.raises(
        InputError, match="none of the 4 annotations of the COCO set 'train2017' has a bbox or a polygon"
    ):
        write_both(tmp_path, change=change)


def test_an_image_may_lie_in_a_folder_of_the_folder(tmp_path: Path) -> None:
    path = write_set(tmp_path, "train2017", [[RED]])
    content = json.loads(path.read_text())
    content["images"][0]["file_name"] = "deep/down.png"
    path.write_text(json.dumps(content))
    (tmp_path / "train2017" / "deep").mkdir()
    (tmp_path / "train2017" / "0001.png").rename(tmp_path / "train2017" / "deep" / "down.png")
    write_set(tmp_path, "val2017", [[RED]], first_id=1000)
    assert loaded(tmp_path).train.read(0).size == (60, 40)
