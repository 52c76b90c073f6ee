"""Reports photos without a label map and label maps without a photo, and finds suffixes or prefixes that prevent names from matching."""
import collections
import itertools
import shlex

from oasis_jax.data.listing import IMAGE_ENDINGS

_CANDIDATES = 12  # most common suffixes that are tried for each folder


def without_partner(photos, labels, suffix_fields=(), elsewhere=lambda: None):
    """Yields one line per file without a partner. Files whose names would match without a common suffix or prefix share one line.

    Args:
        photos, labels: `folders.Column` of the photos and of the label maps.
        suffix_fields: config fields for the suffixes of photos and of label maps; empty if the layout fixes the suffixes.
        elsewhere: () -> the columns of the other split, in which common suffixes are searched for too; None if they cannot be listed.

    Yields:
        str.
    """
    columns = (photos, labels)
    alone = _alone(*columns)
    folded = [{key.casefold(): key for key in sorted(keys)} for keys in alone]
    if both := sorted(folded[0].keys() & folded[1].keys()):
        alike = [[keys[name] for name in both] for keys in folded]
        first = " and ".join(column.files[keys[0]] for column, keys in zip(columns, alike, strict=True))
        yield f"{len(both)} photos and label maps have names that differ only in case, such as {first}: rename one of each pair"
        alone = [keys - set(told) for keys, told in zip(alone, alike, strict=True)]
    if not both and suffix_fields and all(alone):
        for place, mirror in (("end", lambda key: key), ("begin", _mirrored)):
            choices = _choices(columns, elsewhere, mirror)
            if choices:
                yield _advice(choices, columns, suffix_fields, mirror, place)
                alone = [keys - _explained(keys, *alone, choices, side, mirror) for side, keys in enumerate(alone)]
                break
    for column, other, keys in ((photos, labels, alone[0]), (labels, photos, alone[1])):
        for key in sorted(keys):
            thing, missing = (each.things.removesuffix("s") for each in (column, other))
            read = " ".join(IMAGE_ENDINGS)
            unread = f" (there is {other.others[key]}, of a type that is not read: save it as one of {read})" if key in other.others else ""
            yield f"{thing} {column.files[key]} has no {missing} {key}{other.suffix}.* in {other.folder}{unread}"


def _alone(photos, labels):
    return [photos.files.keys() - labels.files.keys(), labels.files.keys() - photos.files.keys()]


def _mirrored(key):
    """Returns a key with its name reversed, so that a prefix becomes a suffix. The function is its own inverse."""
    folder, slash, name = key.rpartition("/")
    return f"{folder}{slash}{name[::-1]}"


def _choices(columns, elsewhere, mirror):
    """Returns the pairs of suffixes found by `_suffixes` for these columns; if there are none, those found in both splits together."""
    alone = [set(map(mirror, keys)) for keys in _alone(*columns)]
    if choices := _suffixes(*alone):
        return choices
    more = _alone(*(elsewhere() or columns))
    both = [own | {f"other split/{mirror(key)}" for key in keys} for own, keys in zip(alone, more, strict=True)]
    return [pair for pair in _suffixes(*both) if _common(alone, pair)]


def _explained(keys, photos, labels, choices, side, mirror):
    """Returns the keys of one side that have a partner once the suffixes of one of the choices are removed."""
    both = [set(map(mirror, each)) for each in (photos, labels)]
    return keys & {mirror(stem + pair[side]) for pair in choices for stem in _common(both, pair)}


def _advice(choices, columns, fields, mirror, place):
    suffixes, *others = choices
    ends, flags, shown = [], [], (lambda end: end[::-1]) if place == "begin" else str
    for column, suffix, field, keys in zip(columns, suffixes, fields, _alone(*columns), strict=True):
        if suffix:
            of_these = sorted(key for key in keys if mirror(key).endswith(suffix))
            verb = "end in" if place == "end" else "begin with"
            ends.append(f"{len(of_these)} {column.things} {verb} {shlex.quote(shown(suffix))}, such as {column.files[of_these[0]]}")
            flags.append(f"{field}={shlex.quote(suffix)}")
    without = "" if all(suffixes) else f", the {columns[bool(suffixes[0])].things} do not"
    found = f"{' and '.join(ends)}{without}"
    if place == "begin":
        return f"{found}: rename them so that both files of a pair have the same name (no field removes prefixes)"
    if paired := len(columns[0].files.keys() & columns[1].files.keys()):
        return f"{found}: leave it out of their names, as in the {paired} other pairs"
    same = f" (or another suffix that fits as many: {', '.join(' and '.join(filter(None, other)) for other in others)})" if others else ""
    return f"{found}: set {' and '.join(flags)}{same}"


def _suffixes(photos, labels):
    """Returns pairs of suffixes without which most keys of one set are keys of the other: the shortest of those that match most keys."""
    best, most = [], min(len(photos), len(labels)) / 2
    candidates = [["", *_ends(keys, others)] for keys, others in ((photos, labels), (labels, photos))]
    stems = [{end: _stems(keys, end) for end in ends} for keys, ends in zip((photos, labels), candidates, strict=True)]
    for pair in sorted(itertools.product(*candidates), key=lambda pair: (len(pair[0]) + len(pair[1]), pair)):
        common = len(stems[0][pair[0]] & stems[1][pair[1]])
        if common < max(most, 1 + all(pair)) or (common == most and any(_extends(pair, shorter) for shorter in best)):
            continue
        best, most = [*best, pair] if common == most else [pair], common
    return best


def _extends(pair, shorter):
    return all(suffix.endswith(end) for suffix, end in zip(pair, shorter, strict=True))


def _ends(keys, others):
    """Returns candidate suffixes: common ones that start like a word and hold a letter, such as _mask, and what several add to `others`."""
    counts, added = collections.Counter(), collections.Counter()
    for key in keys:
        start = key.rfind("/") + 1
        name = key[start:]
        counts.update(name[i:] for i in range(1, len(name)) if _begins_word(name, i) and any(map(str.isalpha, name[i:])))
        added.update(name[i:] for i in range(1, len(name)) if key[: start + i] in others)
    several = [end for end, count in added.most_common(_CANDIDATES) if count > 1 and not end.isdigit()]
    return list(dict.fromkeys([*(end for end, _ in counts.most_common(_CANDIDATES)), *several]))


def _begins_word(name, i):
    before, sign = name[i - 1], name[i]
    return not sign.isalnum() or (sign.isalpha() and before.isdigit()) or (sign.isupper() and before.islower())


def _common(both, suffixes):
    """Returns the stems that both sets of keys have in common once their suffixes are removed."""
    return _stems(both[0], suffixes[0]) & _stems(both[1], suffixes[1])


def _stems(keys, suffix):
    """Returns the keys that end in a suffix, with the suffix removed."""
    return {key.removesuffix(suffix) for key in keys if key.endswith(suffix)}
