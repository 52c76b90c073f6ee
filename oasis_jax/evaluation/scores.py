"""From two sets of images to a report: distances between the sets, and agreement with the label maps."""
import dataclasses
import warnings

from oasis_jax.evaluation.report import Report
from oasis_jax.metrics import segmentation
from oasis_jax.metrics.colour import chi_square, colour_distance
from oasis_jax.metrics.equilibrium import DI_SEG_FORMULA
from oasis_jax.metrics.frechet import frechet_distance
from oasis_jax.metrics.kid import kernel_inception_distance
from oasis_jax.metrics.texture import texture_distance


def make_report(protocol, judges, photos, real, made, subject, dontcare_id=-1, extra=None, by_class=None):
    """The Report on what was measured.

    Args:
        protocol: Protocol.
        judges: its Judges.
        photos: source of the real photos.
        real, made: Statistics of the photos and of the generated images.
        subject: what was generated, for the report.
        dontcare_id: class without meaning, or -1.
        extra: {name: score} measured elsewhere, such as diversity.
        by_class: {column: (N,) scores of the split's classes} measured elsewhere.

    Raises:
        ValueError: fewer than two images for a distance that needs them.
    """
    scores, ceiling, notes = {}, {}, []
    if judges.extract:
        distances, notes = _feature_distances(protocol, real, made)
        scores |= distances
    if judges.segmenter:
        space = judges.segmenter.labels
        for found, statistics in ((scores, made), (ceiling, real)):
            found["miou"] = segmentation.mean_iou(statistics.confusion, space.averaged_over, space.num_classes)
            found["pixel_accuracy"] = segmentation.pixel_accuracy(statistics.confusion)
        notes.append(f"miou: mean over {space.averaged_over.value}; the segmenter knows {space.num_classes} classes")
    scores |= {f"colour_distance_{name}": float(d) for name, d in zip("lab", chi_square(real.colours, made.colours), strict=True)}
    scores["colour_distance"] = colour_distance(real.class_colours, made.class_colours, dontcare_id)
    scores["texture_distance"] = texture_distance(real.textures, made.textures)
    notes.append(
        "colour_distance (mean over the classes; _l, _a, _b over all pixels) and texture_distance: chi-square distances 0..1 of histograms "
        "of CIE Lab and of local binary patterns; the recipe of the OASIS paper is unpublished"
    )

    if protocol.diversity_maps and judges.lpips is None:
        notes.append("lpips was not measured: there are no weights of VGG16")
    if "di_seg" in (extra or {}):
        notes.append(f"{DI_SEG_FORMULA}, by the run's own networks")

    return Report(
        protocol=_described(protocol, judges, photos),
        weights=dict(judges.sha256),
        subject=subject,
        images={"generated": made.count, "real": real.count},
        scores=scores | (extra or {}),
        real=ceiling,
        segmented=_segmented(judges, real, made),
        per_class=_per_class(photos.split, real, made, by_class or {}),
        notes=notes,
    )


def _feature_distances(protocol, real, made):
    frechet_name, kernel_name = protocol.score_names
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        distance = frechet_distance(real.moments, made.moments)
    kid = kernel_inception_distance(real.features, made.features)
    scores = {
        frechet_name: distance,
        f"{kernel_name}_x1000": 1e3 * kid.mean,
        f"{kernel_name}_x1000_standard_error": 1e3 * kid.standard_error,
    }
    return scores, [*(str(w.message) for w in caught), f"{kernel_name}: {kid.subsets} subsets of {kid.subset_size} images"]


def _segmented(judges, real, made):
    if not judges.segmenter:
        return []
    columns = {
        "IoU": segmentation.iou_per_class(made.confusion),
        "accuracy": segmentation.accuracy_per_class(made.confusion),
        "IoU of real photos": segmentation.iou_per_class(real.confusion),
    }
    names = judges.segmenter.labels.class_names
    return [{"class": name} | {column: float(values[i]) for column, values in columns.items()} for i, name in enumerate(names)]


def _per_class(split, real, made, columns):
    names = split.class_names or tuple(map(str, range(split.rule.num_classes)))
    rows = []
    for i, name in enumerate(names):
        distance = colour_distance(real.class_colours[i : i + 1], made.class_colours[i : i + 1])
        rows.append({"class": name, "colour": distance} | {column: float(values[i]) for column, values in columns.items()})
    return rows


def _described(protocol, judges, photos):
    described = dataclasses.asdict(protocol)
    described |= {"image_size": list(photos.spec.image_size), "resize": "photos to image_size by Pillow, bicubic"}
    if judges.segmenter:
        space = judges.segmenter.labels
        ignored = f"stored ids but {', '.join(map(str, space.stored_ids))}" if space.num_classes < 40 else "stored ids of no class"
        described |= {"label_size": list(judges.segmenter.label_size(photos.spec.image_size)), "ignored": ignored}
    return described
