"""Photos without label map, label maps without photo: what to say of them, and the ends of names that keep them apart."""
import collections
import itertools

_CANDIDATES = 8  # ends of names that are tried in each folder


def without_partner(photos, labels, suffix_fields=()):
    """One line for each file that has no partner; one for all files whose names would be equal without an end that they share.

    Args:
        photos, labels: `folders.Column` of the photos and of the label maps.
        suffix_fields: config fields that say which ends of names to leave out, of photos and of label maps; none if the layout fixes them.

    Yields:
        str.
    """
    alone = [photos.files.keys() - labels.files.keys(), labels.files.keys() - photos.files.keys()]
    suffixes = _suffixes(*alone) if suffix_fields and all(alone) else None
    if suffixes:
        yield _advice(suffixes, (photos, labels), suffix_fields, alone)
        common = _common(alone, suffixes)
        alone = [keys - {key + suffix for key in common} for keys, suffix in zip(alone, suffixes, strict=True)]
    for column, other, keys in ((photos, labels, alone[0]), (labels, photos, alone[1])):
        for key in sorted(keys):
            thing, missing = (each.things.removesuffix("s") for each in (column, other))
            unread = f" (there is {other.others[key]}, of a type that is not read)" if key in other.others else ""
            yield f"{thing} {column.files[key]} has no {missing} {key}{other.suffix}.* in {other.folder}{unread}"


def _advice(suffixes, columns, fields, alone):
    ends, flags = [], []
    for column, suffix, field, keys in zip(columns, suffixes, fields, alone, strict=True):
        if suffix:
            of_these = _stripped(keys, suffix).values()
            ends.append(f"{len(of_these)} {column.things} end in {suffix}, such as {column.files[min(of_these)]}")
            flags.append(f"{field}={suffix}")
    others = "" if all(suffixes) else f", the {columns[bool(suffixes[0])].things} do not"
    return f"{' and '.join(ends)}{others}: set {' and '.join(flags)}"


def _suffixes(photos, labels):
    """The ends of names without which most keys of one set are keys of the other, shortest first; None if there are none."""
    best, most = None, min(len(photos), len(labels)) / 2
    candidates = [["", *_ends(keys)] for keys in (photos, labels)]
    for pair in sorted(itertools.product(*candidates), key=lambda pair: (len(pair[0]) + len(pair[1]), pair)):
        common = len(_common((photos, labels), pair))
        if common > (best[0] if best else 0) and common >= most and (common > 1 or not all(pair)):
            best = common, pair
    return best and best[1]


def _ends(keys):
    """The most common ends of names that begin with a separator and hold a letter, such as _mask."""
    counts = collections.Counter()
    for key in keys:
        name = key[key.rfind("/") + 1 :]
        counts.update(name[i:] for i in range(1, len(name)) if not name[i].isalnum() and any(map(str.isalpha, name[i:])))
    return [end for end, _ in counts.most_common(_CANDIDATES)]


def _common(both, suffixes):
    """What the keys of both sets have in common without their suffixes."""
    first, second = (_stripped(keys, suffix).keys() for keys, suffix in zip(both, suffixes, strict=True))
    return first & second


def _stripped(keys, suffix):
    """{key without suffix: key} of the keys that end in it."""
    return {key.removesuffix(suffix): key for key in keys if key.endswith(suffix)}
