"""Classes of the evaluation networks: their names, their ids in label files, and the averaging rule of their benchmarks."""
import dataclasses
import functools

import numpy as np

from oasis_jax.fields import MAX_IDS
from oasis_jax.metrics.segmentation import MeanOver

IGNORED = -1  # class of pixels that are not scored


@dataclasses.dataclass(frozen=True)
class LabelSpace:
    """Classes 0..num_classes-1 of a benchmark.

    Attributes:
        outputs: names of the network's outputs. The first num_classes are the classes; further ones (a void output) can be predicted, but
            are always wrong.
        stored_ids: id of each class in the label files of the data set; pixels with other ids are ignored.
        averaged_over: rule of the benchmark's own tool.
    """

    outputs: tuple[str, ...]
    stored_ids: tuple[int, ...]
    averaged_over: MeanOver

    @property
    def num_classes(self):
        return len(self.stored_ids)

    @property
    def num_outputs(self):
        return len(self.outputs)

    @property
    def class_names(self):
        return self.outputs[: self.num_classes]

    @functools.cached_property
    def _table(self):
        table = np.full(MAX_IDS, IGNORED, np.int32)
        table[list(self.stored_ids)] = np.arange(self.num_classes)
        return table

    def classes(self, stored):
        """int32 classes, or IGNORED, of an integer array of stored ids below 65536, any shape; negative ids are ignored."""
        return np.where(stored < 0, IGNORED, self._table[stored])


def _names(text):
    return tuple(name.strip() for name in text.split(","))


CITYSCAPES = LabelSpace(
    outputs=_names(
        "road, sidewalk, building, wall, fence, pole, traffic light, traffic sign, vegetation, terrain, sky, person, rider, car, truck,"
        "bus, train, motorcycle, bicycle"
    ),
    stored_ids=(7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33),
    averaged_over=MeanOver.SEEN,
)

ADE20K = LabelSpace(
    outputs=_names(
        "wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk, person, earth, door, table, mountain,"
        "plant, curtain, chair, car, water, painting, sofa, shelf, house, sea, mirror, rug, field, armchair, seat, fence, desk, rock,"
        "wardrobe, lamp, bathtub, railing, cushion, base, box, column, signboard, chest of drawers, counter, sand, sink, skyscraper,"
        "fireplace, refrigerator, grandstand, path, stairs, runway, case, pool table, pillow, screen door, stairway, river, bridge,"
        "bookcase, blind, coffee table, toilet, flower, book, hill, bench, countertop, stove, palm, kitchen island, computer, swivel chair,"
        "boat, bar, arcade machine, hovel, bus, towel, light, truck, tower, chandelier, awning, streetlight, booth, television receiver,"
        "airplane, dirt track, apparel, pole, land, bannister, escalator, ottoman, bottle, buffet, poster, stage, van, ship, fountain,"
        "conveyer belt, canopy, washer, plaything, swimming pool, stool, barrel, basket, waterfall, tent, bag, minibike, cradle, oven,"
        "ball, food, step, tank, trade name, microwave, pot, animal, bicycle, lake, dishwasher, screen, blanket, sculpture, hood, sconce,"
        "vase, traffic light, tray, ashcan, fan, pier, crt screen, plate, monitor, bulletin board, shower, radiator, glass, clock, flag"
    ),
    stored_ids=tuple(range(1, 151)),
    averaged_over=MeanOver.ALL,
)

COCO_STUFF = LabelSpace(
    outputs=_names(
        "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, street sign, stop sign,"
        "parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, hat, backpack, umbrella, shoe,"
        "eye glasses, handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,"
        "surfboard, tennis racket, bottle, plate, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli,"
        "carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, mirror, dining table, window, desk, toilet, door, tv,"
        "laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, blender, book, clock, vase, scissors,"
        "teddy bear, hair drier, toothbrush, hair brush, banner, blanket, branch, bridge, building-other, bush, cabinet, cage, cardboard,"
        "carpet, ceiling-other, ceiling-tile, cloth, clothes, clouds, counter, cupboard, curtain, desk-stuff, dirt, door-stuff, fence,"
        "floor-marble, floor-other, floor-stone, floor-tile, floor-wood, flower, fog, food-other, fruit, furniture-other, grass, gravel,"
        "ground-other, hill, house, leaves, light, mat, metal, mirror-stuff, moss, mountain, mud, napkin, net, paper, pavement, pillow,"
        "plant-other, plastic, platform, playingfield, railing, railroad, river, road, rock, roof, rug, salad, sand, sea, shelf, sky-other,"
        "skyscraper, snow, solid-other, stairs, stone, straw, structural-other, table, tent, textile-other, towel, tree, vegetable,"
        "wall-brick, wall-concrete, wall-other, wall-panel, wall-stone, wall-tile, wall-wood, water-other, waterdrops, window-blind,"
        "window-other, wood"
    ),
    stored_ids=tuple(range(182)),
    averaged_over=MeanOver.LABELLED,
)

CAMVID = LabelSpace(
    outputs=_names("sky, building, pole, road, pavement, tree, sign, fence, car, pedestrian, bicyclist, unlabelled"),
    stored_ids=tuple(range(11)),
    averaged_over=MeanOver.ALL,
)
