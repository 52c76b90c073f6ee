"""Small data sets in files, whose photos show where each pixel came from."""
import numpy as np
import pytest
from PIL import Image

from oasis_jax.data.datasets import DataSpec

NUM_CLASSES = 6


def write_pair(root, name, split="train", size=(24, 32), seed=0, photo_ending=".png"):
    """Writes and returns a photo and its label map, in blocks of 8 pixels; channel 0 of the photo is 40 times the class."""
    rng = np.random.default_rng(seed)
    ids = np.kron(rng.integers(0, NUM_CLASSES, (size[0] // 8, size[1] // 8)), np.ones((8, 8), int)).astype(np.uint8)
    photo = np.stack([ids * 40, 255 - ids * 40, np.full_like(ids, seed)], -1)
    for folder, array, ending in (("photos", photo, photo_ending), ("labels", ids, ".png")):
        path = root / split / folder / (name + ending)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)
    return photo, ids


@pytest.fixture
def root(tmp_path):
    """Seven training pairs and three for validation; channel 2 of a photo is the number of its pair, plus 100 for validation."""
    for i in range(7):
        write_pair(tmp_path, f"pair{i}", seed=i)
    for i in range(3):
        write_pair(tmp_path, f"pair{i}", "val", seed=100 + i)
    return tmp_path


@pytest.fixture
def spec(root):
    return DataSpec(root=str(root), num_classes=NUM_CLASSES, image_size=(24, 32), workers=1)
