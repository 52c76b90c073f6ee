"""Named protocols: everything that a score depends on besides the images, so that it is reproducible.

Papers leave most of these choices unsaid; where a choice is not known, there is a protocol for each. A score belongs to its protocol, and
scores of different protocols must not be compared.
"""
import dataclasses
import difflib


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How a set of generated images is scored.

    Attributes:
        name: of the protocol.
        image_size: (H, W) of generated images, and of real photos, which Pillow resizes to it (bicubic); None is the size of the model.
        features: network of the Frechet and kernel distances: "inception" (FID, KID), "vgg16" (FD-VGG16, which must not be called FID, and
            its kernel distance), or "" for neither.
        rounded: whether generated images are rounded to bytes before that network sees them, as images in files are.
        segmenter: segmentation network, a key of `evaluation.networks.SEGMENTERS`, or "" for none.
        samples_per_label: images generated for each example of the validation split.
        noise_seed: sample k of example i has the seed noise_seed + k * (number of examples) + i.
        max_images: number of examples of the validation split, from the first on; 0 uses all.
        diversity_samples: K samples of each label map for LPIPS and MS-SSIM.
        diversity_maps: number of label maps, evenly spaced, whose diversity is measured; 0 omits diversity.
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

    def limited_to(self, most, count):
        """This protocol on the first `most` of `count` examples, which its name then says; 0 uses all."""
        return self if not most or most >= count else dataclasses.replace(self, name=f"{self.name}, first {most} examples", max_images=most)


# Protocols for any data; `Family.protocols` adds those of a family's papers.
PROTOCOLS = (
    Protocol("camvid-espnet", features="vgg16", segmenter="espnet", diversity_maps=20),
    Protocol("fid", features="inception", diversity_maps=20),
    Protocol("fd-vgg16", features="vgg16", diversity_maps=20),
    Protocol("plain"),
)


def find_protocol(name, more=()):
    """The Protocol of this name.

    Args:
        name: of the protocol.
        more: protocols besides PROTOCOLS, such as `Family.protocols`.

    Raises:
        ValueError: there is none; the message has the nearest names.
    """
    protocols = {protocol.name: protocol for protocol in (*more, *PROTOCOLS)}
    if name not in protocols:
        nearest = difflib.get_close_matches(name, protocols, n=3, cutoff=0.3) or list(protocols)
        raise ValueError(f"there is no protocol {name!r}; did you mean {' or '.join(nearest)}?")
    return protocols[name]
