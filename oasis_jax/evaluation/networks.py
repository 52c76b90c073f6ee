"""The evaluation networks that protocols name, with their weights, and the metrics that use them."""
import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from oasis_jax.files import expanded
from oasis_jax.metrics.colour import ColourDistance
from oasis_jax.metrics.feature_distances import FeatureDistances
from oasis_jax.metrics.lpips import load_lpips
from oasis_jax.metrics.nets import inception, vgg16, weights
from oasis_jax.metrics.nets.deeplab import DeepLabSegmenter
from oasis_jax.metrics.nets.drn import UPSAMPLED, DRNSegmenter
from oasis_jax.metrics.nets.espnet import ESPNetSegmenter
from oasis_jax.metrics.nets.upernet import UPerNetSegmenter, join_state
from oasis_jax.metrics.segmentation import SegmenterScores
from oasis_jax.metrics.texture import TextureDistance

SEGMENTERS = {
    "drn105": DRNSegmenter(),
    "drn105-ms": DRNSegmenter(multi_scale=True),
    "drn105-upsample2048": DRNSegmenter(upsample_to=UPSAMPLED),
    "upernet101-single256": UPerNetSegmenter(),
    "upernet101-ms": UPerNetSegmenter(multi_scale=True),
    "deeplabv2": DeepLabSegmenter(),
    "espnet": ESPNetSegmenter(),
}


DISTANCE_NAMES = {"inception": ("fid", "kid"), "vgg16": ("fd_vgg16", "kd_vgg16")}  # of the Frechet and kernel distance, by network


@dataclasses.dataclass(frozen=True, eq=False)
class Networks:
    """The evaluation networks of one protocol; networks that it does not name are None.

    Attributes:
        extract: images (B, H, W, 3), uint8 or float in [0, 1] -> features (B, d), on the devices.
        dimensions: d.
        least_side: smallest height and width of images that have features.
        segmenter: one of SEGMENTERS.
        segment: uint8 images (B, H, W, 3) -> classes (B, h, w), h and w by `segmenter.label_size`.
        lpips: variables of LPIPS.
        sha256: {network: sha256 of its weights}.
    """

    extract: Callable[[Any], Any] | None = None
    dimensions: int = 0
    least_side: int = 1
    segmenter: Any = None
    segment: Callable[[Any], Any] | None = None
    lpips: Any = None
    sha256: Mapping[str, str] = dataclasses.field(default_factory=dict)


def make_metrics(protocol, networks=None, num_classes=0, dontcare_id=-1):
    """The metrics of a protocol.

    Args:
        protocol: Protocol.
        networks: its Networks; without them, the metrics only have the names and directions of their scores.
        num_classes: N of the label maps; 0 without label maps.
        dontcare_id: class that colour distances exclude, or -1.

    Returns:
        List of `metrics.metric.Metric`, in the order of a report.
    """
    networks = networks or Networks(segmenter=SEGMENTERS.get(protocol.segmenter))
    metrics = []
    if protocol.features:
        names = DISTANCE_NAMES[protocol.features]
        described = [protocol.features, networks.sha256.get(protocol.features)]
        metrics.append(FeatureDistances(*names, networks.extract, networks.dimensions, described))
    if networks.segmenter:
        described = [repr(networks.segmenter), networks.sha256.get("segmenter")]
        metrics.append(SegmenterScores(networks.segmenter.labels, networks.segment, described))
    return [*metrics, ColourDistance(num_classes, dontcare_id), TextureDistance()]


def direction_of(score, metrics):
    """Whether a score is better when it is higher.

    Raises:
        ValueError: no metric has such a score that can choose the best checkpoint; the message lists those that can.
    """
    directions = {name: higher for metric in metrics for name, higher in metric.higher_is_better.items()}
    if score not in directions:
        raise ValueError(f"{score} is not one of {', '.join(directions)}")
    return directions[score]


def load_networks(protocol, files=None, place=jax.device_put, spread=jax.device_put) -> Networks:
    """Loads the networks that a protocol names.

    Args:
        protocol: Protocol.
        files: {"inception" | "vgg16" | "segmenter": path}. Without a path, Inception is downloaded, and VGG16 is located by
            `weights.find_vgg16`; a segmenter requires a path (UPerNet two: "encoder.pth,decoder.pth").
        place: function that puts variables on the devices.
        spread: function that distributes a batch of images over the devices.

    Raises:
        WeightsError: weights are missing or belong to another network; the message says what to give.
    """
    files, sha256, parts = files or {}, {}, {}
    segmenter = SEGMENTERS.get(protocol.segmenter)
    if segmenter and not files.get("segmenter"):  # before anything is downloaded
        raise weights.WeightsError(
            f"protocol {protocol.name} segments images with {type(segmenter.module).__name__}: give the path of its published weights "
            "as --config.eval.segmenter_weights, or choose a protocol without it (fid, fd-vgg16, plain)"
        )
    if protocol.features:
        load, features, dimensions, least_side, digest = _FEATURES[protocol.features]
        extract = functools.partial(_extract, features, place(load(files.get(protocol.features))), spread)
        sha256[protocol.features] = digest
        parts |= {"extract": extract, "dimensions": dimensions, "least_side": least_side}
    if segmenter:
        state, sha256["segmenter"] = _read_parts(files["segmenter"])
        variables = place(segmenter.variables(state))
        parts |= {"segmenter": segmenter, "segment": functools.partial(_segment, segmenter, variables, spread)}
    if protocol.diversity_maps:
        try:
            path = weights.find_vgg16(files.get("vgg16"))
        except weights.WeightsError:
            if files.get("vgg16") or os.environ.get("OASIS_VGG16_WEIGHTS"):
                raise  # explicitly requested; otherwise LPIPS is optional
        else:
            parts["lpips"] = place(load_lpips(path))
            sha256["lpips"] = weights.VGG16_SHA256
    return Networks(sha256=sha256, **parts)


def _read_parts(path):
    """State dict and sha256 of a file, or of two given as "encoder.pth,decoder.pth", the form in which UPerNet is published."""
    files = [path] if expanded(path).is_file() else path.split(",")
    if len(files) > 2:
        raise weights.WeightsError(f"{path} names {len(files)} files: give one, or those of an encoder and a decoder")
    states = [weights.read_weights(file) for file in files]
    digests = [hashlib.sha256(expanded(file).read_bytes()).hexdigest() for file in files]
    return states[0] if len(states) == 1 else join_state(*states), ",".join(digests)


@jax.jit
def _inception_features(variables, images):
    return inception.InceptionFID().apply(variables, inception.preprocess(images))["pool"]


_FEATURES = {  # loader, features, their dimensions, the smallest side of images and the sha256 of the weights
    "inception": (inception.load_inception, _inception_features, 2048, 1, inception.WEIGHTS_SHA256),
    "vgg16": (vgg16.load_vgg16, jax.jit(vgg16.fd_features), 512, vgg16.LEAST_SIDE, weights.VGG16_SHA256),
}


def _extract(features, variables, spread, images):
    return features(variables, spread(images))


def _segment(segmenter, variables, spread, images):
    return np.asarray(segmenter.segment(variables, spread(images), segmenter.label_size(images.shape[1:3])))
