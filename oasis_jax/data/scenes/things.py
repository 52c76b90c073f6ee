"""Objects of a procedural street: each has a position and paints itself onto a Canvas, photo and label together.

Positions are metres from the camera. `z` is the depth of an object's nearest point and determines the painting order.
"""
import dataclasses
import math

import numpy as np

from oasis_jax.data.scenes.canvas import cell_random, mix, pulses, rgb, unit, value_noise

CLASS_NAMES = ("unlabelled", "sky", "building", "road", "pavement", "tree", "grass", "car", "pole", "sign", "pedestrian", "fence")
UNLABELLED, SKY, BUILDING, ROAD, PAVEMENT, TREE, GRASS, CAR, POLE, SIGN, PEDESTRIAN, FENCE = range(len(CLASS_NAMES))

_NEAREST = 0.6  # walls are cut off at this distance from the camera
_PLAIN_PIXELS, _FEW_PIXELS = 12, 8  # walls and cars up to this width are painted without detail
_BRICK = 0.2  # height of a course in metres
_GLASS = rgb(0.07, 0.09, 0.12)
_RUBBER = rgb(0.03, 0.03, 0.035)


@dataclasses.dataclass(frozen=True)
class Building:
    """A box beside the street: its wall is in the plane x, from z to z_end; a positive `roof` is the height of a gabled roof."""
    x: float
    z: float
    z_end: float
    height: float
    depth: float
    roof: float
    hidden: float  # height up to which the next house hides the end wall that faces the camera
    colour: np.ndarray
    trim: np.ndarray
    window_grid: tuple  # spacing along the wall, storey height, share of each that is glass
    brick: bool
    salt: int

    def paint(self, canvas):
        side = math.copysign(1, self.x)
        light, camera = canvas.light, canvas.camera
        ridge_x, ridge_y = self.x + side * self.depth / 2, self.height + self.roof
        near = max(self.z, _NEAREST)
        if self.roof:
            tiles = rgb(0.42, 0.20, 0.14) if self.salt % 2 else rgb(0.20, 0.20, 0.23)
            slope = [(self.x, self.height - 0.4, near), (self.x, self.height - 0.4, self.z_end),
                     (ridge_x, ridge_y, self.z_end), (ridge_x, ridge_y, near)]
            canvas.face(slope, tiles * light.on(-side * 0.6, 0.8, 0), near, BUILDING)
        if self.z > _NEAREST and self.hidden < self.height + self.roof:
            self._paint_front(canvas, side, ridge_x, ridge_y)
        found = canvas.wall(self.x, near, self.z_end, 0.0, self.height)
        if found is not None:
            window, coverage, z, y = found
            footprint = canvas.pixel * z / camera.focal
            far = z.size <= _PLAIN_PIXELS
            colour = self._plain if far else self._facade(z - self.z, y, footprint * z / abs(self.x), footprint)
            canvas.put(window, coverage, colour * light.on(-side, 0, 0), z, BUILDING)

    def _paint_front(self, canvas, side, ridge_x, ridge_y):
        """Paints the end wall that faces the camera."""
        camera, light = canvas.camera, canvas.light.on(0, 0, -1)
        far_x = self.x + side * self.depth
        (x0, bottom), (x1, top) = camera.project(self.x, 0, self.z), camera.project(far_x, self.height, self.z)
        left, right = min(x0, x1), max(x0, x1)
        if self.roof:
            gable = [(self.x, self.height, self.z), (far_x, self.height, self.z), (ridge_x, ridge_y, self.z)]
            canvas.face(gable, self.colour * light, self.z, BUILDING)
        lowest = bottom - (bottom - top) * self.hidden / self.height
        window = canvas.window(left, right, top, lowest)
        if window is None:
            return
        x, y = canvas.x[:, window[1]], canvas.y[window[0]]
        coverage = canvas.between(left, x, right) * canvas.between(top, y, lowest)
        scale = self.z / camera.focal
        footprint = np.float32(canvas.pixel * scale)
        far = x.size <= _PLAIN_PIXELS
        colour = self._plain if far else self._facade(np.abs((x - x0) * scale), (bottom - y) * scale, footprint, footprint)
        canvas.put(window, coverage, colour * light, self.z, BUILDING)

    @property
    def _plain(self):
        """Average albedo of the wall, for walls too far away to show windows."""
        return mix(self.colour, _GLASS, 0.5 * self.window_grid[2])

    def _facade(self, along, y, footprint_along, footprint_y):
        """Albedo (3, h, w) of the wall at `along` metres along it and `y` metres above the ground."""
        spacing, storey, share = self.window_grid
        tone = 1 - 0.12 * np.exp(-y) + 0.10 * value_noise(along * 0.5 + self.salt, y * 0.35)
        if self.brick and footprint_y.min() < _BRICK / 2:
            bricks = 0.10 * cell_random(along * 1.9 + 0.5 * (np.floor(y / _BRICK) % 2), y / _BRICK, self.salt)
            tone = tone + unit(1.2 - footprint_y / _BRICK) * (bricks + 0.25 * (pulses(y / _BRICK, 0.18, footprint_y / _BRICK) - 0.18))
        column, row, below_eaves = along / spacing, y / storey, y < self.height - 0.6
        aside, above = column - 0.5, row - 0.525  # distance from the centre of a window, in windows and storeys
        aside, above = np.abs(aside - np.rint(aside)), np.abs(above - np.rint(above))
        sharp_aside, sharp_above = spacing / footprint_along, storey / footprint_y

        def opening(half_width, half_height):
            return unit((half_width - aside) * sharp_aside + 0.5) * unit((half_height - above) * sharp_above + 0.5)

        panes = opening(share / 2, 0.275) * below_eaves
        ledges = unit((above - 0.475) * sharp_above + 0.5)
        trim = np.maximum(0.75 * opening(share / 2 + 0.05, 0.315), 0.7 * ledges) * below_eaves + 0.8 * (y > self.height - 0.5)
        shine = np.maximum(cell_random(column, row, self.salt), 0) ** 2
        colour = self.colour * tone
        colour += trim * (self.trim - colour)
        colour += panes * (_GLASS + shine * rgb(0.35, 0.42, 0.50) - colour)
        return colour


@dataclasses.dataclass(frozen=True)
class Fence:
    """Palings along the street in the plane x. The label covers the whole strip, as annotators draw it; the photo shows the gaps."""
    x: float
    z: float
    z_end: float
    height: float
    colour: np.ndarray

    def paint(self, canvas):
        found = canvas.wall(self.x, max(self.z, _NEAREST), self.z_end, 0.0, self.height)
        if found is None:
            return
        window, coverage, z, y = found
        footprint = canvas.pixel * z / canvas.camera.focal
        rails = pulses(y / self.height * 2 - 0.4, 0.2, footprint / self.height * 2)
        palings = pulses(z * 4, 0.55, footprint * z / abs(self.x) * 4)
        canvas.put(window, coverage * np.maximum(rails, palings), self.colour * canvas.light.on(-math.copysign(1, self.x), 0, 0), z)
        np.copyto(canvas.ids[window], FENCE, where=coverage > 0.5)


@dataclasses.dataclass(frozen=True)
class Tree:
    """A trunk below a crown of several ragged blobs; `blobs`, float32 (n, 3), are x, y and radius in units of the crown's radius."""
    x: float
    z: float
    height: float
    radius: float
    blobs: np.ndarray
    colour: np.ndarray
    salt: int

    def paint(self, canvas):
        light, scale = canvas.light, canvas.camera.focal / self.z
        x, base = canvas.camera.project(self.x, 0, self.z)
        centre = base - (self.height - self.radius) * scale
        trunk = max(0.07 * self.radius * scale, canvas.pixel / 2)
        canvas.ellipse(x, base, self.radius * scale * 0.7, self.radius * scale * 0.08, rgb(0.05, 0.06, 0.05), self.z, opacity=0.45)
        canvas.box(x - trunk, x + trunk, centre, base, rgb(0.23, 0.17, 0.12) * light.on(0, 0, -1), self.z, TREE)
        crown = self.radius * scale
        if crown < 3 * canvas.pixel:
            colour = self.colour * (0.85 * light.ambient + 0.6 * light.sun)
            canvas.ellipse(x, centre, crown, crown, colour, self.z, TREE)
            return
        reach = 1.5 * crown
        window = canvas.window(x - reach, x + reach, centre - reach, centre + reach)
        if window is None:
            return
        u, v = (canvas.x[:, window[1]] - x) / crown, (canvas.y[window[0]] - centre) / crown
        blob_x, blob_y, blob_radius = self.blobs.T[..., None, None]
        depth = blob_radius - np.sqrt((u - blob_x) ** 2 + (v - blob_y) ** 2)
        leaves = value_noise(u * 3.1 + self.salt, v * 3.1)
        coverage = canvas.inside((depth.max(0) + 0.16 * leaves) * crown)
        lobes = np.take_along_axis(np.broadcast_to(blob_y, depth.shape), depth.argmax(0)[None], 0)[0]
        sunward = np.maximum(0.05, 0.5 - 0.55 * (v - lobes) - 0.12 * v + 0.35 * light.sun_direction[0] * u + 0.45 * leaves)
        colour = self.colour * (0.55 * light.ambient + 1.1 * light.sun * sunward + 0.7 * light.ambient * sunward)
        canvas.put(window, coverage, colour, self.z, TREE)


@dataclasses.dataclass(frozen=True)
class Car:
    """A car along the street with its near end at z, centred on x; it shows its rear if `away`, otherwise its front."""
    x: float
    z: float
    colour: np.ndarray
    away: bool
    tall: float

    def paint(self, canvas):
        light, camera, z = canvas.light, canvas.camera, self.z
        half, length, belt, top = 0.88, 4.2, 0.92, 1.42 * self.tall
        inner = self.x - math.copysign(1, self.x) * half  # the side that the camera sees
        rear, flank, glass = light.on(0, 0, -1), light.on(-math.copysign(1, self.x), 0, 0), _GLASS + 0.12 * light.horizon
        x0, y0 = camera.project(self.x - half, 0, z)
        x1, _ = camera.project(self.x + half, 0, z)
        far_x, far_y = camera.project(inner, 0, z + length)
        left, right = min(x0, far_x), max(x1, far_x)
        canvas.ellipse((left + right) / 2, (y0 + far_y) / 2, (right - left) * 0.53, (y0 - far_y) * 0.55 + 0.008, _RUBBER, z, opacity=0.7)
        if x1 - x0 < _FEW_PIXELS * canvas.pixel:
            cabin, body = mix(self.colour * rear, glass, 0.6), self.colour * 0.8 * rear
            for low, high, inset, colour in ((belt, top, 0.2, cabin), (0.15, belt, 0.0, body)):
                box_x0, box_y0 = camera.project(self.x - half + inset, high, z)
                box_x1, box_y1 = camera.project(self.x + half - inset, low, z)
                canvas.box(box_x0, box_x1, box_y0, box_y1, colour, z, CAR)
            return
        detailed = x1 - x0 > 2 * _FEW_PIXELS * canvas.pixel

        def plane(inset_low, low, inset_high, high, along):
            places = ((inset_low, low), (inset_low, low), (inset_high, high), (inset_high, high))
            return [(inner + math.copysign(inset, self.x), y, z + t * length) for (inset, y), t in zip(places, along, strict=True)]

        if abs(self.x) > half:
            canvas.face(plane(0.10, belt - 0.05, 0.28, top, (0.0, 0.78, 0.58, 0.0)), self.colour * flank, z, CAR)
            canvas.face(plane(0.13, belt, 0.26, top - 0.1, (0.08, 0.70, 0.56, 0.08)), glass, z, CAR)
            canvas.face(plane(0.0, 0.24, 0.0, belt, (0.0, 1.0, 0.97, 0.0)), self.colour * flank, z, CAR)
            for middle in (0.2, 0.8):
                near_x, y = camera.project(inner, 0.32, z + middle * length - 0.33)
                end_x, _ = camera.project(inner, 0.32, z + middle * length + 0.33)
                radius_y = 0.33 * camera.focal / (z + middle * length)
                canvas.ellipse((near_x + end_x) / 2, y, max(abs(end_x - near_x) / 2, canvas.pixel / 2), radius_y, _RUBBER, z, CAR)

        def end(low, high, half_low, half_high, colour, shift=0.0):
            canvas.face([(self.x + shift - half_low, low, z), (self.x + shift + half_low, low, z),
                         (self.x + shift + half_high, high, z), (self.x + shift - half_high, high, z)], colour, z, CAR)

        if detailed:
            for shift in (-0.66, 0.66):
                end(0.0, 0.4, 0.13, 0.13, _RUBBER, shift)
        end(belt - 0.02, top, half - 0.10, half - 0.28, self.colour * rear)
        end(belt + 0.04, top - 0.1, half - 0.19, half - 0.34, glass)
        end(0.24, belt, half, half - 0.01, self.colour * rear)
        if detailed:
            end(0.24, 0.40, half - 0.06, half - 0.06, rgb(0.10, 0.10, 0.11) * rear)
            end(0.46, 0.56, 0.24, 0.24, rgb(0.8, 0.8, 0.75) * rear)
        lamp = rgb(0.75, 0.05, 0.04) if self.away else rgb(0.95, 0.92, 0.80)
        for shift in (-0.66, 0.66):
            end(0.62, 0.78, 0.16, 0.16, lamp * (0.5 + 0.6 * light.ambient), shift)


def _post(canvas, x, z, height, diameter, colour, class_id):
    """Paints a post at least one pixel wide, so that it stays visible in small images; returns image x, top, scale per metre, half width.
    """
    scale = canvas.camera.focal / z
    centre, base = canvas.camera.project(x, 0, z)
    half = max(diameter * scale, 1.01 * canvas.pixel) / 2
    top = base - height * scale
    canvas.box(centre - half, centre + half, top, base, colour, z, class_id)
    return centre, top, scale, half


@dataclasses.dataclass(frozen=True)
class Lamp:
    """A street lamp whose arm reaches over the road."""
    x: float
    z: float
    height: float
    colour: np.ndarray

    def paint(self, canvas):
        colour = self.colour * canvas.light.on(0, 0.3, -0.7)
        x, top, scale, half = _post(canvas, self.x, self.z, self.height, 0.15, colour, POLE)
        tip = x - math.copysign(1, self.x) * 1.5 * scale
        canvas.box(min(x, tip), max(x, tip), top - half, top + half, colour, self.z, POLE)
        lit = mix(colour, rgb(1.6, 1.4, 1.0), max(0.0, canvas.light.evening * 2 - 1))
        canvas.box(tip - 0.35 * scale, tip + 0.35 * scale, top - half, top + max(0.16 * scale, half), lit, self.z, POLE)


@dataclasses.dataclass(frozen=True)
class Sign:
    """A traffic sign (kinds 0 to 2: prohibition, parking, priority) or traffic light (kind 3) on a post."""
    x: float
    z: float
    kind: int

    def paint(self, canvas):
        light = canvas.light.on(0, 0, -1)
        height = (2.5, 2.5, 2.6, 3.2)[self.kind]
        x, top, scale, _ = _post(canvas, self.x, self.z, height, 0.09, rgb(0.45, 0.46, 0.47) * light, POLE)
        radius = 0.38 * scale
        if self.kind == 0:
            canvas.ellipse(x, top, radius, radius, rgb(0.80, 0.05, 0.06) * light, self.z, SIGN)
            canvas.ellipse(x, top, radius * 0.7, radius * 0.7, rgb(0.95, 0.95, 0.92) * light, self.z, SIGN)
        elif self.kind == 1:
            canvas.box(x - radius, x + radius, top - radius, top + radius, rgb(0.05, 0.22, 0.75) * light, self.z, SIGN)
            white = rgb(0.95, 0.95, 0.95) * light
            canvas.box(x - radius * 0.3, x + radius * 0.3, top - radius * 0.6, top + radius * 0.6, white, self.z, SIGN)
        elif self.kind == 2:
            diamond = [(x, top - 1.2 * radius), (x + 1.2 * radius, top), (x, top + 1.2 * radius), (x - 1.2 * radius, top)]
            found = canvas.polygon(diamond)
            if found is not None:
                canvas.put(*found, rgb(0.95, 0.72, 0.05) * light, self.z, SIGN)
        else:
            canvas.box(x - radius * 0.5, x + radius * 0.5, top - radius * 1.3, top + radius * 1.3, rgb(0.04, 0.05, 0.05), self.z, SIGN)
            for row, colour in zip((-0.8, 0.0, 0.8), (rgb(1.5, 0.1, 0.05), rgb(0.2, 0.14, 0.02), rgb(0.02, 0.2, 0.1)), strict=True):
                canvas.ellipse(x, top + row * radius, radius * 0.33, radius * 0.33, colour, self.z, SIGN)


@dataclasses.dataclass(frozen=True)
class Pedestrian:
    """A walking person; `stride` is half the distance between the feet in units of the height."""
    x: float
    z: float
    height: float
    stride: float
    coat: np.ndarray
    trousers: np.ndarray
    skin: np.ndarray

    def paint(self, canvas):
        light, z, unit = canvas.light.on(0, 0.3, -0.7), self.z, self.height * canvas.camera.focal / self.z
        x, base = canvas.camera.project(self.x, 0, z)
        canvas.ellipse(x, base, 0.22 * unit, 0.03 * unit, rgb(0.03, 0.03, 0.04), z, opacity=0.6)
        for foot in (-self.stride, self.stride):
            leg = [(x - 0.06 * unit, base - 0.5 * unit), (x + 0.06 * unit, base - 0.5 * unit),
                   (x + (foot + 0.045) * unit, base), (x + (foot - 0.045) * unit, base)]
            found = canvas.polygon(leg)
            if found is not None:
                canvas.put(*found, self.trousers * light, z, PEDESTRIAN)
        canvas.ellipse(x, base - 0.64 * unit, 0.125 * unit, 0.22 * unit, self.coat * light, z, PEDESTRIAN)
        canvas.ellipse(x, base - 0.92 * unit, 0.06 * unit, 0.08 * unit, self.skin * light, z, PEDESTRIAN)
