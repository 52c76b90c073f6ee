"""Named protocols: everything that a score depends on besides the images, so that it is reproducible.

Papers do not state most of these choices; where one is not known, there is a protocol for each alternative. A score belongs to its
protocol, and scores of different protocols must not be compared.
"""
import dataclasses
import difflib


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How a set of generated images is scored.

    Attributes:
        name: name of the protocol.
        image_size: (H, W) of generated images, and of real photos, which Pillow resizes to it (bicubic); None is the size of the model.
        features: network of the Frechet and kernel distances: "inception" (FID, KID), "vgg16" (FD-VGG16, which must not be called FID, and
            its kernel distance), or "" for neither.
        rounded: whether generated images are rounded to bytes before that network sees them, as images in files are.
        segmenter: segmentation network, a key of `evaluation.networks.SEGMENTERS`, or "" for none.
        split: the split that real images are from: "val", or "train" where papers compare with the training images.
        max_images: number of examples of that split, from the first on; 0 uses all.
        samples_per_label: images generated for each example, if num_samples is 0.
        num_samples: images generated in total, regardless of the number of examples, by models that take no label map.
        noise_seed: image j has the seed noise_seed + j; sample k of example i is image k * (number of examples) + i.
        diversity_samples: number K of samples per label map for LPIPS and MS-SSIM.
        diversity_maps: number of label maps, evenly spaced, whose diversity is measured; 0 omits diversity.
        published: what papers report, and which of their choices are not known.
    """

    name: str
    image_size: tuple[int, int] | None = None
    features: str = ""
    rounded: bool = True
    segmenter: str = ""
    split: str = "val"
    max_images: int = 0
    samples_per_label: int = 1
    num_samples: int = 0
    noise_seed: int = 0
    diversity_samples: int = 10
    diversity_maps: int = 0
    published: str = ""

    def limited_to(self, most, count):
        """This protocol, limited to the first `most` of `count` examples and to `most` samples in total; 0 means no limit.

        The name of the returned protocol states each limit that applies.
        """
        changed = {"max_images": most} if 0 < most < min(count, self.max_images or count) else {}
        changed |= {"num_samples": most} if 0 < most < self.num_samples else {}
        limits = {"max_images": f", first {most} examples", "num_samples": f", {most} samples"}
        return dataclasses.replace(self, name=self.name + "".join(limits[field] for field in changed), **changed)


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
        name: name of the protocol.
        more: protocols besides PROTOCOLS, such as `Family.protocols`.

    Raises:
        ValueError: there is none; the message suggests the nearest names.
    """
    protocols = {protocol.name: protocol for protocol in (*more, *PROTOCOLS)}
    if name not in protocols:
        nearest = difflib.get_close_matches(name, protocols, n=3, cutoff=0.3) or list(protocols)
        raise ValueError(f"there is no protocol {name!r}; did you mean {' or '.join(nearest)}?")
    return protocols[name]
