"""The check before training: every pair is read once, all faults come in one report, and a clean result is remembered."""
import concurrent.futures
import dataclasses
import hashlib
import json
import os

import numpy as np
import tqdm
from etils import epath

from oasis_jax.boundaries import boundary_counts
from oasis_jax.data.labels import DataError, resize_label_map

_REPORTED = 50  # faults printed; the others are counted
_MEMORY = "data_check.json"
_QUANTILE = 0.999
LEVELS = 4  # of the generator, from the full image on; coarser ones are nearly all boundary


@dataclasses.dataclass(frozen=True)
class Statistics:
    """What the check counted.

    Attributes:
        num_pairs: number of pairs.
        pixels: int64 (num_classes,) pixels of each class, at the stored sizes.
        boundaries: int64 (LEVELS, 4), as of boundaries.boundary_counts at the size that the pipeline resizes to, of a pair or its mirror
            image where the pipeline mirrors: each number is exceeded by one pair in a thousand at most. None unless they were asked for.
    """

    num_pairs: int
    pixels: np.ndarray
    boundaries: np.ndarray | None


def check_split(split, spec, workdir=None, count_boundaries=False) -> Statistics:
    """Reads every pair of `split` once, in parallel: readable, of one size, only ids that have a class, no file without partner.

    Args:
        split: Split of datasets.open_split.
        spec: DataSpec.
        workdir: folder whose data_check.json remembers a clean result, until a path, size or date of a file or the label rule changes.
        count_boundaries: whether conditioning on regions needs their numbers: some 20 ms of a processor for a pair of 256x256.

    Raises:
        DataError: one report of all faults, naming every file; 50 at most are printed.
    """
    memory = epath.Path(workdir) / _MEMORY if workdir else None
    remembered = _recall(memory)
    key = _fingerprint(split, spec)
    found = remembered.get(split.name, {})
    if found.get("key") == key and (found.get("boundaries") or not count_boundaries):
        boundaries = np.asarray(found.get("boundaries"), np.int64) if found.get("boundaries") else None
        return Statistics(len(split), np.asarray(found["pixels"], np.int64), boundaries)

    workers = spec.workers or os.cpu_count()
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:  # Pillow decodes without the interpreter lock
        results = pool.map(lambda index: _check_pair(split, index, spec, count_boundaries), range(len(split)))
        results = list(tqdm.tqdm(results, f"checking {split.name}", len(split), unit="pair"))
    faults = list(split.faults) + [result for result in results if isinstance(result, str)]
    if faults:
        raise DataError(_report(split, spec, faults))
    pixels = np.sum([counted for counted, _ in results], axis=0)
    boundaries = None
    if count_boundaries:
        boundaries = np.quantile([counts for _, counts in results], _QUANTILE, axis=0, method="higher")
    if memory:
        memory.parent.mkdir(parents=True, exist_ok=True)
        result = {"key": key, "pixels": pixels.tolist(), "boundaries": boundaries.tolist() if count_boundaries else None}
        memory.write_text(json.dumps(remembered | {split.name: result}))
    return Statistics(len(split), pixels, boundaries)


def _check_pair(split, index, spec, count_boundaries):
    """Pixels of each class and, if wanted, boundary counts, as in Statistics, or the fault as str."""
    pair = split.pairs[index]
    try:
        photo, stored = split.read(index)
        label = pair.label or pair.name
        classes = split.rule(stored, f"label map {label}")
    except DataError as error:
        return str(error)
    if photo.size != classes.shape[::-1]:
        (width, height), (label_height, label_width) = photo.size, classes.shape
        return (
            f"{pair.photo or pair.name} is {width}x{height} (upright by its EXIF) but label map {label} is {label_width}x{label_height}: "
            "resize the label map (nearest neighbour) or replace one of them"
        )
    pixels = np.bincount(classes.ravel(), minlength=split.rule.num_classes)
    if not count_boundaries:
        return pixels, None
    ids = resize_label_map(classes, spec.decoded_size(split.name))
    # The levels take every second pixel from the left, which are others in a mirrored map.
    both = [ids, ids[:, ::-1]] if spec.flip and split.name == "train" else [ids]
    return pixels, np.max([boundary_counts(one, LEVELS) for one in both], axis=0)


def _report(split, spec, faults):
    lines = [f"{len(faults)} faults in the {split.name} split of {spec.root or spec.layout} ({len(split)} pairs):"]
    lines += [f"  {fault}" for fault in faults[:_REPORTED]]
    if len(faults) > _REPORTED:
        lines.append(f"  ... and {len(faults) - _REPORTED} more")
    return "\n".join(lines)


def _fingerprint(split, spec):
    """Changes with any file's path, size or date, and with the label rule; for pairs in no files, with spec."""
    digest = hashlib.sha256()
    digest.update(split.rule.table[split.rule.table >= 0].tobytes() + np.flatnonzero(split.rule.table >= 0).tobytes())
    if split.rule.palette is not None:
        digest.update(split.rule.palette.tobytes())
    if split.source is not None:
        digest.update(repr(spec).encode())
    for pair in split.pairs:
        for path in filter(None, (pair.photo, pair.label)):
            stat = epath.Path(path).stat()
            digest.update(f"{path} {stat.length} {stat.mtime}\n".encode())
    digest.update("\n".join(split.faults).encode())
    digest.update(repr(spec.decoded_size(split.name)).encode())
    return digest.hexdigest()


def _recall(memory):
    try:
        return json.loads(memory.read_text()) if memory and memory.exists() else {}
    except ValueError:  # cut off while it was written
        return {}
