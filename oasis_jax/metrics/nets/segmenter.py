"""What the networks that label images, as they are run by their tools, have in common."""
import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from oasis_jax.metrics.nets.label_spaces import LabelSpace
from oasis_jax.metrics.nets.weights import to_variables


@dataclasses.dataclass(frozen=True)
class Segmenter:
    """A network with its tool: `segment(variables, images, label_size)` makes int32 classes (B, *label_size) of uint8 images (B, H, W, 3).

    Class attributes:
        labels: what it tells apart.
        module: the network.
    """

    labels: ClassVar[LabelSpace]
    module: ClassVar[nn.Module]

    def variables(self, state):
        """Flax variables from the published state_dict. Raises WeightsError if it is another net's."""
        return to_variables(self.module, state, jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32))

    def label_size(self, image_size):
        """Size (height, width) at which label maps are compared: here that of the images."""
        return tuple(image_size)
