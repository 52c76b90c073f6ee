import numpy as np
import pytest
from PIL import Image

from oasis_jax.data.labels import resize_label_map
from oasis_jax.data.resize import resize_photo

SIZES = [((36, 48), (29, 29)), ((31, 17), (64, 64)), ((102, 205), (26, 51)), ((20, 30), (20, 30)), ((360, 480), (286, 286))]


@pytest.mark.parametrize("old, new", SIZES)
def test_a_window_of_a_resize_is_the_crop_of_the_whole(old, new):
    rng = np.random.default_rng(0)
    photo, ids = Image.fromarray(rng.integers(64, 192, (*old, 3), np.uint8)), rng.integers(0, 12, old, np.uint8)
    whole, whole_ids = resize_photo(photo, new), resize_label_map(ids, new)
    assert (whole == np.asarray(photo.resize(new[::-1], Image.Resampling.BICUBIC))).all()
    for _ in range(5):
        height, width = (int(rng.integers(1, side + 1)) for side in new)
        top, left = int(rng.integers(new[0] - height + 1)), int(rng.integers(new[1] - width + 1))
        crop = np.s_[top : top + height, left : left + width]
        assert (resize_label_map(ids, new, (top, left, height, width)) == whole_ids[crop]).all()
        difference = np.abs(resize_photo(photo, new, (top, left, height, width)) - whole[crop].astype(int))
        print(difference.max(), (difference > 0).mean())
        assert difference.max() <= 2


@pytest.mark.parametrize(
    "old, new, part",
    [
        ((36, 48), (18, 18), (0, 6, 36, 36)),
        ((48, 36), (72, 72), (6, 0, 36, 36)),
        ((51, 20), (16, 32), (20, 0, 10, 20)),
        ((41, 100), (40, 80), (0, 9, 41, 82)),
        ((20, 31), (20, 20), (0, 5, 20, 20)),
    ],
)
def test_a_crop_is_the_largest_centred_window_of_the_aspect_ratio(old, new, part):
    photo = Image.fromarray(np.random.default_rng(0).integers(64, 192, (*old, 3), np.uint8))
    top, left, height, width = part
    found = resize_photo(photo, new, crop=True)
    assert (found == np.asarray(photo.resize(new[::-1], Image.Resampling.BICUBIC, (left, top, left + width, top + height)))).all()
    if (height, width) == new:
        assert (found == np.asarray(photo)[top : top + height, left : left + width]).all()
    window = (3, 5, 9, 8)
    difference = resize_photo(photo, new, window, crop=True) - found[3:12, 5:13].astype(int)
    assert np.abs(difference).max() <= 2


def test_a_crop_of_the_same_aspect_ratio_is_the_whole_photo():
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 60, 3), np.uint8))
    assert (resize_photo(photo, (7, 14), crop=True) == resize_photo(photo, (7, 14))).all()
