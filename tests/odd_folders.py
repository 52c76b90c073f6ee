"""Folders of photos and label maps as users have them, drawn by Hypothesis, and what must be found in them.

A Pair is a photo and a label map. Both their contents (`tests/odd_files.py`) and their places in the folders (EVENTS) may be unusual.
`write_splits` writes the files, and determines by simple rules which of them must be trained on and which must be named in a report.

By default, a test draws the same examples each time. OASIS_FUZZ_EXAMPLES=5000 python -m pytest -n 0 FILE draws 5000 others.
"""
import dataclasses
import os
import pathlib
import unicodedata

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from oasis_jax.files import one_line
from tests.odd_files import DAMAGES, LABELS, PALETTE, PHOTOS, damaged, label_map, photo

ASKED = int(os.environ.get("OASIS_FUZZ_EXAMPLES", 0))
NAMES = (
    "a", "a b", "c[1]", "*", "d.e.f", "-x", "~y", "日本", "q?'\"#%20", "é\u0301", "größe", "latin\udce9", "line\nend", "%s{0}", "X.JPG",
    "\\",
)
FOLDERS = ("", "", "", "sub", "sub/deep", "a.b [1]", "été \udce9")
HIDDEN_FOLDERS = ("__MACOSX", ".cache", "@eaDir")
# Events that leave a pair with only one usable file: 0 if that is the photo, 1 if it is the label map.
ALONE = {"no label map": 0, **dict.fromkeys(("no photo", "unread photo", "hidden photo", "photo is a folder", "photo is a pipe"), 1)}
HIDDEN = ("hidden pair", "hidden folder")
BROKEN_LINKS = {"broken photo link": 0, "link to itself": 0, "broken label link": 1}
LINKS = {"linked photo": 0, "linked label map": 1}
DOUBLES = {"two photos": 0, "two label maps": 1}
EVENTS = (
    *ALONE, *HIDDEN, *BROKEN_LINKS, *LINKS, *DOUBLES,
    "other size", "decomposed name", "linked folder", "capital letters", "other ending", "loop", "other files", "broken link of no image",
)


@dataclasses.dataclass(frozen=True)
class Pair:
    """A photo and a label map.

    Attributes:
        name, folder: where the files are, below the folders of a split; a number is added to the name.
        photo, label: keys of PHOTOS and LABELS.
        size: (height, width).
        event: one of EVENTS or "".
        damage: (0 for the photo or 1 for the label map, one of DAMAGES), or None.
        number: determines the contents of the files.
    """

    name: str
    folder: str
    photo: str
    label: str
    size: tuple[int, int]
    event: str
    damage: tuple[int, str] | None
    number: int


@dataclasses.dataclass
class Listing:
    """What must be found in a split.

    Attributes:
        folder: that of the split; photos and label maps are in its folders "photos" and "labels".
        pairs: {name: [photo (H, W, 3), stored ids (H, W)]} of the valid pairs; an array is None if its file is damaged at random.
        valid: paths that no report may name.
        faulty: paths that a report must name.
        unknown: whether some files are damaged at random, so that both outcomes are right.
        counts: the numbers of image files that are not hidden, in "photos" and in "labels".
    """

    folder: pathlib.Path
    pairs: dict = dataclasses.field(default_factory=dict)
    valid: set = dataclasses.field(default_factory=set)
    faulty: set = dataclasses.field(default_factory=set)
    unknown: bool = False
    counts: list = dataclasses.field(default_factory=lambda: [0, 0])

    @property
    def empty(self):
        """The first folder without an image, or None."""
        return next((self.folder / name for name, count in zip(("photos", "labels"), self.counts, strict=True) if not count), None)

    @property
    def nothing_to_learn(self):
        """Whether all pixels are don't-care (0); None if that depends on damaged files."""
        ids = [ids for _, ids in self.pairs.values()]
        if any(each is not None and each.any() for each in ids):
            return False
        return None if any(each is None for each in ids) else True

    @property
    def trainable(self):
        """Whether the split must be accepted; None if both outcomes are right."""
        if self.faulty or self.empty or self.nothing_to_learn:
            return False
        return None if self.unknown else True


def quick(count):
    """Settings of a test that draws the same `count` examples each time, unless OASIS_FUZZ_EXAMPLES asks for others."""
    checks = list(HealthCheck)
    return settings(max_examples=ASKED or count, derandomize=not ASKED, deadline=None, database=None, suppress_health_check=checks)


def _mostly(usual, odd, weight):
    """A strategy that draws the usual value `weight` times as often as all odd values together."""
    odd = list(odd)
    return st.sampled_from([usual] * (weight * len(odd)) + odd)


_pairs = st.builds(
    Pair,
    name=st.sampled_from(NAMES),
    folder=st.sampled_from(FOLDERS),
    photo=_mostly("jpeg", PHOTOS, 1),
    label=_mostly("png", LABELS, 1),
    size=st.sampled_from([(8, 8), (8, 16), (16, 8), (5, 3), (1, 1), (17, 9), (24, 32)]),
    event=_mostly("", EVENTS, 2),
    damage=_mostly(None, [(which, how) for which in (0, 1) for how in DAMAGES], 4),
    number=st.integers(0, 9999),
)
_sound = _pairs.map(lambda pair: dataclasses.replace(pair, photo="png transparent", label="png", event="", damage=None))
SPLITS = st.one_of(*[st.tuples(*[st.lists(pairs, min_size=1, max_size=5)] * 2) for pairs in (_pairs, _pairs, _sound)])  # train and val


def write_splits(root, splits, colours) -> list[Listing]:
    """Writes the pairs of the splits train and val to `root`, and palette.txt; `colours` says whether data.palette will name it."""
    (root / "palette.txt").write_text("".join(f"{' '.join(map(str, colour))} class {i}\n" for i, colour in enumerate(PALETTE.tolist())))
    listings = [Listing(root / name) for name in ("train", "val")]
    for listing, pairs in zip(listings, splits, strict=True):
        for folder in ("photos", "labels"):
            (listing.folder / folder).mkdir(parents=True)
        for number, pair in enumerate(pairs):
            _write(pair, f"{pair.name}{number:02d}", root / "outside" / listing.folder.name / str(number), colours, listing)
    return listings


def check_report(text, listings):
    """Raises AssertionError if a report does not name what it must, or names what it must not."""
    assert not all(listing.trainable for listing in listings), text
    if any(listing.empty for listing in listings):
        assert all(f"{listing.empty} holds no " in text for listing in listings if listing.empty), text
        return
    if "are swapped" in text:
        assert any(listing.trainable is not True for listing in listings), text
        return
    for listing in listings:
        missing = [path for path in listing.faulty if one_line(path) not in text]
        wrong = [path for path in listing.valid if one_line(path) in text]
        assert not missing and not wrong, (missing, wrong, text)


def _write(pair, name, outside, colours, listing):
    """Writes a pair, and adds it to the listing; the targets of links are written to `outside`."""
    sizes = [pair.size, (pair.size[0] + (pair.event == "other size"), pair.size[1])]
    files = [photo(pair.photo, sizes[0], pair.number), label_map(pair.label, sizes[1], pair.number, colours)]
    if pair.damage:
        which, how = pair.damage
        files[which] = damaged(files[which], how, pair.number)
    paths = _paths(pair, name, outside, listing.folder, [file.ending for file in files])
    for which, (path, file) in enumerate(zip(paths, files, strict=True)):
        path.parent.mkdir(parents=True, exist_ok=True)
        _place(path, file, pair.event, which, outside)
    if pair.event in HIDDEN:
        listing.valid |= set(paths)
    elif pair.event in ALONE:
        listing.counts[ALONE[pair.event]] += 1
        listing.faulty.add(paths[ALONE[pair.event]])
        if pair.event == "photo is a pipe":
            listing.faulty.add(paths[0])
        elif pair.event == "hidden photo":
            listing.valid.add(paths[0])
    else:
        listing.counts = [count + 1 for count in listing.counts]
        _write_more(pair, name, outside, paths, files, listing)
        _judge(pair, paths, files, listing)


def _paths(pair, name, outside, base, endings):
    """The paths of photo and label map below the split's folder `base`."""
    folder, names, number = pair.folder, [name, name], pair.number
    if pair.event == "hidden folder":
        folder = os.path.join(folder, HIDDEN_FOLDERS[number % 3])
    elif pair.event == "linked folder":
        folder = f"to {name}"
        for kind in ("photos", "labels"):
            (outside / kind).mkdir(parents=True)
            (base / kind / folder).symlink_to(outside / kind, target_is_directory=True)
    elif pair.event == "decomposed name":
        names = [unicodedata.normalize(form, f"{name}é") for form in ("NFC", "NFD")]
    elif pair.event == "hidden pair":
        names = [f".{name}"] * 2
    elif pair.event == "hidden photo":
        names = [f".{name}", name]
    elif pair.event == "unread photo":
        endings = [(".txt", "", ".npy", ".psd")[number % 4], endings[1]]
    elif pair.event == "other ending":
        endings = [(".png", ".jpg", ".tif", ".gif")[number % 4], (".bmp", ".png", ".webp", ".jpeg")[number // 4 % 4]]
    elif pair.event == "capital letters":
        endings = [ending.upper() for ending in endings]
    return [base / kind / folder / (names[i] + endings[i]) for i, kind in enumerate(("photos", "labels"))]


def _place(path, file, event, which, outside):
    """Writes a file, or what an event puts in its place: a folder, a pipe, a link or nothing."""
    if (event, which) in (("no photo", 0), ("no label map", 1)):
        return
    if (event, which) == ("photo is a folder", 0):
        path.mkdir()
    elif (event, which) == ("photo is a pipe", 0):
        os.mkfifo(path)
    elif BROKEN_LINKS.get(event) == which:
        path.symlink_to(path if event == "link to itself" else outside / "gone.png")
    elif LINKS.get(event) == which:
        outside.mkdir(parents=True)
        (outside / "file").write_bytes(file.data)
        path.symlink_to(outside / "file")
    else:
        path.write_bytes(file.data)


def _write_more(pair, name, outside, paths, files, listing):
    """Writes the other files and links that an event adds next to a pair."""
    photos, labels = (listing.folder / kind for kind in ("photos", "labels"))
    if (which := DOUBLES.get(pair.event)) is not None:
        second = paths[which].with_name(name + (".PNG" if paths[which].suffix == ".jpg" else ".JPG"))
        second.write_bytes(files[which].data)
        listing.faulty |= {paths[which], second}
    elif pair.event == "broken link of no image":
        (photos / f"{name}.txt").symlink_to(outside / "gone")
        listing.faulty.add(photos / f"{name}.txt")
    elif pair.event == "loop":
        (paths[0].parent / f"up {name}").symlink_to(photos, target_is_directory=True)
        listing.valid.add(paths[0].parent / f"up {name}")
    elif pair.event == "other files":
        for other in (photos / f"{name}.txt", labels / f"Thumbs{name}.db", labels / f".{name}.png", photos / f"{name}.json"):
            other.write_bytes(b"no image")
            listing.valid.add(other)


def _judge(pair, paths, files, listing):
    """Records in the listing which files of a pair are faulty or valid, and what a pair without faults holds."""
    broken = BROKEN_LINKS.get(pair.event)
    known = [not file.unknown or which == broken for which, file in enumerate(files)]
    refused = [file.refused or which == broken for which, file in enumerate(files)]
    # If the sizes differ, both files are named; if one file cannot be opened at all, it is not known whether they differ.
    differ = pair.event == "other size" and all(file.size for file in files)
    listing.faulty |= {path for path, fault in zip(paths, refused, strict=True) if fault or differ}
    if all(known) and (differ or pair.event != "other size"):
        listing.valid |= set(paths) - listing.faulty
    listing.unknown |= not all(known)
    if not any(refused) and not differ:
        name = paths[0].relative_to(listing.folder / "photos").with_suffix("").as_posix()
        listing.pairs[unicodedata.normalize("NFC", name)] = [None if file.unknown else file.expected for file in files]
