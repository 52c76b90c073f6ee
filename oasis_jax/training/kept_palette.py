"""The palette of a resumed run: it stays the one that the run began with, wherever the palette file is now."""
from oasis_jax.data.labels import DataError
from oasis_jax.data.palette import difference
from oasis_jax.files import expanded


def keep_palette(data, saved):
    """Sets the palette colours of a config to those of the run, and the class names too if the palette file is gone.

    A palette file that exists must hold the same colours, which is checked when it is read.

    Args:
        data: section `data` of the run's ConfigDict; changed in place.
        saved: section `data` of the config in the newest checkpoint, a dict. Older checkpoints lack `palette_colours`.

    Raises:
        DataError: the config has a palette, but the run began without one.
    """
    held = tuple(saved.get("palette_colours", ()))
    if not held and not saved.get("palette") and data.palette:
        raise DataError(
            f"data.palette is {data.palette}, but the run began without one: leave it empty (--config.data.palette=), "
            "or choose another workdir"
        )
    data.palette_colours = held
    if held and not data.class_names and not (data.palette and expanded(data.palette).exists()):
        data.class_names = tuple(saved["class_names"])


def refuse_exchanged_classes(data, saved):
    """Raises DataError if classes have exchanged their names since the checkpoint; renaming a class is allowed.

    If the checkpoint holds only the path of the palette, not its colours, no name may change: only the names identify the palette.

    Args:
        data: section `data` of the run's config, with the label fields resolved.
        saved: as for `keep_palette`.
    """
    before, now = list(saved.get("class_names", ())), list(data.class_names)
    unknown = saved.get("palette") and not saved.get("palette_colours")
    if before != now and (unknown or sorted(before) == sorted(now)):
        raise DataError(
            f"the classes are not those of the checkpoint: {difference(before, now, 'class', 'classes')}. "
            "Restore data.palette or data.class_names, or choose another workdir"
        )
