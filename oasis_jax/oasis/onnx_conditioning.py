"""SPADE's convolutions of a level's conditioning as ONNX: dense, or on regions, once for each distinct neighbourhood of ids.

A level has two methods: `hidden(kernel, bias)` is relu(conv3x3(conditioning)); `modulation(hidden, kernel, bias)` is conv3x3 of the hidden
layer, (1, E, h, w).
"""
from oasis_jax.exporting.onnx_graph import END


def sampled(graph, ids, stride):
    """Every stride-th row and column of ids (H, W)."""
    return ids if stride == 1 else graph.cut(ids, [0, 0], [END, END], [0, 1], [stride, stride])


class DenseLevel:
    """A level that is computed at every pixel. `ids`, (h, w) int64, and `table`, (K, Y), are names of tensors."""

    def __init__(self, graph, ids, table):
        self._graph = graph
        vectors = graph.add("Transpose", graph.add("Gather", table, ids, axis=0), perm=[2, 0, 1])
        self.vectors = graph.add("Unsqueeze", vectors, graph.ints([0]))  # (1, Y, h, w)

    def hidden(self, kernel, bias):
        return self._graph.add("Relu", self._graph.conv(self.vectors, kernel, bias))

    def modulation(self, hidden, kernel, bias):
        return self._graph.conv(hidden, kernel, bias)


class RegionsLevel:
    """A level that is computed on regions. It is exact for any label map, because the lists of neighbourhoods are as long as needed."""

    def __init__(self, graph, ids, table):
        self._graph, self._table = graph, table
        self._sides = graph.side(ids, 0), graph.side(ids, 1)
        self._of_ids, hidden_rows = self._neighbourhoods(ids, graph.side(table, 0))
        hidden_rows = graph.reshape(hidden_rows, *self._sides)
        self._of_rows, self._of_pixels = self._neighbourhoods(hidden_rows, graph.side(self._of_ids, 0))

    def hidden(self, kernel, bias):
        """One row for each distinct 3x3 neighbourhood of ids, and a last row of zeros for positions beyond the border: (R + 1, D)."""
        graph, (channels, features) = self._graph, kernel.shape[2:]
        taps = graph.weight(kernel.reshape(9, channels, features).transpose(1, 0, 2))
        through_taps = graph.add("MatMul", self._table, graph.reshape(taps, channels, 9 * features))  # (K, 9 D)
        through_taps = graph.reshape(self._with_zeros(through_taps), -1, features)  # row 9 id + tap
        index = graph.add("Add", graph.add("Mul", self._of_ids, graph.ints(9)), graph.ints(range(9)))
        total = graph.add("ReduceSum", graph.add("Gather", through_taps, index, axis=0), graph.ints([1]), keepdims=0)
        return self._with_zeros(graph.add("Relu", graph.add("Add", total, graph.floats(bias))))

    def modulation(self, hidden, kernel, bias):
        graph, (channels, features) = self._graph, kernel.shape[2:]
        weight = graph.reshape(graph.weight(kernel.reshape(9, channels, features)), 9 * channels, features)
        patches = graph.reshape(graph.add("Gather", hidden, self._of_rows, axis=0), -1, 9 * channels)
        rows = graph.add("Add", graph.add("MatMul", patches, weight), graph.floats(bias))
        pixels = graph.add("Transpose", graph.add("Gather", rows, self._of_pixels, axis=0), perm=[1, 0])
        return graph.reshape(pixels, 1, features, *self._sides)

    def _neighbourhoods(self, values, outside):
        """Distinct 3x3 neighbourhoods (R, 9) of values (h, w), with `outside` (1,) beyond the border, and the index of each pixel's."""
        graph = self._graph
        padded = graph.add("Pad", values, graph.ints([1] * 4), graph.add("Squeeze", outside))
        flat = [
            graph.reshape(graph.cut(padded, [i, j], [END if i == 2 else i - 2, END if j == 2 else j - 2], [0, 1]), -1, 1)
            for i in range(3)
            for j in range(3)
        ]
        distinct, _, index, _ = graph.add("Unique", graph.add("Concat", *flat, axis=1), outputs=4, axis=0)
        return distinct, index

    def _with_zeros(self, rows):
        return self._graph.add("Pad", rows, self._graph.ints([0, 0, 1, 0]))
