"""Floating-point operations of convolutions and matrix products, by their definitions: two for each multiply-add."""
import math
import re


def flops(instruction, operands):
    """Floating-point operations of an instruction; 0 if it is neither a convolution nor a matrix product.

    Products with padding, or with the gaps of a dilated input, are not counted. Nor are elementwise operations: a chip's peak rate is that
    of its matrix units.

    Args:
        instruction: hlo.Instruction.
        operands: the hlo.Array of each operand.
    """
    target = re.search(r'custom_call_target="__(\w+\$[\w$]+)"', instruction.attributes)  # calls of NVIDIA's libraries
    kind = target[1] if target else instruction.opcode
    if kind == "convolution" or kind.startswith("cudnn$conv"):
        return _of_convolution(instruction.attributes, **_forward(kind, *operands[:2], instruction.results[0]))
    if kind == "dot" or kind.startswith("cublas$"):
        named = re.search(r'lhs_contracting_dim(?:s={|ensions":\[)([\d,"]*)', instruction.attributes)
        contracted = [int(axis) for axis in re.findall(r"\d+", named[1] if named else "")]
        return 2 * math.prod(instruction.results[0].dims) * math.prod(operands[0].dims[axis] for axis in contracted)
    return 0


def _forward(kind, first, second, result):
    """Roles of the arrays in the forward convolution, which the dimension labels of cuDNN's gradients refer to."""
    if kind.endswith("BackwardFilter"):
        return {"image": first, "kernel": result, "result": second}
    if kind.endswith("BackwardInput"):
        return {"image": result, "kernel": second, "result": first}
    return {"image": first, "kernel": second, "result": result}


def _of_convolution(attributes, image, kernel, result):
    of_image, rest = re.search(r"dim_labels=(\w+_\w+->\w+)", attributes)[1].split("_")
    of_kernel, of_result = rest.split("->")
    axes = [label for label in of_image if label.isdecimal()]
    window = re.search(r"window={([^}]*)}", attributes)
    fields = dict(field.split("=") for field in window[1].split()) if window else {}

    def along(axis, name, default):  # the label of an axis is its index in the window
        return fields[name].split("x")[int(axis)] if name in fields else default

    taps = math.prod(
        _taps(
            size=image.dims[of_image.index(axis)],
            kernel=kernel.dims[of_kernel.index(axis)],
            results=result.dims[of_result.index(axis)],
            stride=int(along(axis, "stride", 1)),
            padding=int(along(axis, "pad", "0_0").split("_")[0]),
            dilation=int(along(axis, "lhs_dilate", 1)),
            kernel_dilation=int(along(axis, "rhs_dilate", 1)),
        )
        for axis in axes
    )
    # The kernel has only the input channels of one group, so no factor for groups is needed.
    return 2 * taps * result.dims[of_result.index("b")] * result.dims[of_result.index("f")] * kernel.dims[of_kernel.index("i")]


def _taps(size, kernel, results, stride, padding, dilation, kernel_dilation):
    """The number of (kernel entry, result) pairs along one axis that use an entry of the input."""
    count, last = 0, (size - 1) * dilation
    for tap in range(kernel):
        for result in range(results):
            position = result * stride + tap * kernel_dilation - padding
            count += 0 <= position <= last and position % dilation == 0
    return count
