import dataclasses
import shutil

import numpy as np
import pytest
from PIL import Image

from configs import coco_stuff
from oasis_jax.data.columns import read_photo
from oasis_jax.data.datasets import DataSpec, open_split
from oasis_jax.data.labels import DataError
from oasis_jax.sample_labels import find_label_files


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


PHOTO = np.zeros((8, 8, 3), np.uint8)
IDS = np.zeros((8, 8), np.uint8)
LAYOUTS = {
    "cityscapes": ("leftImg8bit/{}/aachen/a_0_leftImg8bit.png", "gtFine/{}/aachen/a_0_gtFine_labelIds.png", "train", "val", 35),
    "ade20k": ("images/{}/ADE_1.jpg", "annotations/{}/ADE_1.png", "training", "validation", 151),
    "coco_stuff": ("{}_img/0001.jpg", "{}_label/0001.png", "train", "val", 183),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("split", [0, 1])
def test_a_layout_implies_folders_names_and_classes(tmp_path, layout, split):
    photo, label, *folders, num_classes = LAYOUTS[layout]
    save(tmp_path / photo.format(folders[split]), PHOTO)
    save(tmp_path / label.format(folders[split]), IDS)
    save(tmp_path / label.format(folders[split]).replace("labelIds", "color"), IDS)  # Cityscapes keeps other maps in the same folder
    opened = open_split(DataSpec(layout=layout, root=str(tmp_path)), ("train", "val")[split])
    assert len(opened) == 1 and not opened.faults and opened.rule.num_classes == num_classes == len(opened.class_names)


def test_coco_stuff_ids_move_up_by_one_and_255_is_the_dont_care_class(tmp_path):
    photo, label, *_ = LAYOUTS["coco_stuff"]
    save(tmp_path / photo.format("train"), PHOTO)
    save(tmp_path / label.format("train"), IDS)
    spec = dataclasses.replace(DataSpec.of_config(coco_stuff.get_config().data), root=str(tmp_path))
    assert open_split(spec, "train").rule(np.array([0, 181, 255])).tolist() == [1, 182, 0]
    stored_as_classes = dataclasses.replace(spec, label_offset=0, label_map="")
    assert open_split(stored_as_classes, "train").rule(np.array([0, 181])).tolist() == [0, 181]


def test_label_files_of_cityscapes_leave_out_what_lies_beside_them(tmp_path):
    photo, label, *_ = LAYOUTS["cityscapes"]
    save(tmp_path / photo.format("train"), PHOTO)
    save(tmp_path / label.format("train"), IDS)
    save(tmp_path / label.format("train").replace("labelIds", "color"), PHOTO)
    split = open_split(DataSpec(layout="cityscapes", root=str(tmp_path)), "train")
    found = [str(file) for file in find_label_files(split.label_files)[0].values()]
    assert found == [example.files["label_map"] for example in split.examples]


@pytest.fixture
def ade20k(tmp_path):
    """Four training images and one for validation; returns a function from scene categories to a DataSpec."""
    lines = ["ADE_train_1 beach", "ADE_train_2 street", "ADE_train_3 bedroom", "ADE_train_4 beach", "ADE_val_1 bedroom"]
    for name in (line.split()[0] for line in lines):
        folder = "validation" if "val" in name else "training"
        save(tmp_path / f"images/{folder}/{name}.jpg", PHOTO)
        save(tmp_path / f"annotations/{folder}/{name}.png", IDS)
    (tmp_path / "sceneCategories.txt").write_text("\n".join(lines) + "\n")
    return lambda *categories: DataSpec(layout="ade20k", root=str(tmp_path), scene_categories=categories)


def test_scene_categories_choose_the_images_of_ade20k(ade20k):
    assert len(open_split(ade20k(), "train")) == 4
    split = open_split(ade20k("beach", "street"), "train")
    assert [pair.name for pair in split.examples] == ["ADE_train_1", "ADE_train_2", "ADE_train_4"] and not split.faults


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_the_list_of_scene_categories_may_have_a_byte_order_mark(ade20k, tmp_path, encoding):
    path = tmp_path / "sceneCategories.txt"
    path.write_text("# of all images\r\n\r\n" + path.read_text().replace("\n", "\r\n"), encoding=encoding, newline="")
    assert [pair.name for pair in open_split(ade20k("beach"), "train").examples] == ["ADE_train_1", "ADE_train_4"]


def test_wrong_scene_categories_are_named(ade20k, tmp_path):
    with pytest.warns(UserWarning, match=r"does not contain: beech \(nearest: beach, .*\)"):
        assert len(open_split(ade20k("beech", "street"), "train")) == 1
    with pytest.raises(DataError, match="no image of the val split"):
        open_split(ade20k("beach"), "val")
    for kind, ending in (("img", "jpg"), ("label", "png")):
        save(tmp_path / f"coco/train_{kind}/0001.{ending}", IDS if kind == "label" else PHOTO)
    with pytest.raises(DataError, match='is for data.layout "ade20k"'):
        open_split(dataclasses.replace(ade20k("beach"), layout="coco_stuff", root=str(tmp_path / "coco")), "train")
    (tmp_path / "sceneCategories.txt").unlink()
    with pytest.raises(DataError, match="sceneCategories.txt cannot be read"):
        open_split(ade20k("beach"), "train")


def test_pairs_are_matched_by_name_whatever_the_ending_and_subfolder(tmp_path):
    save(tmp_path / "train/photos/day/b.JPG", PHOTO)
    save(tmp_path / "train/photos/a.webp", PHOTO)
    save(tmp_path / "train/labels/day/b.png", IDS)
    save(tmp_path / "train/labels/a.bmp", IDS)
    assert [pair.name for pair in open_split(DataSpec(root=str(tmp_path), num_classes=2), "train").examples] == ["a", "day/b"]


def test_every_file_without_partner_is_a_fault(root, spec):
    (root / "train/photos/pair1.png").unlink()
    (root / "train/labels/pair5.png").unlink()
    split = open_split(spec, "train")
    assert len(split) == 5
    assert [name for fault in split.faults for name in ("pair1", "pair5") if name in fault.split(" has no ")[0]] == ["pair5", "pair1"]


@pytest.mark.parametrize("split", ["train", "val"])
def test_swapped_folders_are_recognised(root, spec, split):
    spec = dataclasses.replace(spec, **{f"{split}_photos": f"{split}/labels", f"{split}_labels": f"{split}/photos"})
    with pytest.raises(DataError, match="photos and label maps are swapped"):
        open_split(spec, split)


@pytest.mark.parametrize("broken", [False, True])
def test_grey_photos_with_label_maps_in_colour_or_with_one_that_is_a_photo_are_not_swapped(root, spec, broken):
    for path in (root / "train/photos").iterdir():
        Image.open(path).convert("L").save(path)
    for path in (root / "train/labels").iterdir():
        Image.open(path).convert("RGB").save(path)
    if broken:
        Image.new("RGB", (32, 24), "red").save(root / "train/labels/pair0.png", "JPEG")
    split = open_split(spec, "train")
    assert len(split) == 7 and (split.read(1)["label_map"] < 6).all()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"root": ""}, "data.root is empty"),
        ({"root": "/no/such/folder"}, "/no/such/folder is not a folder"),
        ({"train_photos": "elsewhere"}, "elsewhere is not a folder"),
        ({"num_classes": 0}, "data.num_classes is 0"),
        ({"layout": "cityscape"}, "it must be one of folders, cityscapes"),
        ({"class_names": ("a", "b")}, "data.class_names has 2 names, but data.num_classes is 6: correct data.class_names or data.num_cl"),
        ({"layout": "scenes", "num_classes": 6}, "data.layout=scenes has .* classes, but data.num_classes is 6: set data.num_classes="),
        ({"label_map": "9:6"}, "maps 9 to 6"),
        ({"label_map": "255:0,3:1, 255:1"}, 'data.label_map is "255:0,3:1, 255:1", which has id 255 more than once, 255:0 and 255:1'),
        ({"palette": "/no/palette.txt"}, "/no/palette.txt cannot be read"),
    ],
)
def test_a_wrong_field_is_an_error_that_names_it(spec, change, message):
    with pytest.raises(DataError, match=message):
        open_split(dataclasses.replace(spec, **change), "train")


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("column", ["photos", "labels"])
@pytest.mark.parametrize("kind", ["absent", "empty"])
def test_a_field_that_names_a_wrong_folder_is_named_with_its_value(root, spec, split, column, kind):
    (root / "empty").mkdir()
    field = f"{split}_{column}"
    with pytest.raises(DataError) as error:
        open_split(dataclasses.replace(spec, **{field: kind}), split)
    (line,) = str(error.value).splitlines()
    assert line.startswith(f"data.{field}={kind}: {root / kind} ") and line.endswith(f": correct data.{field}, or data.root")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_of_a_layout_whose_folders_are_fixed_the_root_and_the_layout_are_named(tmp_path, layout):
    with pytest.raises(DataError) as error:
        open_split(DataSpec(layout=layout, root=str(tmp_path)), "train")
    lines = str(error.value).splitlines()
    assert len(lines) == 2 and all(line.endswith(": correct data.root, or data.layout") for line in lines)


@pytest.mark.parametrize("num_classes", [3, 5])
def test_names_of_a_palette_that_are_too_many_or_few_are_told_with_the_palette(tmp_path, spec, num_classes):
    (tmp_path / "palette.txt").write_text("0 0 0 a\n1 1 1 b\n2 2 2 c\n3 3 3 d\n")
    spec = dataclasses.replace(spec, palette=str(tmp_path / "palette.txt"), num_classes=num_classes)
    fix = "set data.num_classes=4, or give the names of your classes in data.class_names"
    with pytest.raises(DataError, match=f"data.palette .*palette.txt has 4 classes, .*, but data.num_classes is {num_classes}: {fix}"):
        open_split(spec, "train")


def test_an_empty_folder_is_an_error_that_names_it(root, spec):
    shutil.rmtree(root / "train/photos")
    (root / "train/photos").mkdir()
    with pytest.raises(DataError, match="train/photos holds no photos"):
        open_split(spec, "train")


def test_a_config_of_an_older_checkpoint_that_lacks_fields_means_what_it_meant():
    data = coco_stuff.get_config().data.to_dict()
    newer = {name: data.pop(name) for name in ("fit", "val_root")}
    assert newer == {"fit": "resize", "val_root": ""}
    assert DataSpec.of_config(data) == DataSpec.of_config(coco_stuff.get_config().data)


def test_a_negative_number_of_threads_is_refused():
    with pytest.raises(DataError, match="data.workers is -2: give the number of threads, or 0"):
        DataSpec(workers=-2)


def test_a_crop_larger_than_the_resized_photo_is_refused():
    with pytest.raises(DataError, match="data.resize_size"):
        DataSpec(image_size=(64, 64), resize_size=(72, 60))


def test_greyscale_photos_become_rgb_and_16_bits_become_8(tmp_path):
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    save(tmp_path / "grey.png", grey)
    save(tmp_path / "deep.png", grey.astype(np.uint16) * 257)
    for name in ("grey", "deep"):
        assert (np.asarray(read_photo(tmp_path / f"{name}.png")) == grey[..., None].repeat(3, 2)).all()


def test_training_and_validation_scenes_differ():
    spec = DataSpec(layout="scenes", scenes_train=1, scenes_val=1, image_size=(32, 32))
    assert open_split(spec, "train").read(0)["image"] != open_split(spec, "val").read(0)["image"]
