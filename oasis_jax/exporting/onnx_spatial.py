"""ONNX graphs of heatmaps, their encoder and SELs (`layers/spatial.py`)."""
import math

from oasis_jax.exporting.onnx_graph import END, equalised
from oasis_jax.heatmaps import FLOOR, LEVELS

EPSILON = 1e-5  # of instance normalisation


def rendered(graph, heatmaps, height, width, isotropic):
    """Heatmaps (7, 3) as maps (1, 7, H, W), like `layers.spatial.render`; height and width are names of int64 tensors (1,)."""
    widths = graph.cut(heatmaps, [2], [3], [1])
    factors = []
    for axis, side in enumerate((height, width)):
        distance = graph.add("Sub", _positions(graph, side), graph.cut(heatmaps, [axis], [axis + 1], [1]))
        if isotropic and axis:
            stretch = graph.add("Div", *(graph.cast(each, "float32") for each in (width, height)))
            distance = graph.add("Mul", distance, stretch)
        exponent = graph.add("Neg", graph.add("Div", graph.add("Mul", distance, distance), widths))
        factors.append(graph.add("Unsqueeze", graph.add("Exp", exponent), graph.ints([0, 3 - axis])))
    return graph.add("Add", graph.add("Mul", *factors), graph.floats(FLOOR))


def _positions(graph, side):
    """`side` evenly spaced numbers from -1 to 1; [-1] if `side` is 1."""
    steps = graph.cast(graph.add("Range", graph.ints(0), graph.add("Squeeze", side), graph.ints(1)), "float32")
    intervals = graph.cast(graph.add("Max", graph.add("Sub", side, graph.ints([1])), graph.ints([1])), "float32")
    return graph.add("Sub", graph.add("Div", graph.add("Mul", steps, graph.floats(2)), intervals), graph.floats(1))


def encoded(graph, params, maps):
    """Maps (1, 7, H, W) -> {level: (1, features, H, W)}, like `layers.spatial.HeatmapEncoder`."""
    features, first = {}, 0
    for level, count in LEVELS.items():
        x = graph.cut(maps, [first], [first + count], [1])
        x = graph.leaky_relu(graph.conv(x, *equalised(params[f"{level}_0"], math.sqrt(2))))  # a positive factor commutes with leaky ReLU
        features[level] = graph.leaky_relu(graph.conv(x, *equalised(params[f"{level}_1"])))
        first += count
    return features


def at_size_of(graph, features, levels, x):
    """Features of some levels, resized to x (1, C, h, w) and concatenated: (1, sum of channels, h, w), like `layers.spatial.at_level`."""
    size = graph.cut(graph.add("Shape", x), [2], [END], [0])
    how = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
    resized = []
    for level in levels:
        shape = graph.add("Concat", graph.cut(graph.add("Shape", features[level]), [0], [2], [0]), size, axis=0)
        resized.append(graph.add("Resize", features[level], None, None, shape, **how))
    return resized[0] if len(resized) == 1 else graph.add("Concat", *resized, axis=1)


def spatial_encoding(graph, params, x, feature, strength):
    """x (1, C, h, w) and features (1, m, h, w) -> (1, C, h, w), like `layers.spatial.SpatialEncoding`."""
    shared = graph.leaky_relu(graph.conv(feature, *equalised(params["shared"], math.sqrt(2))))
    sigma, mu = graph.add("Split", graph.conv(shared, *equalised(params["sigma_mu"])), outputs=2, axis=1)
    kernel, bias = equalised(params["output"], 0.1 * strength)
    ones, zeros = ([value] * kernel.shape[-1] for value in (1, 0))
    normalised = graph.add("InstanceNormalization", x, graph.floats(ones), graph.floats(zeros), epsilon=EPSILON)
    y = graph.add("Add", graph.add("Mul", normalised, graph.add("Add", sigma, graph.floats(1))), mu)
    return graph.add("Add", x, graph.conv(graph.leaky_relu(y), kernel, bias))
