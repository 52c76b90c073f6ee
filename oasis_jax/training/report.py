"""Where a run's numbers and pictures go: TensorBoard files in the workdir, and lines on the console that spare the progress bar."""
import tqdm
from clu import metric_writers
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util


class ConsoleWriter(metric_writers.MetricWriter):
    """Prints scalars as one line; everything else is for TensorBoard."""

    def write_scalars(self, step, scalars):
        tqdm.tqdm.write(f"step {step}: " + "  ".join(f"{name} {value:.4g}" for name, value in scalars.items()))

    def _ignore(self, *_args, **_kwargs):
        pass

    write_summaries = write_images = write_videos = write_audios = write_texts = write_histograms = write_hparams = _ignore
    flush = close = _ignore


def create_writer(workdir):
    """A clu writer to TensorBoard files in the workdir and to the console."""
    return metric_writers.MultiWriter([ConsoleWriter(), metric_writers.AsyncWriter(metric_writers.SummaryWriter(str(workdir)))])


def loss_series(workdir):
    """The losses in a run's TensorBoard files: {name: (steps, values)}. Of a step done twice, after a resume, the later value counts."""
    events = EventAccumulator(str(workdir), size_guidance={"tensors": 0}).Reload()
    series = {}
    for name in sorted(tag for tag in events.Tags()["tensors"] if tag.startswith("loss_")):
        values = {event.step: float(tensor_util.make_ndarray(event.tensor_proto)) for event in events.Tensors(name)}
        series[name] = zip(*sorted(values.items()), strict=True)
    return {name: tuple(pair) for name, pair in series.items()}
