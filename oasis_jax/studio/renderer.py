"""The only thread that computes images. Programs are compiled before anybody paints, and requests that were cancelled are skipped."""
import concurrent.futures
import dataclasses
import threading
import time

import numpy as np

from oasis_jax import sampling
from oasis_jax.family import find_family
from oasis_jax.heatmaps import of_seed
from oasis_jax.noise import Regions
from oasis_jax.recipes import Recipe
from oasis_jax.studio.image_request import ImageRequest, class_names

SLOW_SECONDS = 0.15  # if an exact image takes longer, the page gets previews
MAX_WAITING = 256  # requests; a page sends one at a time


class BusyError(RuntimeError):
    """Too many requests are waiting."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """An image, or a part of it.

    Attributes:
        rgb: uint8 (h, w, 3).
        top, left: position of its first pixel in the image.
        exact: whether it is the whole image, as computed by the model's `images`.
    """

    rgb: np.ndarray
    top: int = 0
    left: int = 0
    exact: bool = True


class Renderer:
    """Computes the images of a model, one at a time, in its own thread.

    Attributes:
        model: family.Model.
        size: (H, W) of the images.
        previews: the family's `Previews` of the model, or None if exact images are fast or the family has no previews.
    """

    def __init__(self, model, size):
        self.model, self.size, self.previews = model, tuple(size), None
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "renderer")
        self._room = threading.BoundedSemaphore(MAX_WAITING)

    def submit(self, function, *args):
        """Runs function(*args) in the thread and returns a `concurrent.futures.Future`; if cancelled before its turn, it is skipped.

        Raises:
            BusyError: MAX_WAITING requests are waiting already.
        """
        if not self._room.acquire(blocking=False):
            raise BusyError(f"{MAX_WAITING} requests are waiting already: try again in a moment")
        future = self._thread.submit(function, *args)
        future.add_done_callback(lambda _: self._room.release())
        return future

    def close(self):
        """Cancels all calls that have not started, without waiting for the one that is running."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def render(self, request):
        """The Picture for an ImageRequest. If it has a box, only a part around the box, if that is faster. To be called in the thread."""
        inputs = self._inputs(request)
        if self.previews is None:
            return Picture(self.model.images(inputs)[0])
        if request.box:
            part = self.previews.part(request.tab, inputs, request.box)
            if part is not None:
                return Picture(*part, exact=False)
        return Picture(self.previews.image(request.tab, inputs))

    def heatmaps(self, seed):
        """The heatmaps (7, 3) of a seed. To be called in the thread."""
        return of_seed(seed)

    def compile(self, say=lambda line: None):
        """Compiles every program that a request can need, in the thread, and measures whether previews pay off.

        Args:
            say: called with a line of text for each step.
        """
        self.begin(say).result()

    def begin(self, say=lambda line: None):
        """Starts `compile` and returns its `concurrent.futures.Future`; calls that are submitted later run after it."""
        return self._thread.submit(self._compile, say)

    def _compile(self, say):
        of_family = getattr(find_family(self.model.config), "previews", lambda model, size: None)
        self.previews = of_family(self.model, self.size)
        seconds = self._compile_images(say)
        if self.previews is not None and seconds <= SLOW_SECONDS:
            self.previews = None
            self._compile_images(say)
        if self.previews is not None:
            say(f"an image takes {seconds:.1f} s: compiling previews ...")
            self.previews.compile(self._inputs(next(self._kinds())))
        if self.model.spatially_aware:
            self.heatmaps(0)

    def _compile_images(self, say):
        """Computes an image of each kind, and returns the seconds that the first takes once its program is compiled."""
        requests = list(self._kinds())
        for number, request in enumerate(requests, 1):
            say("compiling for {}x{} ({} of {}) ...".format(*self.size, number, len(requests)))
            self.render(request)
        start = time.perf_counter()
        self.render(requests[0])
        return time.perf_counter() - start

    def _inputs(self, request):
        batch = {} if request.labels is None else {"label_map": request.labels[None]}
        recipes = [request.recipe]
        if rows := getattr(self.model, "num_styles", 0):  # a second recipe with all style seeds fixes the shapes of the inputs
            recipes.append(Recipe(0, style_seeds={row: row for row in range(rows)}))
            batch = {name: np.repeat(column, 2, axis=0) for name, column in batch.items()}
        return sampling.example(self.model.inputs(recipes, batch), 0)

    def _kinds(self):
        """Yields a request for each program: noise by image, by class and by region, on a uniform label map and on one of random pixels."""
        if not class_names(self.model):
            yield ImageRequest(None, Recipe(0))
            return
        labels, speckle = np.zeros(self.size, np.uint8), np.random.default_rng(0).integers(min(self.model.num_classes, 2), size=self.size)
        regions = np.zeros(self.size, np.uint8)
        regions[0, 0] = 1
        recipes = [Recipe(0)]
        if self.model.has_noise:
            recipes += [Recipe(0, class_seeds={0: 1}), Recipe(0, end=(1, {}), t=0.5, regions=Regions(regions, (1,)))]
        for of_pixels in (labels, speckle.astype(np.uint8)):
            yield from (ImageRequest(of_pixels, recipe) for recipe in recipes)
