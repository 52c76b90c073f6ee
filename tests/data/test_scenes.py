"""Laws of the procedural scenes."""
import numpy as np
import pytest
from PIL import Image

from oasis_jax.data.scenes import CLASS_NAMES, Scenes
from oasis_jax.data.scenes import scenes as scenes_lib
from oasis_jax.data.scenes.scenes import NUM_CLASSES

SIZE = (64, 128)
ROAD, SKY, TREE, POLE = (CLASS_NAMES.index(name) for name in ("road", "sky", "tree", "pole"))
RARE = ("sign", "pedestrian")


@pytest.fixture(scope="module")
def pairs():
    scenes = Scenes(200, (32, 64), seed=3)  # small images: the laws are about shares and colours
    return [scenes.scene(i) for i in range(len(scenes))]


def test_a_scene_is_a_function_of_seed_index_and_size():
    photo, ids = Scenes(10, SIZE, 1).scene(4)
    again_photo, again_ids = Scenes(99, SIZE, 1).scene(4)
    np.testing.assert_array_equal(photo, again_photo)
    np.testing.assert_array_equal(ids, again_ids)


@pytest.mark.parametrize("other", [(1, 5), (2, 4)])
def test_another_seed_or_index_is_another_scene(other):
    photo, ids = Scenes(10, SIZE, 1).scene(4)
    seed, index = other
    other_photo, other_ids = Scenes(10, SIZE, seed).scene(index)
    assert np.any(photo != other_photo) and np.mean(ids != other_ids) > 0.02


@pytest.mark.parametrize("size", [(16, 16), (32, 64), (64, 64), (96, 128), (50, 70), (256, 512)])
def test_any_size(size):
    photo, ids = Scenes(1, size, 0).scene(0)
    assert photo.shape == (*size, 3) and photo.dtype == np.uint8
    assert ids.shape == size and ids.dtype == np.uint8
    assert photo.flags.c_contiguous and ids.flags.c_contiguous


def test_size_below_16_is_refused():
    with pytest.raises(ValueError, match="at least 16"):
        Scenes(1, (8, 64), 0)


@pytest.mark.parametrize("index", [-1, 3])
def test_index_out_of_range(index):
    with pytest.raises(IndexError, match="there are 3"):
        Scenes(3, SIZE, 0).scene(index)
    assert len(Scenes(3, SIZE, 0)) == 3


def test_every_class_occurs_and_no_other_id(pairs):
    assert {int(value) for _, ids in pairs for value in np.unique(ids)} == set(range(NUM_CLASSES))


def test_most_scenes_have_a_little_dontcare(pairs):
    shares = np.array([np.mean(ids == 0) for _, ids in pairs])
    assert np.mean(shares > 0) > 0.5 and shares.mean() < 0.1


def test_rare_classes_are_few_pixels_in_few_scenes(pairs):
    for name in RARE:
        here = np.array([np.mean(ids == CLASS_NAMES.index(name)) for _, ids in pairs])
        assert here.mean() < 0.01
        assert 10 <= np.sum(here > 0) < 0.5 * len(pairs)


def test_poles_are_one_or_two_pixels_wide(pairs):
    widths = []
    for _, ids in pairs:
        edges = np.diff(np.pad(ids == POLE, ((0, 0), (1, 1))).astype(int), axis=1)
        widths += (np.argwhere(edges == -1)[:, 1] - np.argwhere(edges == 1)[:, 1]).tolist()
    assert np.mean(np.array(widths) <= 2) > 0.85


def test_the_label_explains_the_photo(pairs):
    # Nearest class mean of (R, G, B) must beat chance by far on pixels of four large classes.
    chosen = (SKY, ROAD, TREE, CLASS_NAMES.index("grass"))
    samples = {c: np.concatenate([photo[ids == c] for photo, ids in pairs]).astype(float) for c in chosen}
    means = np.stack([samples[c].mean(0) for c in chosen])
    right = [np.mean(np.argmin(np.linalg.norm(samples[c][::50, None] - means, axis=-1), 1) == k) for k, c in enumerate(chosen)]
    assert np.mean(right) > 0.5


def test_the_same_label_leaves_room_for_noise(pairs):
    sky = np.array([photo[ids == SKY].mean(0) for photo, ids in pairs if np.sum(ids == SKY) > 100])
    assert sky.std(0).max() > 15


def test_photos_use_the_range(pairs):
    photos = np.stack([photo for photo, _ in pairs])
    assert 70 < photos.mean() < 170 and photos.std() > 40
    assert np.mean(photos == 255) < 0.05


@pytest.mark.parametrize("index", range(4))
def test_layout_is_the_same_at_every_resolution(index):
    _, small = Scenes(4, SIZE, 0).scene(index)
    _, large = Scenes(4, (192, 384), 0).scene(index)
    assert np.mean(small == large[1::3, 1::3]) > 0.95


def test_a_narrow_image_is_the_middle_of_a_wide_one():
    _, wide = Scenes(1, SIZE, 0).scene(0)
    _, narrow = Scenes(1, (64, 64), 0).scene(0)
    assert np.mean(narrow == wide[:, 32:96]) > 0.99


def test_written_folder_reads_back(tmp_path):
    scenes = Scenes(2, (32, 64), 0)
    scenes_lib.write_folder(scenes, tmp_path / "demo")
    assert sorted(path.name for path in (tmp_path / "demo" / "labels").iterdir()) == ["0000.png", "0001.png"]
    photo, label = Image.open(tmp_path / "demo" / "photos" / "0001.png"), Image.open(tmp_path / "demo" / "labels" / "0001.png")
    assert photo.mode == "RGB" and label.mode == "L"
    np.testing.assert_array_equal(np.asarray(photo), scenes.scene(1)[0])
    np.testing.assert_array_equal(np.asarray(label), scenes.scene(1)[1])
