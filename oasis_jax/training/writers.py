"""Where a run's numbers and pictures are written: TensorBoard files in the workdir, and lines on the console."""
import tqdm
from clu import metric_writers

from oasis_jax.parallel.processes import is_first


class ConsoleWriter(metric_writers.MetricWriter):
    """Prints scalars as one line above the progress bar; everything else is left to TensorBoard."""

    def write_scalars(self, step, scalars):
        tqdm.tqdm.write(f"step {step}: " + "  ".join(f"{name} {value:.4g}" for name, value in scalars.items()))

    def _ignore(self, *_args, **_kwargs):
        pass

    write_summaries = write_images = write_videos = write_audios = write_texts = write_histograms = write_hparams = _ignore
    flush = close = _ignore


def create_writer(workdir):
    """A clu writer to TensorBoard files in the workdir and to the console; of several processes, only the first writes."""
    if not is_first():
        return metric_writers.MultiWriter([])
    return metric_writers.MultiWriter([ConsoleWriter(), metric_writers.AsyncWriter(metric_writers.SummaryWriter(str(workdir)))])
