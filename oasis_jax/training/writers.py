"""Where a run's numbers and pictures are written: TensorBoard files in the workdir, and lines on the console."""
import concurrent.futures
import pathlib
import tempfile

import tqdm
from absl import logging
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


class BucketWriter(metric_writers.SummaryWriter):
    """Writes TensorBoard files to a bucket, whose objects cannot be appended to: what each flush uploads is a file of its own.

    Args:
        folder: path in a bucket.
    """

    def __init__(self, folder):
        self._folder, self._local = folder, tempfile.TemporaryDirectory()
        self._uploader = concurrent.futures.ThreadPoolExecutor(1)
        super().__init__(self._local.name)

    def flush(self):
        self._start_upload()
        super().__init__(self._local.name)

    def close(self):
        self._start_upload()
        self._uploader.shutdown()
        self._local.cleanup()

    def finish_uploads(self):
        """Waits until all that was flushed has been uploaded."""
        self._uploader.submit(lambda: None).result()

    def _start_upload(self):
        super().close()
        self._uploader.submit(self._upload, list(pathlib.Path(self._local.name).iterdir()))  # training does not wait for the network

    def _upload(self, files):
        for file in filter(pathlib.Path.exists, files):
            try:
                (self._folder / file.name).write_bytes(file.read_bytes())
                file.unlink()
            except Exception as error:  # it is tried again with the next files: a log is not worth the run
                logging.warning("could not write %s to %s: %s", file.name, self._folder, error)


def create_writer(workdir):
    """A clu writer to TensorBoard files in the workdir and to the console; of several processes, only the first writes."""
    if not is_first():
        return metric_writers.MultiWriter([])
    to_files = BucketWriter(workdir) if "://" in str(workdir) else metric_writers.SummaryWriter(str(workdir))
    return metric_writers.MultiWriter([ConsoleWriter(), metric_writers.AsyncWriter(to_files)])
