"""Maps the constructor arguments of the networks in a published snapshot to fields of our config."""
import dataclasses
from collections.abc import Mapping
from typing import Any

from oasis_jax.config_flag import flat
from oasis_jax.eqgan.generator import LARGEST, SMALLEST


@dataclasses.dataclass(frozen=True)
class Kind:
    """The constructor arguments of one network class that we support. Nested arguments have dotted names.

    Attributes:
        class_name: name of the PyTorch class.
        fields: {argument: field of our config that it determines}.
        fixed: {argument: the only values that we implement}; the argument may be absent.
        ignored: arguments that do not change the network without labels, such as those for its training or its layout in memory.
    """

    class_name: str
    fields: Mapping[str, str]
    fixed: Mapping[str, tuple[Any, ...]]
    ignored: tuple[str, ...] = ()


_FILTER = ([1, 3, 3, 1], (1, 3, 3, 1))
_WIDTHS = {
    "channel_base": "model.channel_base",
    "channel_max": "model.channel_max",
    "num_fp16_res": "model.num_reduced",
    "conv_clamp": "model.clamp",
}
_MAPPING = ("num_layers", "embed_features", "layer_features", "activation", "lr_multiplier", "w_avg_beta")
_GENERATOR = Kind(
    class_name="Generator",
    fields={
        "img_resolution": "data.image_size",
        "z_dim": "model.z_dim",
        "w_dim": "model.w_dim",
        "use_sel": "model.spatial_awareness",
        "mapping_kwargs.num_layers": "model.mapping_layers",
        **{f"synthesis_kwargs.{argument}": field for argument, field in _WIDTHS.items()},
    },
    fixed={
        "c_dim": (0,),
        "img_channels": (3,),
        "mapping_kwargs.embed_features": (None,),
        "mapping_kwargs.layer_features": (None,),
        "mapping_kwargs.activation": ("lrelu",),
        "mapping_kwargs.lr_multiplier": (0.01,),
        "mapping_kwargs.w_avg_beta": (0.995,),
        "synthesis_kwargs.architecture": ("skip",),
        "synthesis_kwargs.resample_filter": _FILTER,
        "synthesis_kwargs.use_noise": (True,),
        "synthesis_kwargs.activation": ("lrelu",),
    },
    ignored=("synthesis_kwargs.fp16_channels_last",),
)
_DISCRIMINATOR = Kind(
    class_name="Discriminator",
    fields={"img_resolution": "data.image_size", **_WIDTHS, "epilogue_kwargs.mbstd_group_size": "model.mbstd_group_size"},
    fixed={
        "c_dim": (0,),
        "img_channels": (3,),
        "architecture": ("resnet",),
        "block_kwargs.activation": ("lrelu",),
        "block_kwargs.resample_filter": _FILTER,
        "epilogue_kwargs.mbstd_num_channels": (1,),
        "epilogue_kwargs.activation": ("lrelu",),
    },
    # The mapping network is for conditional networks only. Snapshots that were converted from TensorFlow list its arguments all the same.
    ignored=("block_kwargs.freeze_layers", "block_kwargs.fp16_channels_last", "cmap_dim", *(f"mapping_kwargs.{name}" for name in _MAPPING)),
)
_KINDS = {"G": _GENERATOR, "D": _DISCRIMINATOR, "G_ema": _GENERATOR}
# Values if these arguments are absent: no SELs (plain StyleGAN2-ADA has none), float32 throughout, and no clamp.
_ABSENT = {"model.spatial_awareness": False, "model.num_reduced": 0, "model.clamp": None}
_LARGEST_CLAMP = 1e30
# With larger values, a file could keep the program busy without end.
_RANGES = {"model.mapping_layers": (1, 64), "model.num_reduced": (0, 16), "data.image_size": (SMALLEST, LARGEST)}


def described_fields(networks):
    """Returns the fields of our config that the networks of a snapshot determine.

    Args:
        networks: {"G", "D" and "G_ema": snapshots.Network}.

    Returns:
        {dotted name of a field: value}.

    Raises:
        ValueError: a network is conditional or has an unsupported architecture, or the networks do not match each other.
    """
    described, givers = {}, {}
    for name, kind in _KINDS.items():
        for field, (argument, value) in _fields_of(name, networks[name], kind).items():
            first = givers.setdefault(field, name)
            if described.setdefault(field, value) != value:
                raise ValueError(f"{name} was made with {argument} for {field}={value}, but {first} for {described[field]}: they differ")
    return described


def _fields_of(name, network, kind):
    """{field: (argument, value)} of one network."""
    if network.class_name != kind.class_name:
        raise ValueError(f"{name} is a network of the class {network.class_name[:80]}: only {kind.class_name} is supported")
    arguments = flat(network.arguments)
    for argument, value in arguments.items():
        if argument in kind.fixed and value not in kind.fixed[argument]:
            raise ValueError(f"{name} was made with {argument}={value!r:.80}: only {kind.fixed[argument][0]!r} is supported")
        if argument not in (*kind.fixed, *kind.fields, *kind.ignored):
            raise ValueError(f"{name} was made with {argument[:80]}={value!r:.80}: this argument is not supported")
    fields = {}
    for argument, field in kind.fields.items():
        if argument not in arguments and field not in _ABSENT:
            raise ValueError(f"{name} does not say its {argument}")
        try:
            fields[field] = argument, _value(field, arguments.get(argument, _ABSENT.get(field)))
        except ValueError as error:
            raise ValueError(f"{name} was made with {argument}={arguments[argument]!r:.80}: {error}") from None
    return fields


def _value(field, value):
    """The value of a field. Raises ValueError, which says what the value should be."""
    if field == "model.spatial_awareness":
        if type(value) is not bool:
            raise ValueError("supported are True and False")
        return value
    if field == "model.clamp":
        if value is None:
            return 0.0
        if type(value) not in (int, float) or not 0 < value <= _LARGEST_CLAMP:
            raise ValueError(f"supported are positive numbers up to {_LARGEST_CLAMP:g}, and None")
        return float(value)
    least, most = _RANGES.get(field, (1, 2**16))
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"supported are whole numbers from {least} to {most}")
    return (value, value) if field == "data.image_size" else value
