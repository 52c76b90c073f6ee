"""The check of a data set: every example is read once, all faults are reported together, and a clean result is remembered."""
import concurrent.futures
import hashlib
import json
import os

import numpy as np
import tqdm
from etils import epath

from oasis_jax.data.labels import DataError, resize_label_map
from oasis_jax.data.split import stamp
from oasis_jax.data.survey import Survey, notes_on_files, recalled

_REPORTED = 50  # faults printed; the others are counted
_MEMORY = "data_check.json"
_VERSION = b"2"  # of what is remembered
_QUANTILE = 0.999


def check_split(split, spec, workdir=None, statistic=None, remember=True) -> Survey:
    """Reads every example of `split` once, in parallel: readable, columns of one size, only ids that have a class, no file left over.

    Args:
        split: Split of datasets.open_split.
        spec: DataSpec.
        workdir: folder whose data_check.json remembers a clean result, until a path, size or date of a file or the label rule changes.
        statistic: function of a label map (H, W), at the size that the pipeline resizes to, to an integer array; larger numbers are assumed
            to be worse. If the pipeline mirrors examples, the maximum over both orientations counts.
        remember: whether to write data_check.json; of several processes, only one should.

    Raises:
        DataError: one report of all faults, naming every file; 50 at most are printed.
    """
    memory = epath.Path(workdir) / _MEMORY if workdir else None
    remembered = _recall(memory)
    key = _fingerprint(split, spec)
    found = remembered.get(split.name, {})
    if statistic is None:  # the files of one split may be those of the other
        found = next((each for each in remembered.values() if each.get("key") == key), {})
    facts = {"num_examples": len(split), "split": split.name, "dontcare_id": spec.dontcare_id}
    facts["class_names"] = split.class_names if split.column("label_map") else ()
    if found.get("key") == key and (found.get("statistic") or statistic is None):
        return recalled(found, notes=(*split.notes, *found.get("notes", ())), **facts)

    workers = spec.workers or os.cpu_count()
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:  # Pillow decodes without the interpreter lock
        results = pool.map(lambda index: _check_example(split, index, spec, statistic), range(len(split)))
        results = list(tqdm.tqdm(results, f"checking {split.name}", len(split), unit="example", disable=not remember))
    faults = list(split.faults) + [result for result in results if isinstance(result, str)]
    if faults:
        raise DataError(_report(split, spec, faults))
    pixels = images = measured = None
    if split.column("label_map"):
        pixels, images = (np.sum(each, axis=0) for each in zip(*((counted, counted > 0) for counted, _ in results), strict=True))
        if statistic is not None:
            measured = np.quantile([measured for _, measured in results], _QUANTILE, axis=0, method="higher").astype(np.int64)
    notes = list(notes_on_files(split))
    survey = Survey(pixels=pixels, statistic=measured, images=images, notes=(*split.notes, *notes), **facts)
    if memory and remember:
        memory.parent.mkdir(parents=True, exist_ok=True)
        memory.write_text(json.dumps(remembered | {split.name: {"key": key, "notes": notes} | survey.as_memory()}))
    return survey


def _check_example(split, index, spec, statistic):
    """Pixels of each class and the statistic, or the fault as str."""
    example, label_map = split.examples[index], split.column("label_map")
    try:
        values = split.read(index)
        if label_map:
            source = example.source("label_map")
            classes = label_map.rule(values["label_map"], f"label map {source}")
    except DataError as error:
        return str(error)
    if not label_map:
        return None, None
    sizes = {column.name: column.size(values[column.name]) for column in split.columns}
    (height, width), (label_height, label_width) = sizes.get("image", sizes["label_map"]), sizes["label_map"]
    if (height, width) != (label_height, label_width):
        return (
            f"{example.source('image')} is {width}x{height} (upright by its EXIF) but label map {source} is {label_width}x{label_height}: "
            "resize the label map (nearest neighbour) or replace one of them"
        )
    pixels = np.bincount(classes.ravel(), minlength=split.rule.num_classes)
    if statistic is None:
        return pixels, None
    ids = resize_label_map(classes, spec.decoded_size(split.name))
    both = [ids, ids[:, ::-1]] if spec.flip and split.name == "train" else [ids]
    return pixels, np.max([statistic(one) for one in both], axis=0)


def _report(split, spec, faults):
    place = (split.name == "val" and spec.val_root) or spec.root or spec.layout
    lines = [f"{len(faults)} faults in the {split.name} split of {place} ({len(split)} examples):"]
    lines += [f"  {fault}" for fault in faults[:_REPORTED]]
    if len(faults) > _REPORTED:
        lines.append(f"  ... and {len(faults) - _REPORTED} more")
    return "\n".join(lines)


def _fingerprint(split, spec):
    """Changes with any file's path, size or date, and with the label rule; for examples without files, with spec and the split."""
    digest = hashlib.sha256(_VERSION)
    if split.column("label_map"):
        digest.update(split.rule.identity)
    if split.read_arrays is not None and not split.archive:
        digest.update(f"{split.name} {spec!r}".encode())
    for path in split.files():
        digest.update(os.fsencode("{} {} {}\n".format(*stamp(path))))
    digest.update(os.fsencode("\n".join(split.faults)))
    if split.column("label_map"):
        digest.update(repr(spec.decoded_size(split.name)).encode())
    return digest.hexdigest()


def _recall(memory):
    try:
        return json.loads(memory.read_text()) if memory and memory.exists() else {}
    except ValueError:  # cut off while it was written
        return {}
