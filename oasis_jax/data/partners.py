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
    choices = _suffixes(*alone) if suffix_fields and all(alone) else []
    if choices:
        yield _advice(choices, (photos, labels), suffix_fields, alone)
        explained = [set(), set()]
        for suffixes in choices:
            for keys, suffix in zip(explained, suffixes, strict=True):
                keys |= {key + suffix for key in _common(alone, suffixes)}
        alone = [keys - known for keys, known in zip(alone, explained, strict=True)]
    for column, other, keys in ((photos, labels, alone[0]), (labels, photos, alone[1])):
        for key in sorted(keys):
            thing, missing = (each.things.removesuffix("s") for each in (column, other))
            unread = f" (there is {other.others[key]}, of a type that is not read)" if key in other.others else ""
            yield f"{thing} {column.files[key]} has no {missing} {key}{other.suffix}.* in {other.folder}{unread}"


def _advice(choices, columns, fields, alone):
    suffixes, *others = choices
    ends, flags = [], []
    for column, suffix, field, keys in zip(columns, suffixes, fields, alone, strict=True):
        if suffix:
            of_these = _stripped(keys, suffix).values()
            ends.append(f"{len(of_these)} {column.things} end in {suffix}, such as {column.files[min(of_these)]}")
            flags.append(f"{field}={suffix}")
    without = "" if all(suffixes) else f", the {columns[bool(suffixes[0])].things} do not"
    same = f" (or another end that as many have: {', '.join(' and '.join(filter(None, other)) for other in others)})" if others else ""
    return f"{' and '.join(ends)}{without}: set {' and '.join(flags)}{same}"


def _suffixes(photos, labels):
    """Pairs of ends of names without which most keys of one set are keys of the other; the shortest of those that match most keys."""
    best, most = [], min(len(photos), len(labels)) / 2
    candidates = [["", *_ends(keys)] for keys in (photos, labels)]
    for pair in sorted(itertools.product(*candidates), key=lambda pair: (len(pair[0]) + len(pair[1]), pair)):
        common = len(_common((photos, labels), pair))
        if common < max(most, 1 + all(pair)) or (common == most and any(_extends(pair, shorter) for shorter in best)):
            continue
        best, most = [*best, pair] if common == most else [pair], common
    return best


def _extends(pair, shorter):
    return all(suffix.endswith(end) for suffix, end in zip(pair, shorter, strict=True))


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
