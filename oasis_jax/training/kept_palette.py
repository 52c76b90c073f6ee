"""The palette of a resumed run: it is the one that the run began with, wherever the file is now."""
from oasis_jax.data.labels import DataError
from oasis_jax.data.palette import difference
from oasis_jax.files import expanded


def keep_palette(data, saved):
    """Gives a config the colours that the run holds, and the names if the palette file is gone; a file that is there must hold them too.

    Args:
        data: section `data` of the run's ConfigDict, which is changed.
        saved: section `data` of its newest checkpoint, a dict. Older ones lack `palette_colours`.

    Raises:
        DataError: the run began without a palette.
    """
    held = tuple(saved.get("palette_colours", ()))
    if not held and not saved.get("palette") and data.palette:
        raise DataError(
            f"data.palette is {data.palette}, but the run began without one: set it to nothing (--config.data.palette=), "
            "or choose another workdir"
        )
    data.palette_colours = held
    if held and not data.class_names and not (data.palette and expanded(data.palette).exists()):
        data.class_names = tuple(saved["class_names"])


def refuse_exchanged_classes(data, saved):
    """Raises DataError if classes have exchanged their names since the checkpoint; one may be renamed.

    Runs of which only the path of the palette is known have to keep all names, since these tell the palette.

    Args:
        data: section `data` of the run's config, resolved.
        saved: as for `keep_palette`.
    """
    before, now = list(saved.get("class_names", ())), list(data.class_names)
    unknown = saved.get("palette") and not saved.get("palette_colours")
    if before != now and (unknown or sorted(before) == sorted(now)):
        raise DataError(
            f"the classes are not those of the checkpoint: {difference(before, now, 'class', 'classes')}. "
            "Restore data.palette or data.class_names, or choose another workdir"
        )
