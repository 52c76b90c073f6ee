"""Writers of a run's scalars and images: to TensorBoard files and PNG files in the workdir, and to the console."""
import concurrent.futures
import contextlib
import pathlib
import re
import tempfile
import warnings

import tqdm
from absl import logging
from clu import metric_writers

from oasis_jax.files import one_line
from oasis_jax.parallel.processes import is_first
from oasis_jax.pictures import save_png
from oasis_jax.training.curves import FILE


class _Ignoring(metric_writers.MetricWriter):
    """Ignores everything that a subclass does not override."""

    def _ignore(self, *_args, **_kwargs):
        pass

    write_scalars = write_images = _ignore
    write_summaries = write_videos = write_audios = write_texts = write_histograms = write_hparams = _ignore
    flush = close = _ignore


class ConsoleWriter(_Ignoring):
    """Prints scalars as one line above the progress bar."""

    def write_scalars(self, step, scalars):
        tqdm.tqdm.write(f"step {step}: " + "  ".join(f"{name} {value:.4g}" for name, value in scalars.items()))


class PngWriter(_Ignoring):
    """Writes images as NAME/step_0000000.png. If one cannot be written, it warns, and the next one is tried again.

    Args:
        folder: path that the folders NAME are created in.
    """

    def __init__(self, folder):
        self._folder = folder

    def write_images(self, step, images):
        for name, (image,) in images.items():
            try:
                save_png(self._folder / name / f"step_{step:07d}.png", image)
            except Exception as error:  # a failed picture must not end the run
                reason = one_line(str(error))
                warnings.warn(f"the picture of {name} at step {step} cannot be written: {reason}; training continues", stacklevel=1)


class BucketWriter(metric_writers.SummaryWriter):
    """Writes TensorBoard files to a bucket, whose objects cannot be appended to: each flush uploads a new file.

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
        """Waits until everything that was flushed has been uploaded."""
        self._uploader.submit(lambda: None).result()

    def _start_upload(self):
        super().close()
        self._uploader.submit(self._upload, list(pathlib.Path(self._local.name).iterdir()))  # training does not wait for the network

    def _upload(self, files):
        for file in filter(pathlib.Path.exists, files):
            try:
                (self._folder / file.name).write_bytes(file.read_bytes())
                file.unlink()
            except Exception as error:  # retried with the next files: a failed log must not end the run
                logging.warning("could not write %s to %s: %s", file.name, self._folder, error)


def _guarded(name):
    """Makes the DispensableWriter method of this name, which forwards to the writer."""

    def write(self, *args, **kwargs):
        if self._writer is not None:
            with self._giving_up():
                getattr(self._writer, name)(*args, **kwargs)

    return write


class DispensableWriter(metric_writers.MetricWriter):
    """Writes TensorBoard files until one cannot be written, then warns once and drops the rest: a failed log must not end the run.

    Args:
        folder: path that the warning names.
        create: () -> the writer to wrap.
    """

    def __init__(self, folder, create):
        self._folder, self._writer = folder, None
        with self._giving_up():
            self._writer = create()

    write_summaries, write_scalars, write_images = map(_guarded, ("write_summaries", "write_scalars", "write_images"))
    write_videos, write_audios, write_texts = map(_guarded, ("write_videos", "write_audios", "write_texts"))
    write_histograms, write_hparams = map(_guarded, ("write_histograms", "write_hparams"))
    flush, close = map(_guarded, ("flush", "close"))

    @contextlib.contextmanager
    def _giving_up(self):
        try:
            yield
        except Exception as error:
            writer, self._writer = self._writer, None
            with contextlib.suppress(Exception):
                writer.close()
            text = re.sub(r"\{\{.*?\}\}|\[Op:.*", "", str(error))  # TensorFlow's names of operations
            reason = text.strip().partition("\n")[0]
            warnings.warn(
                f"TensorBoard files in {self._folder} cannot be written ({reason}): training continues without them, and {FILE} there "
                "keeps the losses. Free some space, or correct the permissions; the next start of the same command writes them again",
                stacklevel=1,
            )


def create_writer(workdir):
    """A clu writer to the console and, asynchronously, to files in the workdir; with several processes, only the first writes."""
    if not is_first():
        return metric_writers.MultiWriter([])
    create = BucketWriter if "://" in str(workdir) else lambda folder: metric_writers.SummaryWriter(str(folder))
    to_files = [DispensableWriter(workdir, lambda: create(workdir)), PngWriter(workdir)]
    return metric_writers.MultiWriter([ConsoleWriter(), metric_writers.AsyncMultiWriter(to_files)])
