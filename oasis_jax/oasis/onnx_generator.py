"""The OASIS generator as an ONNX graph for one image, with batch statistics and singular values folded into its kernels."""
import jax
import numpy as np

from oasis_jax.exporting.onnx_graph import Graph
from oasis_jax.exporting.onnx_spatial import at_size_of, encoded, rendered, spatial_encoding
from oasis_jax.exporting.portable import IMAGE, Argument
from oasis_jax.heatmaps import LEVELS
from oasis_jax.layers.normalised import BatchNorm
from oasis_jax.layers.spatial import ALL_LEVELS
from oasis_jax.oasis.grain import LAYERS
from oasis_jax.oasis.onnx_conditioning import DenseLevel, RegionsLevel, sampled
from oasis_jax.oasis.onnx_grain import GrainOf

REGION_LEVELS = 4  # number of finest levels that are computed on regions; on coarser ones nearly every neighbourhood is distinct


def to_onnx(generator, variables, arguments, weights, on_regions):
    """Returns the generator as an onnx.ModelProto.

    Args:
        generator: Generator.
        variables: its averaged variables.
        arguments: {name: Argument} that the graph takes: ids, table, and heatmaps if the generator is spatially aware.
        weights: format of the stored weights, one of `stored_weights.FORMATS`.
        on_regions: convolve the conditioning once for each distinct neighbourhood of ids instead of at every pixel.

    Raises:
        ImportError: the package onnx is missing.
    """
    graph, variables = Graph(weights), jax.device_get(variables)
    blocks = _Blocks(graph, variables)
    ids, table, features = graph.cast("ids", np.int64), "table", None
    if generator.spatially_aware:
        maps = rendered(graph, "heatmaps", graph.side("ids", 0), graph.side("ids", 1), generator.isotropic)
        features = encoded(graph, variables["params"]["heatmap_encoder"], maps)

    grain_of = GrainOf(graph, table, generator.z_dim) if generator.grain_blocks else None
    last = generator.num_blocks - 1
    x = graph.conv(DenseLevel(graph, sampled(graph, ids, 2**last), table).vectors, *blocks.kernel("conv_in"))
    for i in range(generator.num_blocks):
        regional = on_regions and last - i < REGION_LEVELS and generator.hidden(i)
        ids_of_level = sampled(graph, ids, 2 ** (last - i))
        level = (RegionsLevel if regional else DenseLevel)(graph, ids_of_level, table)

        def with_grain(x, stage, i=i, ids=ids_of_level):
            if not generator.has_grain(i):
                return x
            return grain_of.added(x, variables["params"][f"block_{i}"][f"grain_{stage}"]["strength"], ids, LAYERS * i + stage)

        x = blocks.block(f"block_{i}", x, level, i > 0, with_grain)
        if generator.sel_blocks and generator.sel_blocks[i] != "none":
            of_level = generator.sel_blocks[i]
            feature = at_size_of(graph, features, LEVELS if of_level == ALL_LEVELS else [of_level], x)
            x = spatial_encoding(graph, variables["params"][f"sel_{i}"], x, feature, generator.sel_strength)
    image = graph.add("Tanh", graph.conv(graph.leaky_relu(x), *blocks.kernel("conv_out")))
    return graph.finish(arguments, graph.to_bytes(image), (IMAGE, Argument(("H", "W", 3), "uint8")))


class _Blocks:
    """SPADE residual blocks (`spade.py`) of a network's variables, for inference."""

    def __init__(self, graph, variables):
        self._graph, self._variables = graph, variables

    def kernel(self, *path):
        """Kernel and bias (or None) in float64, the kernel divided by its largest singular value if it has singular vectors."""
        weights, vectors = (_at(self._variables.get(collection, {}), path) for collection in ("params", "spectral_norm"))
        kernel = np.asarray(weights["kernel"], np.float64)
        if vectors:
            kernel = kernel / (vectors["v"] @ kernel.reshape(-1, kernel.shape[-1]) @ vectors["u"])
        return kernel, np.asarray(weights["bias"], np.float64) if "bias" in weights else None

    def block(self, name, x, level, upsamples, with_grain):
        """x (1, C, h, w) -> (1, features, h, w), or twice as high and wide if it upsamples; like `SPADEResidualBlock`.

        with_grain(x, stage) is applied to the output of the first convolution (stage 0), and to the block's output (stage 1).
        """
        graph = self._graph
        if "conv_s" in self._variables["params"][name]:
            shortcut = self._spade((name, "spade_s"), x, level, upsamples, after=self.kernel(name, "conv_s")[0][0, 0])
        else:
            shortcut = graph.upsample(x) if upsamples else x
        for stage, resized in ((0, upsamples), (1, False)):
            x = graph.leaky_relu(self._spade((name, f"spade_{stage}"), x, level, resized))
            x = graph.conv(x, *self.kernel(name, f"conv_{stage}"))
            x = with_grain(x if stage == 0 else graph.add("Add", shortcut, x), stage)
        return x

    def _spade(self, path, x, level, upsamples, after=None):
        """(x - mean) g + beta with g = (1 + gamma) / deviation; then, if given, each pixel times `after` (C, F): (1, F, h, w)."""
        graph, statistics = self._graph, _at(self._variables["batch_stats"], (*path, "norm"))
        mean, inverse = statistics["mean"], 1 / np.sqrt(statistics["var"].astype(np.float64) + BatchNorm.epsilon)
        (gamma, beta), (of_gamma, of_beta) = (np.split(each, 2, axis=-1) for each in self.kernel(*path, "gamma_beta"))
        if after is not None:
            beta, of_beta = beta @ after, of_beta @ after
        kernel, bias = np.concatenate([gamma * inverse, beta], axis=-1), np.concatenate([(1 + of_gamma) * inverse, of_beta])
        if "shared" in _at(self._variables["params"], path):
            modulation = level.modulation(level.hidden(*self.kernel(*path, "shared")), kernel, bias)
        else:  # ClassAffine
            modulation = graph.conv(level.vectors, kernel, bias)
        scale, shift = graph.add("Split", modulation, graph.ints([gamma.shape[-1], beta.shape[-1]]), outputs=2, axis=1)
        x = graph.add("Sub", x, graph.floats(mean[:, None, None]))
        scaled = graph.add("Mul", graph.upsample(x) if upsamples else x, scale)
        return graph.add("Add", scaled if after is None else graph.conv(scaled, after[None, None]), shift)


def _at(tree, path):
    for name in path:
        tree = tree.get(name, {})
    return tree
