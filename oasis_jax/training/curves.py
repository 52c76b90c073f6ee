"""The logged losses of a run, and the plot of their curves."""
import io
import json

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from oasis_jax.files import write_whole
from oasis_jax.parallel.processes import is_first

FILE = "losses.json"
SMOOTH = 0.9  # decay of the running mean


class Losses:
    """The logged losses of a run, saved in its workdir, so that the curves of a resumed run begin at its first step.

    Args:
        workdir: path of the run.
        last_step: losses after this step are dropped: a resumed run computes them again.

    Attributes:
        series: {name: {step: value}}.
    """

    def __init__(self, workdir, last_step):
        self._file = workdir / FILE
        try:
            stored = json.loads(self._file.read_bytes()) if self._file.exists() else {}
            self.series = {name: {int(s): v for s, v in values.items() if int(s) <= last_step} for name, values in stored.items()}
        except (ValueError, AttributeError):  # damaged, as after a power failure
            self.series = {}
            if is_first():
                print(f"note: {self._file} cannot be read: the loss curves begin at step {last_step}")

    def add(self, step, scalars):
        """Adds the scalars whose names begin with "loss_"."""
        for name, value in scalars.items():
            if name.startswith("loss_"):
                self.series.setdefault(name, {})[step] = value

    def save(self):
        """Writes the series; call it with every checkpoint."""
        write_whole(self._file, json.dumps(self.series).encode())

    def picture(self):
        """The curves, uint8 (H, W, 3), or None if there is nothing to draw."""
        series = {name: (list(values), list(values.values())) for name, values in self.series.items() if values}
        return loss_curve(series) if series else None


def loss_curve(series, size=(640, 320)):
    """Draws training curves over steps.

    Args:
        series: {name: (steps, values)}; non-finite values are left out.
        size: (width, height) in pixels.

    Returns:
        uint8 (height, width, 3).

    Raises:
        ValueError: no value is finite.
    """
    figure = Figure(figsize=(size[0] / 100, size[1] / 100), dpi=100, layout="constrained")
    axes = figure.subplots()
    for rank, (name, points) in enumerate(series.items()):
        steps, values = (array[np.isfinite(points).all(0)] for array in np.array(points, np.float64))
        if len(steps):
            axes.plot(steps, values, color=f"C{rank}", alpha=0.3, linewidth=1)
            axes.plot(steps, _smoothed(values), color=f"C{rank}", label=name)
    if not axes.lines:
        raise ValueError(f"no finite value to draw in the series {sorted(series)}")
    axes.set_xlabel("step")
    axes.legend(loc="upper right", fontsize="small")
    axes.grid(alpha=0.3)
    encoded = io.BytesIO()
    figure.savefig(encoded, format="png")
    with Image.open(encoded) as image:
        return np.asarray(image.convert("RGB"))


def _smoothed(values):
    mean = values.copy()
    for i in range(1, len(mean)):
        mean[i] = SMOOTH * mean[i - 1] + (1 - SMOOTH) * mean[i]
    return mean
