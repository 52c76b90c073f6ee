"""Drawing of procedural scenes: a camera, light, value noise, and shapes with soft edges in the photo only.

Lengths in the world are metres from the camera (X to the right, Y up from the ground, Z ahead). Lengths in the image are fractions of its
height, with x measured from the middle column, so that a scene looks the same at every resolution and a wider image only shows more of it.
"""
import dataclasses
import math

import numpy as np

_LATTICE = np.random.default_rng(20).uniform(-1.0, 1.0, 256 * 256).astype(np.float32)
_TILE, _TEXELS = 512, 8  # side of the noise table, and table entries per cell of the coarsest octave
_HAZE_DISTANCE = 190.0


def mix(a, b, t):
    """Linear interpolation from a (t = 0) to b (t = 1)."""
    return a + (b - a) * t


def unit(x):
    """x clipped to 0..1 (np.clip is slower on small arrays)."""
    return np.minimum(np.maximum(x, 0), 1)


def rgb(*channels):
    """Colour as float32 (3, 1, 1). Images are painted channels first, which is several times faster in numpy."""
    return np.array(channels, np.float32).reshape(3, 1, 1)


def _fractal_tile(octaves=4):
    """Value noise that repeats after _TILE entries, flattened; one extra row and column save the lookup from wrapping."""
    texel = np.arange(_TILE)
    tile = np.zeros((_TILE, _TILE), np.float32)
    for octave in range(octaves):
        cells = (_TILE // _TEXELS) << octave
        corner, t = np.divmod(texel * cells / _TILE, 1)
        corner, t = corner.astype(int), (t * t * (3 - 2 * t)).astype(np.float32)
        lattice = np.random.default_rng(octave).uniform(-1.0, 1.0, (cells, cells)).astype(np.float32)
        rows = mix(lattice[corner], lattice[(corner + 1) % cells], t[:, None])
        tile += 0.6 * 0.5**octave * mix(rows[:, corner], rows[:, (corner + 1) % cells], t)
    return np.pad(tile, (0, 1), mode="wrap").ravel()


_NOISE = _fractal_tile()


def value_noise(u, v):
    """Fractal value noise, about -1 to 1, of the shape that u and v broadcast to; one unit is one cell of the coarsest octave."""
    u, v = u * _TEXELS, v * _TEXELS
    floor_u, floor_v = np.floor(u), np.floor(v)
    t_u, t_v = u - floor_u, v - floor_v
    start = (floor_v.astype(np.int32) & (_TILE - 1)) * (_TILE + 1) + (floor_u.astype(np.int32) & (_TILE - 1))
    upper, lower = _NOISE[start], _NOISE[start + (_TILE + 1)]
    upper += t_u * (_NOISE[start + 1] - upper)
    lower += t_u * (_NOISE[start + (_TILE + 2)] - lower)
    return upper + t_v * (lower - upper)


def cell_random(u, v, salt):
    """One float32 value in (-1, 1) per unit cell of the (u, v) plane."""
    column, row = np.floor(u).astype(np.int32), np.floor(v).astype(np.int32)
    return _LATTICE[((row * 57 + salt) & 255) << 8 | ((column * 31 + row + salt * 7) & 255)]


def pulses(u, duty, footprint):
    """Antialiased square wave of period 1: the share of a `footprint` around u that lies in the first `duty` of the period."""
    def integral(t):
        whole = np.floor(t)
        return whole * duty + np.minimum(t - whole, duty)

    half = np.maximum(footprint, 1e-3) / 2
    return (integral(u + half) - integral(u - half)) / (2 * half)


@dataclasses.dataclass(frozen=True)
class Light:
    """Light of one scene; colours are float32 (3, 1, 1), and `sun_direction` (x, y, z) points to the sun."""
    sun: np.ndarray
    ambient: np.ndarray
    zenith: np.ndarray
    horizon: np.ndarray
    sun_direction: tuple
    overcast: float
    evening: float
    exposure: float

    @classmethod
    def draw(cls, rng):
        """Draws random light."""
        evening = rng.uniform() ** 1.7
        overcast = float(rng.choice([0.0, 0.25, 0.9], p=[0.55, 0.25, 0.2]))
        elevation = math.radians(mix(58.0, 14.0, evening))
        azimuth = rng.uniform(0, 2 * np.pi)
        direction = math.cos(elevation) * math.sin(azimuth), math.sin(elevation), math.cos(elevation) * math.cos(azimuth)
        zenith = mix(mix(rgb(0.20, 0.43, 0.80), rgb(0.25, 0.30, 0.52), evening), rgb(0.62, 0.66, 0.70), overcast)
        horizon = mix(mix(rgb(0.70, 0.82, 0.93), rgb(1.0, 0.70, 0.46), evening), rgb(0.80, 0.81, 0.81), overcast)
        return cls(
            sun=mix(rgb(0.98, 0.92, 0.82), rgb(0.95, 0.56, 0.28), evening) * (1 - 0.92 * overcast),
            ambient=mix(rgb(0.40, 0.46, 0.54), rgb(0.36, 0.34, 0.44), evening) * (1 + 0.55 * overcast),
            zenith=zenith, horizon=horizon, sun_direction=direction, overcast=overcast, evening=evening, exposure=rng.uniform(0.88, 1.15))

    def on(self, x, y, z):
        """Light on a surface with normal (x, y, z), float32 (3, 1, 1)."""
        sun_x, sun_y, sun_z = self.sun_direction
        return self.ambient + self.sun * max(0.0, sun_x * x + sun_y * y + sun_z * z)


@dataclasses.dataclass(frozen=True)
class Camera:
    """Pinhole camera: focal length and vanishing point in image heights, height above the ground in metres."""
    focal: float
    vanishing_x: float
    horizon_y: float
    height: float

    @classmethod
    def draw(cls, rng):
        """Draws a random camera."""
        return cls(
            focal=rng.uniform(0.85, 1.1), vanishing_x=rng.uniform(-0.18, 0.18),
            horizon_y=rng.uniform(0.40, 0.50), height=rng.uniform(1.4, 2.1))

    def project(self, x, y, z):
        """Image x and y of the world point (x, y, z)."""
        return self.vanishing_x + self.focal * x / z, self.horizon_y + self.focal * (self.height - y) / z


class Canvas:
    """A photo and its label map, painted from far to near.

    Attributes:
        photo: float32 (3, H, W), about 0 to 1.
        ids: uint8 (H, W).
        x, y: float32 (1, W) and (H, 1), image coordinates of the pixel centres.
        pixel: side of a pixel in image heights.
    """

    def __init__(self, image_size, camera, light):
        height, width = image_size
        self.camera, self.light, self.pixel = camera, light, 1.0 / height
        self.x = ((np.arange(width, dtype=np.float32) + 0.5 - width / 2) / height)[None]
        self.y = ((np.arange(height, dtype=np.float32) + 0.5) / height)[:, None]
        self.photo = np.zeros((3, height, width), np.float32)
        self.ids = np.zeros((height, width), np.uint8)

    def window(self, x0, x1, y0, y1):
        """Slices of the rows and columns that a box touches, or None if it lies outside the image."""
        height, width = self.ids.shape
        left, right = max(0, int((x0 / self.pixel) + width / 2) - 1), min(width, int(x1 / self.pixel + width / 2) + 2)
        top, bottom = max(0, int(y0 / self.pixel) - 1), min(height, int(y1 / self.pixel) + 2)
        return (slice(top, bottom), slice(left, right)) if left < right and top < bottom else None

    def inside(self, distance):
        """Coverage 0 to 1 from a signed distance in image heights that is positive inside."""
        return unit(distance / self.pixel + 0.5)

    def between(self, low, position, high):
        """Share of each pixel at `position` that lies in [low, high] along one axis."""
        return unit((np.minimum(high - position, self.pixel / 2) + np.minimum(position - low, self.pixel / 2)) / self.pixel)

    def hazed(self, colour, z):
        """Colour after haze over a distance of z metres."""
        return mix(colour, self.light.horizon, 1 - np.exp(np.float32(z) / -_HAZE_DISTANCE))

    def put(self, window, coverage, colour, z, class_id=None):
        """Blends a colour, (3, 1, 1) or (3, h, w), at depth z into the photo; with a class, labels pixels that are more than half covered.
        """
        region = self.photo[:, *window]
        region += coverage * (self.hazed(colour, z) - region)
        if class_id is not None:
            np.copyto(self.ids[window], class_id, where=coverage > 0.5)

    def box(self, x0, x1, y0, y1, colour, z, class_id=None):
        """Paints an upright box, given by its edges in the image."""
        window = self.window(x0, x1, y0, y1)
        if window is not None:
            self.put(window, self.between(y0, self.y[window[0]], y1) * self.between(x0, self.x[:, window[1]], x1), colour, z, class_id)

    def ellipse(self, x, y, radius_x, radius_y, colour, z, class_id=None, opacity=1.0):
        """Paints an ellipse, given by its centre and radii in the image."""
        window = self.window(x - radius_x, x + radius_x, y - radius_y, y + radius_y)
        if window is not None:
            radius = np.sqrt(((self.x[:, window[1]] - x) / radius_x) ** 2 + ((self.y[window[0]] - y) / radius_y) ** 2)
            self.put(window, opacity * self.inside((1 - radius) * min(radius_x, radius_y)), colour, z, class_id)

    def polygon(self, corners):
        """(window, coverage) of a convex polygon with image corners (x, y), or None if it lies outside the image."""
        xs, ys = zip(*corners, strict=True)
        window = self.window(min(xs), max(xs), min(ys), max(ys))
        if window is None:
            return None
        edges = list(zip(corners, corners[1:] + corners[:1], strict=True))
        turn = math.copysign(1.0, sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in edges))
        x, y = self.x[:, window[1]], self.y[window[0]]
        distance = np.float32(np.inf)
        for (x0, y0), (x1, y1) in edges:
            length = turn * max(math.hypot(x1 - x0, y1 - y0), 1e-6)
            normal_x, normal_y = (y0 - y1) / length, (x1 - x0) / length
            distance = np.minimum(distance, (normal_x * x - (normal_x * x0 + normal_y * y0)) + normal_y * y)
        return window, self.inside(distance)

    def face(self, corners, colour, z, class_id=None):
        """Paints a convex polygon, given by its corners (x, y, z) in the world."""
        found = self.polygon([self.camera.project(*corner) for corner in corners])
        if found is not None:
            self.put(*found, colour, z, class_id)

    def wall(self, x, z0, z1, y0, y1):
        """(window, coverage, z (1, w), y (h, w)) in metres of an upright rectangle along the street in the plane x, or None if it is
        outside.
        """
        camera = self.camera
        ends = [camera.project(x, y, z) for z in (z0, z1) for y in (y0, y1)]
        left, right = min(end[0] for end in ends), max(end[0] for end in ends)
        window = self.window(left, right, min(end[1] for end in ends), max(end[1] for end in ends))
        if window is None:
            return None
        columns, rows = self.x[:, window[1]], self.y[window[0]]
        z = np.clip(camera.focal * x / np.where(columns == camera.vanishing_x, 1e-6, columns - camera.vanishing_x), z0, z1)
        z = np.where((columns - camera.vanishing_x) * x > 0, z, z1)
        _, bottom = camera.project(x, y0, z)
        _, top = camera.project(x, y1, z)
        coverage = self.between(left, columns, right) * self.between(top, rows, bottom)
        return window, coverage, z, camera.height + (camera.horizon_y - rows) * z / camera.focal

    def develop(self, rng):
        """Photo as uint8 (H, W, 3), with the exposure, soft shoulder and grain of a small camera."""
        exposed = 1 - np.exp(-1.75 * self.light.exposure * np.maximum(self.photo, 0))
        grain = rng.standard_normal(self.ids.shape, np.float32) * 0.007
        return (unit(exposed * 1.08 + grain) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0).copy()
