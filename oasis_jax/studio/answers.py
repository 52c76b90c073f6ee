"""Answers to the questions of a page, independent of the transport: bytes in, a message out; and the text of errors."""
import functools
import logging

from oasis_jax.data.image_files import DataError
from oasis_jax.studio import framing
from oasis_jax.studio.framing import MAX_HEADER, FramingError
from oasis_jax.studio.image_request import MODEL_ID, SEED, class_names, id_dtype, read_request
from oasis_jax.studio.json_fields import Record
from oasis_jax.studio.opening import MAX_BYTES, open_file
from oasis_jax.studio.renderer import BusyError


class OtherModelError(ValueError):
    """A page that was opened with another model asks for an image."""


_STATUS = {OtherModelError: 409, FramingError: 400, DataError: 422, ValueError: 422, BusyError: 503}
_log = logging.getLogger(__name__)


class Answers:
    """Answers the questions of a page, with one method each. Call them in the renderer's thread, with a body (bytes) and a name.

    A method returns (header of JSON values, arrays for `framing.pack`), or raises FramingError, DataError or ValueError with one line.

    Attributes:
        longest: {question: maximum size of its body in bytes}.
    """

    def __init__(self, renderer, facts, examples, rule):
        """Takes a Renderer, a function that returns `model_facts` once it is compiled, Examples, and a FileRule or None."""
        self._renderer, self._facts, self._examples, self._rule = renderer, facts, examples, rule
        self._model = renderer.model
        maps = 0 if not class_names(self._model) else (id_dtype(self._model).itemsize + 1) * renderer.size[0] * renderer.size[1]
        self.longest = {"info": 0, "example": 0, "render": maps + MAX_HEADER + 4, "open": MAX_BYTES, "heatmaps": MAX_HEADER}

    @functools.cached_property
    def _known(self):
        """Facts that are the same before and after compilation: name, step and model_id."""
        return {name: value for name, value in self._facts().items() if name in ("name", "step", "model_id")}

    @property
    def _answering(self):
        """Says which model reads label maps, because the classes and sizes of others differ: a page refuses those of another model."""
        return {"model_id": self._known["model_id"]}

    def info(self, body=b"", name=""):
        """The facts about the model that the page needs."""
        return self._facts(), ()

    def render(self, body, name=""):
        """The photo that the body asks for, or a part of it, uint8 (height, width, 3), with height, width, top, left and exact."""
        picture = self._renderer.render(self.image(body))
        height, width, _ = picture.rgb.shape
        return {"height": height, "width": width, "top": picture.top, "left": picture.left, "exact": picture.exact}, (picture.rgb,)

    def open(self, body, name=""):
        """The image in a file: its fields and model_id, with label map and map of regions, each of which may be None."""
        header, *arrays = open_file(body, name[:200] or "the file", self._model, self._rule, self._renderer.size)
        return header | self._answering, arrays

    def example(self, body=b"", name=""):
        """The example of this name: its size, model_id, and `notice` if it was squeezed, with its label map, and its photo or None."""
        labels, photo, notice = self._examples.read(name)
        height, width = labels.shape
        header = {"name": name, "height": height, "width": width, "photo": photo is not None} | ({"notice": notice} if notice else {})
        return header | self._answering, (labels.astype(id_dtype(self._model)), photo)

    def heatmaps(self, body, name=""):
        """The heatmaps of a seed; the body is JSON such as {"seed": 0}."""
        if not self._model.spatially_aware:
            raise ValueError("this model takes no heatmaps")
        found = Record({"seed": SEED})(framing.parsed(body))
        return {"heatmaps": self._renderer.heatmaps(found["seed"]).tolist()}, ()

    def image(self, body):
        """The ImageRequest that a body describes; may be called in any thread. Raises OtherModelError if it names another model."""
        header, data = framing.unpack(body)
        asked = header.get("model_id")
        # Before anything else is checked: of another model, classes and sizes may differ too.
        if isinstance(asked, str) and 0 < len(asked) <= MODEL_ID.longest and asked != self._known["model_id"]:
            now = f"{joined(self._known['name'])}, step {self._known['step']}"
            raise OtherModelError(f"this page was opened with another model than the one that runs now ({now}): reload the page")
        return read_request(self._model, self._renderer.size, header, data)


def explained(error, log=True):
    """(HTTP status, one line for the user) for an exception that a question raised; an unexpected one is logged if `log` is set."""
    for kind, status in _STATUS.items():
        if isinstance(error, kind):
            return status, joined(error)
    if log:
        _log.error("a request failed", exc_info=error)
    return 500, f"the image cannot be computed ({type(error).__name__}): see the log of the program"


def joined(error):
    """The text of an error, joined to one line."""
    return " ".join(str(error).split())
