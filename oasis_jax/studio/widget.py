"""The studio in a cell of a notebook: the same page, which exchanges messages with the kernel.

    from oasis_jax.studio.widget import studio
    painted = studio("scenes")
    painted

After painting, `painted.labels`, `painted.recipe` and `painted.photo` are what the cell shows. Requires
pip install 'oasis_jax[notebook]'. `oasis_jax.studio.frame` shows the studio in notebooks that cannot show widgets.
"""
import functools

import numpy as np
import traitlets

from oasis_jax.recipes import Recipe
from oasis_jax.studio import assets, framing
from oasis_jax.studio.answers import Answers, explained, joined
from oasis_jax.studio.beginning import begin_with, digest
from oasis_jax.studio.image_request import ImageRequest, class_names
from oasis_jax.studio.renderer import Renderer

try:
    import anywidget
except ImportError as error:
    raise ImportError("the studio in a cell needs anywidget: pip install 'oasis_jax[notebook]'", name=error.name) from None

HEIGHT = 640  # of a cell, in pixels
_LONGEST = 100  # characters of the name of a view or the number of a question


def studio(model="scenes", labels=None, size=None, best=False, height=HEIGHT):
    """The studio as a widget, which a notebook shows if it is the last value of a cell.

    The browser stores what is painted, and restores it in a studio of the same model and the same `labels`. The kernel only answers while
    no cell is running.

    Args:
        model: a run, the folder of a checkpoint or a packed model, the name of a model in the package, or what `oasis_jax.load` returns.
        labels: label maps to begin with: a label file, a folder of them or a pattern; or integer classes (H, W) or (B, H, W). By default
            procedural scenes, if the model was trained on them.
        size: (H, W) of the images; by default that of the training images.
        best: take the best checkpoint of a run, not the latest.
        height: height of the cell in pixels.

    Returns:
        A `Studio`.

    Raises:
        CheckpointError: there is no such checkpoint.
        DataError, ValueError: labels or size do not fit the model.
    """
    return Studio(begin_with(model, labels, size, best), digest(labels), height=height)


class Studio(anywidget.AnyWidget):
    """A studio in a cell. Its renderer stops when the last view is closed, and starts again with the next view; close() removes the studio.

    Attributes:
        model: family.Model.
        height: height of the cell in pixels.
    """

    _esm = assets.module("widget.js").replace("\nexport { render };", "\nexport default { render };")  # the form that anywidget requires
    _css = assets.files()["studio.css"][1].decode()
    height = traitlets.Int(HEIGHT, min=240).tag(sync=True)

    def __init__(self, begun, beginning="", **options):
        """Takes a Beginning, and a text that identifies the work that starts from it."""
        super().__init__(**options)
        self._begun, self._beginning, self.model = begun, beginning, begun.model
        self._renderer = self._answers = None
        self._views, self._asked, self._logged = set(), {}, set()
        self._image = None  # ImageRequest, or an error message if there is none
        self.on_msg(self._heard)

    @property
    def labels(self):
        """The label map that the cell shows, integer (H, W), initially the first example; None for a model without label maps."""
        return self._painted().labels

    @property
    def recipe(self):
        """The Recipe of the image: seeds, regions, heatmaps; before the cell is shown, that of seed 0."""
        return self._painted().recipe

    @property
    def photo(self):
        """The photo, uint8 (H, W, 3), identical to that of `model.images` for labels and recipe."""
        return Renderer(self.model, self._begun.size).render(self._painted()).rgb

    def close(self):
        """Removes the studio from its cell, and stops its renderer."""
        super().close()
        self._free()

    def _painted(self):
        if isinstance(self._image, str):
            raise ValueError(self._image)
        if self._image is None:
            examples, labels = self._begun.examples, None
            if class_names(self.model):
                labels = examples.read(examples.names[0])[0] if examples.names else np.zeros(self._begun.size, np.uint8)
            self._image = ImageRequest(labels, Recipe(0))
        return self._image

    def _heard(self, _, content, buffers):
        """Handles a message of a view; messages that do not have the form of `widget.js` are ignored."""
        if not isinstance(content, dict) or not isinstance(view := content.get("view"), str) or len(view) > _LONGEST:
            return
        body = bytes(buffers[0]) if buffers else b""
        if content.get("closed"):
            self._views.discard(view)
            if not self._views:
                self._free()
        elif content.get("settled"):
            self._settle(body)
        elif "leave_out" in content:
            future = self._asked.get(content["leave_out"]) if isinstance(content["leave_out"], str) else None
            if future:
                future.cancel()
        elif isinstance(content.get("number"), str) and len(content["number"]) <= _LONGEST:
            self._views.add(view)
            self._answer(content["number"], content.get("ask"), body, content.get("name"))

    def _settle(self, body):
        """Stores the image that a view shows now."""
        if self._answers is None:
            return
        try:
            self._image = self._answers.image(body)
        except ValueError as error:
            self._image = f"the image in the studio cannot be computed: {joined(error)}"

    def _answer(self, number, question, body, name):
        """Submits a question to the renderer's thread."""
        try:
            self._start()
            if not isinstance(question, str) or question not in self._answers.longest:
                raise ValueError(f"there is no question {str(question)[:_LONGEST]!r}")
            if len(body) > self._answers.longest[question]:
                raise ValueError(f"the message is larger than {self._answers.longest[question]:,} bytes, the limit for this question")
            work = getattr(self._answers, question)
            future = self._renderer.submit(work, body, name if isinstance(name, str) else "")
        except Exception as error:
            self._say(number, error)
            return
        self._asked[number] = future
        future.add_done_callback(functools.partial(self._done, number))

    def _done(self, number, future):
        """Sends an answer, from the renderer's thread."""
        self._asked.pop(number, None)
        if future.cancelled():
            return
        if error := future.exception():
            self._say(number, error)
            return
        header, arrays = future.result()
        self._send_if_open({"number": number}, [framing.pack(header, *arrays)])

    def _say(self, number, error):
        known = type(error) in self._logged  # logged once, because each stroke would repeat it
        self._logged.add(type(error))
        self._send_if_open({"number": number, "error": explained(error, log=not known)[1]})

    def _send_if_open(self, content, buffers=None):
        if self.comm is not None:
            self.send(content, buffers)

    def _start(self):
        """Starts a renderer, unless there is one; questions wait in its thread until everything is compiled."""
        if self._renderer is None:
            self._renderer = Renderer(self.model, self._begun.size)
            renderer, begun = self._renderer, self._begun
            facts = {"beginning": self._beginning}
            self._answers = Answers(renderer, lambda: begun.facts(renderer) | facts, begun.examples, begun.file_rule)
            renderer.begin(lambda line: self._send_if_open({"progress": line}))

    def _free(self):
        if self._renderer is not None:
            self._renderer.close()
        self._renderer = self._answers = None
