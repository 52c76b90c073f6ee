"""Background of a procedural street scene: sky, skyline and ground."""
import dataclasses

import numpy as np

from oasis_jax.data.scenes.canvas import cell_random, mix, pulses, rgb, unit, value_noise
from oasis_jax.data.scenes.things import BUILDING, GRASS, PAVEMENT, ROAD, SKY, TREE

_SKYLINE_DEPTH = 260.0


@dataclasses.dataclass(frozen=True)
class Street:
    """Cross-section of a straight street, in metres from the camera, and the look of its surfaces.

    kind is "city", "suburb" or "park". Boundaries are (left, right): kerb (road | pavement), edge (pavement | verge), wall (verge | plots).
    """
    kind: str
    kerb: tuple
    edge: tuple
    wall: tuple
    asphalt: float
    paving: np.ndarray
    lawn: np.ndarray
    crossing: float  # depth of a pedestrian crossing; 0 for none
    wet: float
    salt: int

    @classmethod
    def draw(cls, rng):
        """Draws a random street."""
        kind = str(rng.choice(["city", "suburb", "park"], p=[0.5, 0.33, 0.17]))
        half = rng.uniform(3.6, 5.6)
        offset = -rng.uniform(0.3, 0.6) * half  # the camera keeps to the right
        kerb = (offset - half, offset + half)
        edge = (kerb[0] - rng.uniform(1.6, 3.6), kerb[1] + rng.uniform(1.6, 3.6))
        verge = {"city": (0.0, 0.6), "suburb": (1.5, 5.0), "park": (5.0, 12.0)}[kind]
        wall = (edge[0] - rng.uniform(*verge), edge[1] + rng.uniform(*verge))
        return cls(
            kind=kind, kerb=kerb, edge=edge, wall=wall, asphalt=rng.uniform(0.17, 0.27),
            paving=mix(rgb(0.44, 0.43, 0.42), rgb(0.50, 0.43, 0.37), rng.uniform()) * rng.uniform(0.85, 1.15),
            lawn=mix(rgb(0.17, 0.30, 0.07), rgb(0.33, 0.33, 0.12), rng.uniform() ** 2),
            crossing=rng.uniform(6, 16) if rng.uniform() < 0.25 else 0.0, wet=rng.uniform(0.3, 0.7) if rng.uniform() < 0.15 else 0.0,
            salt=int(rng.integers(256)))


def paint_sky(canvas, street):
    """Paints the sky down to the horizon: a gradient, a glow around the sun, and a flat cloud layer that is denser towards the horizon."""
    light, camera = canvas.light, canvas.camera
    rows = canvas.window(canvas.x[0, 0], canvas.x[0, -1], 0.0, camera.horizon_y)
    y = np.maximum(camera.horizon_y - canvas.y[rows[0]], 0) / camera.focal
    x = (canvas.x - camera.vanishing_x) / camera.focal
    sky = mix(light.horizon, light.zenith, (1 - np.exp(-3.2 * y)))
    sun_x, sun_y, sun_z = light.sun_direction
    if sun_z > 0.1:
        distance = np.hypot(x - sun_x / sun_z, y - sun_y / sun_z)
        sky = sky + light.sun * (0.35 * np.exp(-3.0 * distance) + 1.2 * np.exp(-(distance / 0.06) ** 2))
    layer = 0.55 / (y + 0.14)
    puffs = value_noise(x * layer * 1.6 + street.salt, layer * 2.2 + street.salt)
    cover = unit((puffs + 0.75 * light.overcast - 0.08) * 2.6) * unit(y * 9)
    cloud = mix(light.ambient * 1.2, light.ambient * 0.9 + 0.75 * light.sun + 0.1, unit(0.75 - 0.6 * puffs))
    canvas.photo[:, rows[0]] = mix(sky, cloud, 0.85 * cover)
    canvas.ids[rows[0]] = SKY


def paint_skyline(canvas, street):
    """Paints distant roofs or woods along the horizon."""
    light, camera = canvas.light, canvas.camera
    x, y = canvas.x - camera.vanishing_x, canvas.y
    band = canvas.window(canvas.x[0, 0], canvas.x[0, -1], camera.horizon_y - 0.16, camera.horizon_y + 0.02)
    x, y = x[:, band[1]], y[band[0]]
    if street.kind != "park":
        block = x * 17
        height = 0.035 + 0.03 * cell_random(block, np.zeros_like(x), street.salt)
        windows = 0.12 * cell_random(x * 150, y * 110, street.salt)
        colour = rgb(0.42, 0.40, 0.40) * (1 + 0.25 * cell_random(block, np.zeros_like(x), street.salt + 9) + windows)
        canvas.put(band, canvas.inside(y - (camera.horizon_y - height)), colour * light.on(0, 0, -1), _SKYLINE_DEPTH, BUILDING)
    height = (0.03 if street.kind == "park" else 0.012) + 0.022 * value_noise(x * 11 + street.salt, np.full_like(x, street.salt))
    leaves = 1 + 0.5 * value_noise(x * 90, y * 90 + street.salt)
    canvas.put(band, canvas.inside(y - (camera.horizon_y - height)), rgb(0.16, 0.24, 0.09) * light.on(0, 0.5, -0.5) * leaves,
               _SKYLINE_DEPTH * 0.7, TREE)


def paint_ground(canvas, street, buildings):
    """Paints road, pavement and verge below the horizon in perspective, with the shadows of the buildings."""
    light, camera = canvas.light, canvas.camera
    rows = slice(int(np.argmax(canvas.y[:, 0] > camera.horizon_y + canvas.pixel / 4)), None)
    below = canvas.y[rows] - camera.horizon_y
    z = camera.focal * camera.height / below
    x = (canvas.x - camera.vanishing_x) * z / camera.focal
    wide, deep = canvas.pixel * z / camera.focal, canvas.pixel * z / below  # metres per pixel across and along the street

    def left_of(boundary):
        return unit((boundary - x) / wide + 0.5)

    def within(low, high):
        return left_of(high) - left_of(low)

    coarse, fine = value_noise(x * 0.5 + street.salt, z * 0.25), value_noise(x * 5, z * 3 + street.salt)
    fine = fine * np.clip(1.6 - 3 * wide, 0.15, 1)
    road, paved = within(*street.kerb), within(*street.edge)

    lawn = street.lawn * (1 + 0.35 * coarse + 0.55 * fine)
    if street.kind == "city":
        lawn = street.paving * (0.8 + 0.2 * coarse + 0.2 * fine)
    joints = np.maximum(pulses(x / 0.9, 0.07, wide / 0.9), pulses(z / 0.9, 0.07, deep / 0.9))
    slabs = 0.07 * cell_random(x / 0.9, z / 0.9, street.salt) * unit(1.5 - deep)
    paving = street.paving * (1 + 0.12 * coarse + 0.16 * fine + slabs - 0.3 * joints)

    middle = sum(street.kerb) / 2
    half = street.kerb[1] - middle
    tracks = np.cos((x - middle) * (4 * np.pi / half))
    patches = 0.12 * (cell_random(x / 2.3, z / 7.0, street.salt) > 0.7)
    asphalt = street.asphalt * rgb(1.0, 1.0, 1.03) * (1 + 0.16 * coarse + 0.22 * fine - 0.05 * tracks - patches)
    dashes = within(middle - 0.08, middle + 0.08) * pulses(z / 6.0, 0.5, deep / 6.0)
    lines = dashes + within(street.kerb[0] + 0.25, street.kerb[0] + 0.37) + within(street.kerb[1] - 0.37, street.kerb[1] - 0.25)
    if street.crossing:
        stripes = pulses((x - street.kerb[0]) / 1.0, 0.5, wide / 1.0)
        across = unit(np.minimum(z - street.crossing, street.crossing + 3.0 - z) / deep + 0.5)
        lines = mix(lines, stripes, across)
    asphalt = mix(asphalt, rgb(0.72, 0.72, 0.68) * (1 + 0.2 * fine), (unit(lines) * (0.85 + 0.3 * coarse)))
    if street.wet:
        asphalt = mix(asphalt * 0.75, light.horizon * 0.8, street.wet * unit(0.5 + coarse) * np.exp(-below * 5))

    kerbstones = within(street.kerb[0] - 0.16, street.kerb[0]) + within(street.kerb[1], street.kerb[1] + 0.16)
    colour = mix(mix(lawn, paving, paved), asphalt, road)
    colour = mix(colour, street.paving * 1.2, (0.7 * kerbstones))
    sunlit = 1 - _building_shadow(light, street, buildings, x, z)
    colour = colour * (light.ambient + light.sun * light.sun_direction[1] * sunlit)
    canvas.photo[:, rows] = canvas.hazed(colour, z)
    outside = PAVEMENT if street.kind == "city" else GRASS
    canvas.ids[rows] = np.where(road > 0.5, ROAD, np.where(paved > 0.5, PAVEMENT, outside))


def _building_shadow(light, street, buildings, x, z):
    """Shadow on ground points, 0 (sunlit) to 1 (shaded): whether the ray to the sun passes below the roof line on the sunny side."""
    sun_x, sun_y, sun_z = light.sun_direction
    row = sorted((house for house in buildings if house.x * sun_x > 0), key=lambda house: house.z)
    if not row or abs(sun_x) < 0.15:
        return np.zeros_like(x)
    distance = np.maximum(np.abs(row[0].x - x) * (np.sign(sun_x) * (row[0].x - x) > 0), 1e-3) / abs(sun_x)
    hit = z + distance * sun_z
    index = np.searchsorted(np.array([house.z for house in row], np.float32), hit) - 1
    heights, ends = np.array([house.height + house.roof for house in row], np.float32), np.array([house.z_end for house in row], np.float32)
    height = np.where((index >= 0) & (hit < ends[index]), heights[index], 0)
    return unit((height - distance * sun_y) / 0.4 + 0.5) * (height > 0)
