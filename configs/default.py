"""OASIS with the defaults of all fields: 256x256, on a folder of photos and label maps.

The other configs import this one and set only what differs. Any field can be overridden on the command line, for example
`--config.data.root=/data/mine --config.train.batch_size=8`. `oasis_jax/fields.py` has the fields that all families share, with a comment on
each; a family's own fields are in `oasis_jax/FAMILY/fields.py`.
"""
from oasis_jax.fields import shared
from oasis_jax.oasis import fields


def get_config(variant=""):
    """OASIS; the variant "sa" is spatially aware (EqGAN-SA)."""
    config = shared()
    config.family = "oasis"
    fields.add_fields(config)
    if variant not in ("", "sa"):
        raise ValueError(f"there is no variant {variant!r} of this config: use FILE, or FILE:sa for spatial awareness")
    config.model.spatial_awareness = variant == "sa"
    return config.lock()
