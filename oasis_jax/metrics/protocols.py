"""Named protocols: everything that a score depends on besides the images, so that a number can be had again.

The papers of the field leave most of these choices unsaid; where a choice is not known, there is a protocol for each. A score belongs to
its protocol, and scores of different protocols must not be compared.
"""
import dataclasses
import difflib


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How a set of generated images is scored.

    Attributes:
        name: of the protocol.
        image_size: (H, W) of generated images, and of real photos, which Pillow resizes to it (bicubic); None is the size of the model.
        features: network of the Frechet and kernel distances: "inception" (FID, KID), "vgg16" (FD-VGG16, never to be called FID, and its
            kernel distance), or "" for neither.
        rounded: whether generated images are rounded to bytes before that network sees them, as images in files are.
        segmenter: network that labels the images, a key of `judges.SEGMENTERS`, or "" for none.
        samples_per_label: images generated for each label map.
        noise_seed: sample k of label map i has the noise of noise_seed + k * (number of label maps) + i.
        max_images: first so many pairs of the validation split; 0 takes all.
        diversity_samples: K samples of each label map for LPIPS and MS-SSIM ...
        diversity_maps: ... of this many label maps, evenly spaced; 0 leaves diversity out.
        published: what papers report, and under which choices that are not known.
    """

    name: str
    image_size: tuple[int, int] | None = None
    features: str = ""
    rounded: bool = True
    segmenter: str = ""
    samples_per_label: int = 1
    noise_seed: int = 0
    max_images: int = 0
    diversity_samples: int = 10
    diversity_maps: int = 0
    published: str = ""

    @property
    def score_names(self):
        """What the Frechet and the kernel distance of this protocol are called."""
        return {"inception": ("fid", "kid"), "vgg16": ("fd_vgg16", "kd_vgg16")}.get(self.features, ())

    @property
    def measured(self):
        """Names of the scores that can choose the best checkpoint, of those that this protocol measures."""
        frechet_and_kernel = [name + suffix for name, suffix in zip(self.score_names, ("", "_x1000"), strict=False)]
        return ("texture_distance", *frechet_and_kernel, *(("miou", "pixel_accuracy") if self.segmenter else ()))


_UNROUNDED = {"features": "inception", "rounded": False, "diversity_maps": 20}
_CITYSCAPES = {"image_size": (256, 512), **_UNROUNDED}
_SQUARE = {"image_size": (256, 256), **_UNROUNDED}
_MULTI_SCALE_UNKNOWN = "whether OASIS used several scales is not known"

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
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
        Protocol("camvid-espnet", features="vgg16", segmenter="espnet", diversity_maps=20),
        Protocol("fid", features="inception", diversity_maps=20),
        Protocol("fd-vgg16", features="vgg16", diversity_maps=20),
        Protocol("plain"),
    )
}


def find_protocol(name):
    """The Protocol of this name; raises ValueError naming the nearest."""
    if name not in PROTOCOLS:
        nearest = difflib.get_close_matches(name, PROTOCOLS, n=3, cutoff=0.3) or list(PROTOCOLS)
        raise ValueError(f"there is no protocol {name!r}; did you mean {' or '.join(nearest)}?")
    return PROTOCOLS[name]


def default_protocol(layout, num_classes, scene_categories=()):
    """Name of the protocol for a data layout; `plain`, which needs no network, where none is established."""
    if layout == "ade20k":
        return "ade20k-outdoors-oasis" if scene_categories else "ade20k-oasis"
    established = {"cityscapes": ("cityscapes-oasis", 35), "coco_stuff": ("coco-stuff-oasis", 183)}
    name, expected = established.get(layout, ("plain", num_classes))
    return name if num_classes == expected else "plain"
