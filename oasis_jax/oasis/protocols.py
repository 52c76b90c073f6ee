"""Evaluation protocols of the OASIS paper, and of the papers that it compares with."""
from oasis_jax.metrics.protocols import Protocol

_UNROUNDED = {"features": "inception", "rounded": False, "diversity_maps": 20}
_CITYSCAPES = {"image_size": (256, 512), **_UNROUNDED}
_SQUARE = {"image_size": (256, 256), **_UNROUNDED}
_MULTI_SCALE_UNKNOWN = "whether OASIS used several scales is not known"

PROTOCOLS = (
    Protocol(
        "cityscapes-oasis",
        segmenter="drn105",
        published=f"OASIS: FID 47.7, mIoU 69.3; {_MULTI_SCALE_UNKNOWN}",
        **_CITYSCAPES,
    ),
    Protocol(
        "cityscapes-oasis-ms",
        segmenter="drn105-ms",
        published=f"OASIS: FID 47.7, mIoU 69.3; {_MULTI_SCALE_UNKNOWN}",
        **_CITYSCAPES,
    ),
    Protocol("cityscapes-upsample2048", segmenter="drn105-upsample2048", published="SPADE: mIoU 62.3", **_CITYSCAPES),
    Protocol(
        "ade20k-oasis",
        segmenter="upernet101-single256",
        published=f"OASIS: FID 28.3, mIoU 48.8 (42.8 by others at one scale); {_MULTI_SCALE_UNKNOWN}",
        **_SQUARE,
    ),
    Protocol("ade20k-oasis-ms", segmenter="upernet101-ms", published=f"OASIS: FID 28.3, mIoU 48.8; {_MULTI_SCALE_UNKNOWN}", **_SQUARE),
    Protocol(
        "ade20k-outdoors-oasis",
        segmenter="upernet101-single256",
        published=f"OASIS: FID 48.6, mIoU 40.4; {_MULTI_SCALE_UNKNOWN}",
        **_SQUARE,
    ),
    Protocol(
        "coco-stuff-oasis",
        segmenter="deeplabv2",
        published="OASIS: FID 17.0, mIoU 44.1; the size of the images that DeepLab saw is not known",
        **_SQUARE,
    ),
)


def default_protocol(config):
    """Name of the established protocol for the data of a config; `plain`, which needs no network, if there is none."""
    layout, num_classes, scene_categories = config.data.layout, config.data.num_classes, config.data.scene_categories
    if layout == "ade20k":
        return "ade20k-outdoors-oasis" if scene_categories else "ade20k-oasis"
    established = {"cityscapes": ("cityscapes-oasis", 35), "coco_stuff": ("coco-stuff-oasis", 183)}
    name, expected = established.get(layout, ("plain", num_classes))
    return name if num_classes == expected else "plain"
