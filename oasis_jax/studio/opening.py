"""Reads files that users open in the page: label maps, and recipes, which describe a whole image."""
from oasis_jax import recipe_file
from oasis_jax.data.image_files import DataError, open_bytes
from oasis_jax.studio.file_rule import classes_of
from oasis_jax.studio.fitting import fitted
from oasis_jax.studio.image_request import ImageRequest, class_names, id_dtype, read_request, write_image

MAX_BYTES = 16 << 20
MAX_PIXELS = 1 << 24  # of a decoded image; a file of a few kB can declare more


def open_file(data, name, model, rule, size):
    """Reads a file, and returns its content as the parts of a message.

    Args:
        data: bytes of the file.
        name: name of the file, for messages.
        model: family.Model.
        rule: FileRule of label files; None for a model without label maps.
        size: (H, W) of the studio's images.

    Returns:
        (header, label map or None, map of regions or None). The header of a label map has height, width, and `notice` if it was squeezed;
        that of a recipe has all fields that `image_request.read_request` reads.

    Raises:
        DataError, ValueError: the file cannot be used; the message is one line that names it.
    """
    if data.lstrip()[:1] == b"{":
        return _recipe(data, name, model, size)
    if rule is None:
        raise DataError(f"{name} is no recipe.json, and this model takes no label maps")
    labels, notice = fitted(model, label_map_of(data, name, rule), size)
    header = dict(zip(("height", "width"), size, strict=True)) | ({"notice": notice} if notice else {})
    return header, labels.astype(id_dtype(model)), None


def label_map_of(data, name, rule):
    """Reads the classes of a label file: int32 (H, W).

    Args:
        data: bytes of the file.
        name: name of the file, for messages.
        rule: FileRule.

    Raises:
        DataError: `rule` cannot read the file as a label map, or it has too many pixels, which is checked before they are decoded.
    """
    file = open_bytes(data, name)
    height, width = file.size
    if height * width > MAX_PIXELS:
        raise DataError(f"{name} is {height}x{width}, but at most {MAX_PIXELS} pixels are read: downscale it by nearest neighbour")
    return classes_of(file, rule)


def _recipe(data, name, model, size):
    try:
        found = recipe_file.read(data)
        if tuple(found.class_names) != tuple(class_names(model)):
            raise ValueError(f"it is for a model of {_listed(found.class_names)}, but this one has {_listed(class_names(model))}")
        if tuple(found.image_size) != tuple(size):
            sizes = "its image is {}x{}, but this studio shows {}x{}".format(*found.image_size, *size)
            restart = ": start it with --size={}x{}".format(*found.image_size) if class_names(model) else ""
            raise ValueError(sizes + restart)
        if found.noise is not None and found.noise != getattr(model, "noise", None):
            raise ValueError(f"its noise is {found.noise}, but this studio shows noise {getattr(model, 'noise', None)}")
        header, *maps = write_image(model, ImageRequest(found.labels, found.recipe))
        read_request(model, size, header, b"".join(each.tobytes() for each in maps if each is not None))  # raises if it cannot be shown
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return header, *maps


def _listed(names):
    some = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return f"{len(names)} classes ({some})" if names else "no classes"
