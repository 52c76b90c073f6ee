"""Base class of the segmentation networks, run as in their own tools."""
import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from oasis_jax.metrics.nets.label_spaces import LabelSpace
from oasis_jax.metrics.nets.weights import to_variables


@dataclasses.dataclass(frozen=True)
class Segmenter:
    """A segmentation network with its tool: `segment(variables, images, label_size)` maps uint8 (B, H, W, 3) to int32 classes (B,
    *label_size).

    Attributes:
        labels: LabelSpace of the outputs.
        module: the network.
    """

    labels: ClassVar[LabelSpace]
    module: ClassVar[nn.Module]

    def variables(self, state):
        """Flax variables from the published state_dict. Raises WeightsError if it belongs to another network."""
        return to_variables(self.module, state, jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32))

    def label_size(self, image_size):
        """Size (height, width) at which label maps are compared; by default the size of the images."""
        return tuple(image_size)
