"""Per-pixel noise (`grain.py`) as ONNX, for images of any size."""
import numpy as np

from oasis_jax.oasis.grain import FIELDS, SCALE, SIDE, places, tile


class GrainOf:
    """The grain of one image.

    Args:
        graph: Graph.
        table: name of the table (K, z_dim + N).
        z_dim: number of noise channels, which are the first columns of the table.
    """

    def __init__(self, graph, table, z_dim):
        self._graph = graph
        used = graph.cut(table, [0], [min(z_dim, FIELDS)], [1])
        length = graph.add("ReduceL2", used, axes=[1], keepdims=1)
        self._directions = graph.add("Div", used, graph.add("Max", length, graph.floats(1e-12)))
        self._fields = min(z_dim, FIELDS)
        values = graph.cast(graph.constant(tile().ravel(), np.int8), np.float32)
        self._tile = graph.add("Mul", values, graph.floats(1 / SCALE))

    def added(self, x, strength, ids, layer):
        """Adds the grain of a layer to x (1, C, h, w), with the strength (C,) of each channel and ids (h, w) int64 -> (1, C, h, w)."""
        graph = self._graph
        rows, columns = (
            graph.add("Mod", graph.add("Add", self._upto(graph.side(ids, axis)), graph.ints(begin[: self._fields])), graph.ints(SIDE))
            for axis, begin in enumerate(places(layer))
        )
        place = graph.add("Add", graph.add("Unsqueeze", graph.add("Mul", rows, graph.ints(SIDE)), graph.ints([1])), columns)
        fields = graph.add("Gather", self._tile, place, axis=0)  # (h, w, FIELDS)
        terms = graph.add("Mul", fields, graph.add("Gather", self._directions, ids, axis=0))
        noise = graph.add("ReduceSum", terms, graph.ints([2]), keepdims=0)
        return graph.add("Add", x, graph.add("Mul", noise, graph.floats(np.asarray(strength)[:, None, None])))

    def _upto(self, side):
        """0 to side - 1, as a column (side, 1)."""
        graph = self._graph
        numbers = graph.add("Range", graph.ints(0), graph.add("Squeeze", side), graph.ints(1))
        return graph.add("Unsqueeze", numbers, graph.ints([1]))
