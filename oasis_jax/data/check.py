"""The check of a data set: every example is read once, all faults are reported together, and a clean result is remembered."""
import collections
import concurrent.futures
import dataclasses
import hashlib
import json
import os

import numpy as np
import tqdm
from etils import epath

from oasis_jax.data.columns import REMARKS
from oasis_jax.data.datasets import PAIRS, SPLITS, open_split
from oasis_jax.data.image_files import DataError, open_image
from oasis_jax.data.labels import resize_label_map
from oasis_jax.data.survey import Survey, recalled
from oasis_jax.files import one_line, write_whole

_REPORTED = 50  # faults printed; the others are counted
_MEMORY = "data_check.json"
_QUANTILE = 0.999
_RULES = 5  # increase when the check changes, so that results of older versions are not reused


@dataclasses.dataclass(frozen=True)
class Checked:
    """Result for one example: faults, or else the pixels per class and the statistic if requested; `remarks` are keys of REMARKS."""

    faults: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    pixels: np.ndarray | None = None
    statistic: np.ndarray | None = None


def open_splits(spec, columns=PAIRS):
    """Opens every split of SPLITS with `datasets.open_split`. One that cannot be opened does not hide the faults of the others.

    Raises:
        DataError: the errors of `open_split`, together with the faults of the splits that could be opened.
    """
    opened, reports = [], []
    for name in SPLITS:
        try:
            opened.append(open_split(spec, name, columns))
        except DataError as error:
            reports.append(str(error))
    if reports:
        raise DataError("\n".join(dict.fromkeys([*reports, *_reports(opened, spec)])))
    return opened


def check_splits(splits, spec, workdir=None, statistics=None, remember=True) -> list[Survey]:
    """Runs `check_split` on each split, and reports the faults of all in one DataError. `statistics` has a function or None per split."""
    surveys, reports = [], []
    for split, statistic in zip(splits, statistics or [None] * len(splits), strict=True):
        if reports and split not in _distinct(splits):  # same examples as an earlier split: nothing new to report
            continue
        try:
            surveys.append(check_split(split, spec, workdir, statistic, remember))
        except DataError as error:
            reports.append(str(error))
    if reports:
        raise DataError("\n".join(reports))
    return surveys


def refuse_inside(folder, searched, flag):
    """Raises DataError if `folder`, where pictures will be written, is inside one of the `searched` data folders; `flag` is its option."""
    inner = _absolute(folder)
    for outer in searched:
        if inner == _absolute(outer) or inner.startswith(_absolute(outer).rstrip("/") + "/"):
            raise DataError(f"{flag}={folder} is in {outer}: pictures written there would be read as data; choose another {flag}")


def check_split(split, spec, workdir=None, statistic=None, remember=True) -> Survey:
    """Checks every example of `split`: its files are readable, their sizes agree, every id has a class, and no file is left over.

    Each example is read once, in parallel. The sizes of photo and label map are compared before they are decoded.

    Args:
        split: Split of datasets.open_split.
        spec: DataSpec.
        workdir: folder whose data_check.json stores a clean result, until the path, size or date of a file or the label rule changes.
        statistic: function from a label map (H, W), resized as in the pipeline, to an integer array; larger numbers are assumed to be
            worse. If the pipeline mirrors examples, the maximum over both orientations is taken.
        remember: whether to write data_check.json; only one of several processes should.

    Raises:
        DataError: one report of all faults, naming every file (at most 50 are listed); or every pixel of the split is don't-care.
    """
    memory = epath.Path(workdir) / _MEMORY if workdir else None
    remembered = _recall(memory)
    key = _fingerprint(split, spec)
    found = remembered.get(split.name, {})
    if statistic is None:  # another split may consist of the same files
        found = next((each for each in remembered.values() if each.get("key") == key), {})
    facts = {"num_examples": len(split), "split": split.name, "dontcare_id": spec.dontcare_id}
    facts["class_names"] = split.class_names if split.column("label_map") else ()
    if found.get("key") == key and (found.get("statistic") or statistic is None):
        return recalled(found, notes=(*split.notes, *found.get("notes", ())), **facts)

    workers = spec.workers or os.cpu_count()
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:  # Pillow releases the interpreter lock while it decodes
        results = pool.map(lambda index: _check_example(split, index, spec, statistic), range(len(split)))
        results = list(tqdm.tqdm(results, f"checking {split.name}", len(split), unit=" examples", disable=not remember))
    faults = list(split.faults) + [fault for result in results for fault in result.faults]
    if faults:
        raise DataError(_report(split, spec, faults))
    pixels = images = measured = largest = None
    if split.column("label_map"):
        pixels = np.sum([result.pixels for result in results], axis=0)
        images = np.sum([result.pixels > 0 for result in results], axis=0)
        if 0 <= spec.dontcare_id < len(pixels) and pixels[spec.dontcare_id] == pixels.sum():
            name = split.class_names[spec.dontcare_id]
            fault = f"all pixels of all label maps are of class {spec.dontcare_id} ({name}), which is don't-care: nothing could be learned"
            raise DataError(_report(split, spec, [f"{fault}. Correct data.dontcare_id (-1: none), data.label_offset or data.label_map"]))
        if statistic is not None:
            counted = np.asarray([result.statistic for result in results], np.int64)
            measured, largest = np.quantile(counted, _QUANTILE, axis=0, method="higher").astype(np.int64), counted.max(0)
    notes = list(_notes(split, results))
    survey = Survey(pixels=pixels, statistic=measured, largest=largest, images=images, notes=(*split.notes, *notes), **facts)
    if memory and remember:
        memory.parent.mkdir(parents=True, exist_ok=True)
        result = {"key": key, "notes": notes} | survey.as_memory()
        write_whole(memory, json.dumps(remembered | {split.name: result}).encode())
    return survey


def _check_example(split, index, spec, statistic) -> Checked:
    example, values, remarks, faults, classes, files = split.examples[index], {}, [], [], None, None
    if split.read_arrays is not None:
        values = _attempt(faults, split.read, index) or {}
    else:
        opened = {column: _attempt(faults, open_image, example.files[column.name]) for column in split.columns}
        files = {column.name: file for column, file in opened.items() if file is not None}
        fault = _sizes_differ(example, {name: file.size for name, file in files.items()}, files)
        if fault and not _may_yet_turn(files["image"], files["label_map"].size):
            return Checked((*faults, fault))
        decoded = {column.name: _attempt(faults, column.decode, file) for column, file in opened.items() if file is not None}
        values = {name: value for name, value in decoded.items() if value is not None}
        if not faults:
            remarks = [remark for column, file in opened.items() for remark in column.remarks(file)]
            remarks += [f"slow {column.things}" for column, file in opened.items() if _is_slow(column.name, file)]
    if (stored := values.get("label_map")) is not None:
        classes = _attempt(faults, lambda stored: split.rule(stored, f"label map {example.source('label_map')}"), stored)
    sizes = {column.name: column.size(values[column.name]) for column in split.columns if column.name in values}
    if fault := _sizes_differ(example, sizes, files):
        faults.append(fault)
    if faults or classes is None:
        return Checked(tuple(faults), tuple(remarks))
    pixels = np.bincount(classes.ravel(), minlength=split.rule.num_classes)
    if 0 <= spec.dontcare_id < len(pixels) and pixels[spec.dontcare_id] == classes.size:
        remarks.append("dontcare")
    if statistic is None:
        return Checked((), tuple(remarks), pixels)
    ids = resize_label_map(classes, spec.decoded_size(split.name))
    both = [ids, ids[:, ::-1]] if spec.flip and split.name == "train" else [ids]
    return Checked((), tuple(remarks), pixels, np.max([statistic(one) for one in both], axis=0))


def _is_slow(column, file):
    from oasis_jax.data.decode import is_decoded_here  # imports TensorFlow

    return not is_decoded_here(column, file.source, file.head)


def _attempt(faults, function, argument):
    """Returns function(argument). If it raises DataError, appends the message to `faults` and returns None."""
    try:
        return function(argument)
    except DataError as error:
        faults.append(str(error))


def _may_yet_turn(photo, size):
    """Whether decoding a photo can still turn it to this size: the EXIF of a PNG may follow its pixels."""
    return photo.image.format == "PNG" and not photo.turned and photo.size == size[::-1]


def _sizes_differ(example, sizes, files=None):
    """Describes the fault if photo and label map of an example have different sizes (height, width); returns None if they agree.

    A label map that is turned by its own EXIF is not compared: decoding it is a fault in any case.
    """
    size, labels = sizes.get("image"), sizes.get("label_map")
    if size is None or labels is None or size == labels or (files and files["label_map"].turned):
        return None
    photo, label_map = example.source("image"), example.source("label_map")
    which = f"{photo} is {size[1]}x{size[0]}, but label map {label_map} is {labels[1]}x{labels[0]}"
    if files and files["image"].turned:
        turned = f"{photo} is turned by its EXIF (orientation {files['image'].orientation}), upright it is {size[1]}x{size[0]}"
        if size == labels[::-1]:
            return f"{turned}, but label map {label_map} is {labels[1]}x{labels[0]}: turn the label map likewise, or strip the photo's EXIF"
        which = f"{turned}, but label map {label_map} is {labels[1]}x{labels[0]}"
    return f"{which}: resize the label map (nearest neighbour) or replace one of them"


def _notes(split, results):
    """Yields one line for each remark of REMARKS that applies to at least one example."""
    found = collections.defaultdict(list)
    for example, result in zip(split.examples, results, strict=True):
        for remark in result.remarks:
            found[remark].append(example)
    for remark, sentence in REMARKS.items():
        if examples := found[remark]:
            column = "label_map" if remark in ("dontcare", "slow label maps") else "image"
            more = " (their label maps must show the upright photos)" if remark == "turned" and split.column("label_map") else ""
            yield f"{len(examples)} of {len(split)} {split.column(column).things} {sentence}{more}, such as {examples[0].source(column)}"


def _reports(splits, spec):
    return [_report(split, spec, split.faults) for split in _distinct(splits) if split.faults]


def _distinct(splits):
    """Returns the splits without those that have the same examples as an earlier one."""
    kept = {}
    for split in splits:
        kept.setdefault(repr((split.examples, split.faults, split.archives)), split)
    return list(kept.values())


def _report(split, spec, faults):
    place = (split.name == "val" and spec.val_root) or spec.root or spec.layout
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    lines = [f"{count} in the {split.name} split of {place} ({len(split)} examples):"]
    lines += [f"  {one_line(fault)}" for fault in faults[:_REPORTED]]
    if len(faults) > _REPORTED:
        lines.append(f"  ... and {len(faults) - _REPORTED} more")
    return "\n".join(lines)


def _fingerprint(split, spec):
    """Hash that changes with the path, size or date of a file and the label rule; for scenes and TFDS, with the spec too."""
    digest = hashlib.sha256(f"{_RULES} {spec.dontcare_id} {spec.flip}\n".encode())
    if split.column("label_map"):
        digest.update(split.rule.identity)
    if split.read_arrays is not None and spec.layout != "images":
        digest.update(f"{split.name} {spec!r}".encode())
    for path, (size, date) in split.stamps().items():
        digest.update(os.fsencode(f"{path} {size} {date}\n"))
    digest.update(os.fsencode("\n".join(split.faults)))
    if split.column("label_map"):
        digest.update(repr(spec.decoded_size(split.name)).encode())
    return digest.hexdigest()


def _absolute(path):
    return str(path) if "://" in str(path) else os.path.realpath(os.path.expanduser(path))


def _recall(memory):
    try:
        return json.loads(memory.read_text()) if memory and memory.exists() else {}
    except ValueError:  # incomplete, because writing it was interrupted
        return {}
