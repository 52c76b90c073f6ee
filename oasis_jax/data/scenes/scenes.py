"""Procedural street scenes: photo-like images with exact label maps, for trials that need no download.

Scenes share the difficulties of real street data: perspective, haze, occlusion, thin poles, rare classes, and a don't-care class (0) over
unlabelled regions. Time of day, weather and colours vary between scenes, so the label map alone does not determine the photo.
"""
import dataclasses
import pathlib

import numpy as np
from PIL import Image

from oasis_jax.data.scenes.backdrop import Street, paint_ground, paint_sky, paint_skyline
from oasis_jax.data.scenes.canvas import Camera, Canvas, Light, mix, rgb, value_noise
from oasis_jax.data.scenes.things import CLASS_NAMES, UNLABELLED, Building, Car, Fence, Lamp, Pedestrian, Sign, Tree

NUM_CLASSES = len(CLASS_NAMES)

_SIDES = (-1, 1)
_PLASTER = (rgb(0.66, 0.58, 0.44), rgb(0.72, 0.69, 0.62), rgb(0.50, 0.52, 0.55), rgb(0.68, 0.48, 0.34), rgb(0.46, 0.54, 0.56))
_BRICKS = (rgb(0.48, 0.22, 0.15), rgb(0.40, 0.28, 0.20), rgb(0.52, 0.34, 0.22))
_FENCE_PAINTS = (rgb(0.75, 0.74, 0.70), rgb(0.30, 0.20, 0.12), rgb(0.10, 0.14, 0.13))
_CAR_PAINTS = (rgb(0.62, 0.63, 0.65), rgb(0.82, 0.82, 0.80), rgb(0.05, 0.05, 0.06),
               rgb(0.50, 0.06, 0.05), rgb(0.07, 0.14, 0.40), rgb(0.25, 0.27, 0.28))
_FAR = 110.0  # length of the built street in metres


@dataclasses.dataclass(frozen=True)
class Scenes:
    """A data set of procedural scenes; scene i is a pure function of (seed, i, image_size).

    The layout depends only on (seed, i): another size shows the same scene at another resolution, cropped or widened around its middle
    column. Give training and validation different seeds.

    Attributes:
        num_scenes: number of scenes.
        image_size: (height, width) in pixels, at least 16 each; otherwise raises ValueError.
        seed: non-negative int.
    """
    num_scenes: int
    image_size: tuple
    seed: int = 0

    def __post_init__(self):
        if min(self.image_size) < 16:
            raise ValueError(f"image_size is {tuple(self.image_size)}, but scenes need at least 16 pixels a side")

    def __len__(self):
        return self.num_scenes

    def scene(self, index):
        """Paints (photo uint8 (H, W, 3), ids uint8 (H, W) in 0..NUM_CLASSES-1); raises IndexError unless 0 <= index < num_scenes."""
        if not 0 <= index < self.num_scenes:
            raise IndexError(f"scene {index} was requested, but there are {self.num_scenes} (0..{self.num_scenes - 1})")
        rng = np.random.default_rng((self.seed, index))
        canvas = Canvas(self.image_size, Camera.draw(rng), Light.draw(rng))
        street = Street.draw(rng)
        buildings = _draw_buildings(rng, street)
        garden_trees, fences, street_trees = _draw_greenery(rng, street)
        on_street = street_trees + _draw_cars(rng, street) + _draw_small(rng, street)
        paint_sky(canvas, street)
        paint_skyline(canvas, street)
        paint_ground(canvas, street, buildings)
        for layer in (buildings, garden_trees, fences, on_street):  # each layer is entirely behind the next one
            for thing in sorted(layer, key=lambda thing: -thing.z):
                thing.paint(canvas)
        _paint_bonnet(canvas, rng)
        _leave_unlabelled(canvas, rng)
        return canvas.develop(rng), canvas.ids


def write_folder(scenes, directory):
    """Writes photos/NNNN.png (RGB) and labels/NNNN.png (8-bit greyscale class ids) of every scene below a local directory."""
    photos, labels = pathlib.Path(directory, "photos"), pathlib.Path(directory, "labels")
    for folder in (photos, labels):
        folder.mkdir(parents=True, exist_ok=True)
    for index in range(len(scenes)):
        photo, ids = scenes.scene(index)
        Image.fromarray(photo).save(photos / f"{index:04d}.png")
        Image.fromarray(ids).save(labels / f"{index:04d}.png")


def _draw_buildings(rng, street):
    gap_share, low, high, pitched = {"city": (0.08, 8, 26, 0.1), "suburb": (0.55, 4.5, 7.5, 0.9), "park": (0.85, 5, 12, 0.6)}[street.kind]
    buildings = []
    for wall in street.wall:
        z, neighbour = -rng.uniform(0, 12), 0.0
        while z < _FAR:
            length = rng.uniform(8, 20)
            if rng.uniform() > gap_share and z + length > 2:
                buildings.append(_draw_building(rng, wall, z, length, rng.uniform(low, high), neighbour, rng.uniform() < pitched))
                neighbour = buildings[-1].height
            else:
                neighbour = 0.0
            z += length
            if street.kind != "city":
                z, neighbour = z + rng.uniform(2, 6), 0.0
    return buildings


def _draw_building(rng, x, z, length, height, neighbour, pitched):
    brick = rng.uniform() < 0.4
    walls = _BRICKS if brick else _PLASTER
    return Building(
        x=x, z=z, z_end=z + length, height=height, depth=rng.uniform(8, 12), roof=rng.uniform(2.0, 3.4) if pitched else 0.0,
        hidden=neighbour, colour=walls[rng.integers(len(walls))] * rgb(*rng.uniform(0.86, 1.07, 3)),
        trim=rgb(0.74, 0.72, 0.67) * rng.uniform(0.6, 1.1),
        window_grid=(rng.uniform(2.0, 3.4), rng.uniform(2.8, 3.5), rng.uniform(0.4, 0.7)), brick=brick, salt=int(rng.integers(256)))


def _draw_greenery(rng, street):
    """Lists of the trees behind the pavements, the fences, and the trees on the pavements."""
    trees_per_step, fence_share = {"city": (0.18, 0.06), "suburb": (0.4, 0.5), "park": (0.8, 0.25)}[street.kind]
    gardens, fences, pavements = [], [], []
    foliage = mix(rgb(0.16, 0.30, 0.07), rgb(0.44, 0.30, 0.06), rng.uniform() ** 3)  # early summer to autumn
    for side, kerb, edge, wall in zip(_SIDES, street.kerb, street.edge, street.wall, strict=True):
        for z in np.arange(rng.uniform(7, 14), 75, 9.0).tolist():
            if rng.uniform() < trees_per_step:
                in_city, z_tree = street.kind == "city", z + rng.uniform(-2, 2)
                x = kerb + side * rng.uniform(0.7, 1.2) if in_city else mix(edge, wall, rng.uniform(0.4, 0.8))
                (pavements if in_city else gardens).append(_draw_tree(rng, x, z_tree, foliage))
        if rng.uniform() < fence_share:
            start = rng.uniform(2, 14)
            fences.append(Fence(x=edge + side * 0.3, z=start, z_end=start + rng.uniform(8, 40), height=rng.uniform(0.9, 1.5),
                                colour=_FENCE_PAINTS[rng.integers(len(_FENCE_PAINTS))]))
    return gardens, fences, pavements


def _draw_tree(rng, x, z, foliage):
    height = rng.uniform(4.5, 9.5)
    blobs = np.concatenate([rng.uniform(-0.55, 0.55, (6, 2)), rng.uniform(0.4, 0.68, (6, 1))], 1).astype(np.float32)
    return Tree(x=x, z=z, height=height, radius=height * rng.uniform(0.28, 0.38), blobs=blobs,
                colour=foliage * rgb(*rng.uniform(0.75, 1.25, 3)), salt=int(rng.integers(256)))


def _draw_cars(rng, street):
    things = []
    parked = {"city": 0.5, "suburb": 0.3, "park": 0.12}[street.kind] * rng.uniform(0.2, 1.5)
    for side, kerb in zip(_SIDES, street.kerb, strict=True):
        for z in np.arange(rng.uniform(4.5, 9), 60, 6.2).tolist():
            if rng.uniform() < parked:
                things.append(_draw_car(rng, kerb - side * rng.uniform(1.05, 1.25), z + rng.uniform(-0.4, 0.4), away=side > 0))
    middle = sum(street.kerb) / 2
    half = street.kerb[1] - middle
    if rng.uniform() < 0.5:
        things.append(_draw_car(rng, middle + 0.35 * half, rng.uniform(9, 45), away=True))
    if rng.uniform() < 0.4:
        things.append(_draw_car(rng, middle - 0.35 * half, rng.uniform(10, 60), away=False))
    return things


def _draw_car(rng, x, z, away):
    return Car(x=x, z=z, colour=_CAR_PAINTS[rng.integers(len(_CAR_PAINTS))] * rng.uniform(0.8, 1.2), away=away, tall=rng.uniform(0.95, 1.2))


def _draw_small(rng, street):
    """Lamps, signs and pedestrians: few pixels, and signs and pedestrians in few scenes only."""
    things = []
    metal = mix(rgb(0.10, 0.11, 0.11), rgb(0.42, 0.43, 0.44), rng.uniform())
    for side, kerb in zip(_SIDES, street.kerb, strict=True):
        if rng.uniform() < 0.75:
            height, spacing = rng.uniform(5.0, 7.5), rng.uniform(16, 28)
            for z in np.arange(rng.uniform(5, 14), 60, spacing).tolist():
                things.append(Lamp(x=kerb + side * 0.45, z=z, height=height, colour=metal))
    if rng.uniform() < 0.3:
        side = rng.integers(2)
        things.append(Sign(x=street.kerb[side] + _SIDES[side] * 0.6, z=rng.uniform(5.5, 16), kind=int(rng.integers(4))))
    if rng.uniform() < 0.25:
        for _ in range(rng.integers(1, 4)):
            side, crosses = rng.integers(2), street.crossing and rng.uniform() < 0.6
            z = street.crossing + rng.uniform(0.5, 2.5) if crosses else rng.uniform(7, 25)
            x = rng.uniform(*street.kerb) if crosses else mix(street.kerb[side], street.edge[side], rng.uniform(0.2, 0.9))
            things.append(Pedestrian(
                x=x, z=z, height=rng.uniform(1.5, 1.85), stride=rng.uniform(0.03, 0.12), coat=rgb(*rng.uniform(0.05, 0.75, 3)),
                trousers=rgb(0.1, 0.11, 0.16) * rng.uniform(0.5, 2.5),
                skin=mix(rgb(0.28, 0.17, 0.11), rgb(0.75, 0.55, 0.44), rng.uniform())))
    return things


def _paint_bonnet(canvas, rng):
    """Paints the bonnet of the camera car, which belongs to no class."""
    colour, rise = rgb(0.07, 0.075, 0.09) * rng.uniform(0.6, 4.0), rng.uniform(0.04, 0.09)
    if rng.uniform() < 0.75:
        shine = canvas.light.horizon * 0.25
        canvas.ellipse(0.0, 1.0 + 0.4, 1.6, 0.4 + rise, colour * canvas.light.ambient + shine, 0.0, UNLABELLED)
        canvas.ellipse(0.0, 1.0 + 0.42, 1.5, 0.4 + rise, colour * canvas.light.on(0, 1, 0), 0.0, UNLABELLED)


def _leave_unlabelled(canvas, rng):
    """Removes the label, but not the photo, from a few ragged patches, as in hasty annotations."""
    for _ in range(rng.choice(4, p=[0.5, 0.25, 0.15, 0.1])):
        x, y, radius, salt = rng.uniform(-1.0, 1.0), rng.uniform(0.3, 0.9), rng.uniform(0.04, 0.12), rng.integers(256)
        window = canvas.window(x - 1.5 * radius, x + 1.5 * radius, y - 1.5 * radius, y + 1.5 * radius)
        if window is not None:
            u, v = (canvas.x[:, window[1]] - x) / radius, (canvas.y[window[0]] - y) / radius
            np.copyto(canvas.ids[window], UNLABELLED, where=np.hypot(u, v) + 0.7 * value_noise(u * 1.7 + salt, v * 1.7) < 0.9)
