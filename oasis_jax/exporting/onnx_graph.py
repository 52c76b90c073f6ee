"""Builds an ONNX graph by hand, operation by operation.

Images are NCHW with a batch of one, as in ONNX; kernels are passed as HWIO, as the networks store them.
"""
import math

import numpy as np

from oasis_jax.exporting.stored_weights import SMALL, quantised

OPSET, IR_VERSION = 17, 8  # from 2022: every runtime of recent years reads them
END = np.iinfo(np.int64).max  # end of a slice that is open


class Graph:
    """The operations and tensors of a graph. Tensors are referred to by name.

    Args:
        weights: format in which weights are stored, one of `stored_weights.FORMATS`. The graph computes in float32; a runtime converts the
            weights once, when it loads the file.

    Raises:
        ImportError: the package onnx is missing.
    """

    def __init__(self, weights="float32"):
        import onnx  # an extra, and slow to import

        self._onnx, self._weights = onnx, weights
        self._nodes, self._tensors, self._constants = [], [], {}

    def add(self, operation, *inputs, outputs=1, **attributes):
        """Adds an operation; `inputs` are names, None for an omitted one. Returns the name of the result, or a list of names."""
        first = f"{operation.lower()}_{len(self._nodes)}"
        names = [first, *(f"{first}_{i}" for i in range(1, outputs))]
        self._nodes.append(self._onnx.helper.make_node(operation, [name or "" for name in inputs], names, name=first, **attributes))
        return first if outputs == 1 else names

    def constant(self, values, dtype):
        """Adds a constant tensor and returns its name; equal small constants are stored once."""
        values = np.ascontiguousarray(np.asarray(values, dtype)).reshape(np.shape(values))
        key = (values.tobytes(), values.shape, values.dtype) if values.size <= SMALL else len(self._constants)
        if key not in self._constants:
            name = self._constants[key] = f"constant_{len(self._constants)}"
            self._tensors.append(self._onnx.numpy_helper.from_array(values, name))
        return self._constants[key]

    def floats(self, values):
        """A float32 constant."""
        return self.constant(values, np.float32)

    def ints(self, values):
        """An int64 constant, such as a shape, axes or indices."""
        return self.constant(values, np.int64)

    def weight(self, values, axis=-1):
        """A float32 tensor of weights that are stored in the format of the graph; `axis` is that of the output channels."""
        if self._weights == "float32" or np.size(values) <= SMALL:
            return self.floats(values)
        if self._weights == "float16":
            return self.add("Cast", self.constant(values, np.float16), to=self._onnx.TensorProto.FLOAT)
        integers, scale = quantised(np.asarray(values), axis)
        return self.add("Mul", self.add("Cast", self.constant(integers, np.int8), to=self._onnx.TensorProto.FLOAT), self.floats(scale))

    def cast(self, x, dtype):
        """x cast to a numpy dtype."""
        return self.add("Cast", x, to=self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def conv(self, x, kernel, bias=None):
        """Zero-padded "same" convolution: x (1, C, h, w), kernel (k, k, C, D) with odd k and bias (D,) in numpy -> (1, D, h, w)."""
        reach = kernel.shape[0] // 2
        inputs = [x, self.weight(np.transpose(kernel, (3, 2, 0, 1)), axis=0), *([] if bias is None else [self.floats(bias)])]
        return self.add("Conv", *inputs, pads=[reach] * 4)

    def leaky_relu(self, x):
        """Leaky ReLU with slope 0.2."""
        return self.add("LeakyRelu", x, alpha=0.2)

    def upsample(self, x):
        """Nearest-neighbour upsampling by two: (1, C, h, w) -> (1, C, 2h, 2w)."""
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self.add("Resize", x, None, self.floats([1, 1, 2, 2]), **how)

    def cut(self, x, starts, ends, axes, steps=None):
        """x[starts:ends:steps] along `axes`; END as an end means the end of the axis."""
        return self.add("Slice", x, *(self.ints(values) for values in (starts, ends, axes, steps or [1] * len(axes))))

    def side(self, x, axis):
        """The size (1,) int64 of a tensor along one axis."""
        return self.add("Shape", x, start=axis, end=axis + 1)

    def reshape(self, x, *sides):
        """x reshaped; sides are ints, one of which may be -1, or names of int64 tensors (1,)."""
        if all(isinstance(side, int) for side in sides):
            return self.add("Reshape", x, self.ints(sides))
        return self.add("Reshape", x, self.add("Concat", *(self.ints([s]) if isinstance(s, int) else s for s in sides), axis=0))

    def to_bytes(self, image):
        """An image (1, 3, H, W) in [-1, 1] as uint8 (H, W, 3), rounded as `ranges.to_bytes` does."""
        scaled = self.add("Mul", self.add("Add", image, self.floats(1)), self.floats(127.5))
        rows = self.add("Transpose", self.add("Squeeze", scaled, self.ints([0])), perm=[1, 2, 0])
        return self.cast(self.add("Round", rows), np.uint8)

    def finish(self, inputs, result, output):
        """Returns the onnx.ModelProto, checked by `onnx.checker`.

        Args:
            inputs: {name: `portable.Argument`}.
            result: name of the tensor to return.
            output: (name, Argument) of the model's output.
        """
        helper = self._onnx.helper

        def described(name, argument):
            return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(argument.dtype)), argument.shape)

        name, argument = output
        nodes = [*self._nodes, helper.make_node("Identity", [result], [name], name=name)]
        values = [described(*each) for each in inputs.items()]
        graph = helper.make_graph(nodes, "generator", values, [described(name, argument)], self._tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        self._onnx.checker.check_model(model)
        return model


def serialised(model, metadata):
    """The bytes of an ONNX file: an onnx.ModelProto with metadata {name: text}."""
    import onnx

    onnx.helper.set_model_props(model, metadata)
    return model.SerializeToString()


def equalised(weights, gain=1.0):
    """Kernel (k, k, C, D) and bias (D,) of a `layers.spatial.EqualizedConv` whose result is multiplied by `gain`."""
    kernel = np.asarray(weights["weight"], np.float64)
    return gain * kernel / math.sqrt(math.prod(kernel.shape[:3])), gain * np.asarray(weights["bias"], np.float64)
