"""What all commands share: the checks of their flags before they start, one-line messages, and the exit when they are interrupted."""
import contextlib
import functools
import importlib.util
import os
import sys
import warnings

import tqdm
from absl import app, flags, logging
from ml_collections import ConfigDict

from oasis_jax.buckets import refuse_unreachable
from oasis_jax.config_flag import flat
from oasis_jax.files import one_line, print_all_names
from oasis_jax.interrupts import ending_soon

# Packages that only the extras for training machines install: sampling, the studio and export need none of them.
TRAINING = ("clu", "importlib_resources", "matplotlib", "tensorboard", "tensorflow", "tensorflow_datasets")

_CACHE = "persistent compilation cache entry"
_NO_BACKEND = "Unable to initialize backend"


def run(main, name, needed=(), parse=app.parse_flags_with_usage, packages=(), reads_data=True):
    """Runs a command, and exits. Faults of the command line are reported in one line, without a traceback; so are Ctrl-C, a missing
    extra, and accelerators that cannot be used.

    Args:
        main: the function of `app.run`, argv -> None; positional arguments are refused before it is called.
        name: of the command; its messages begin with it.
        needed: names of the flags that must be given.
        parse: the flags_parser of `app.run`.
        packages: names of packages that the command imports late; a missing one is reported before anything is done.
        reads_data: whether it uses the paths in --config; those in buckets are then checked first.
    """

    def checked(argv):
        rest = parse(argv)
        if faults := list(_faults(rest[1:], needed)):
            sys.exit(f"{name}: {'; '.join(faults)}")
        logging.set_verbosity(logging.WARNING)
        logging.get_absl_handler().addFilter(_is_not_told_by_us)
        sys.unraisablehook = functools.partial(_show_unraisable, sys.unraisablehook)
        warnings.filterwarnings("ignore", module="PIL")  # we report faulty files ourselves
        warnings.showwarning = functools.partial(_show_warning, warnings.showwarning)
        print_all_names()
        return rest

    def interruptible(rest):
        if missing := [package for package in packages if not _is_installed(package)]:
            raise ModuleNotFoundError(name=missing[0])
        with ending_soon(name):
            try:
                refuse_unreachable(_values(reads_data))
            except ValueError as error:
                sys.exit(f"{name}: {error}")
            main(rest)

    _open_standard_streams()
    try:
        with needing_devices(name):
            app.run(interruptible, flags_parser=checked)
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] not in TRAINING:
            raise
        extras = "'oasis_jax[cpu]', or [cuda12], [cuda13] or [tpu]; [train] keeps the JAX that is there"
        sys.exit(f"{name}: this needs the package {error.name}, which is not installed: pip install {extras}")


@contextlib.contextmanager
def needing_devices(name):
    """Exits with one line if JAX, which finds its devices within this context, cannot use them."""
    try:
        yield
    except RuntimeError as error:
        if _NO_BACKEND not in str(error):
            raise
        sys.exit(f"{name}: JAX cannot use the accelerator of this machine: {one_line(error)}; JAX_PLATFORMS=cpu computes without it")


def _open_standard_streams():
    """Opens closed standard streams to the null device: progress bars need them, and a file that got their number would hold messages."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    sys.stdout, sys.stderr = (stream or open(os.devnull, "w") for stream in (sys.stdout, sys.stderr))


def _is_installed(package):
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # raised for a module without a spec, which counts as not installed
        return False


def _is_not_told_by_us(record):
    """Whether to show a log record: not if it is from a library whose threads log at length the errors that it raises in the end."""
    return not any(f"{os.sep}{library}{os.sep}" in record.pathname for library in ("orbax", "clu", "asyncio", "gcsfs"))


def _show_unraisable(show, unraisable):
    """Hides the error that TensorStore prints for each array that it could not write: the failed checkpoint raises its own error."""
    if not (unraisable.exc_type is RuntimeError and str(unraisable.exc_value) == "Event loop is closed"):
        show(unraisable)


def _show_warning(show, message, category, filename, *more):
    """Shows our own warnings as one line, without the location in the code."""
    if category is UserWarning and os.path.dirname(__file__) in filename:
        tqdm.tqdm.write(f"warning: {one_line(message)}", file=sys.stderr)  # above a progress bar
    elif _CACHE in str(message):  # from JAX, one for each program
        warnings.filterwarnings("ignore", f".*{_CACHE}")
        reason = one_line(str(message).partition(": ")[2])
        tqdm.tqdm.write(f"warning: compiled programs cannot be kept for the next start ({reason})", file=sys.stderr)
    else:
        show(message, category, filename, *more)


def _values(with_config):
    """{option: value} of all flags and, if `with_config`, of the fields of --config."""
    values = {name: flags.FLAGS[name].value for name in flags.FLAGS if name.partition(".")[0] != "config"}
    if with_config and "config" in flags.FLAGS and isinstance(config := flags.FLAGS["config"].value, ConfigDict):
        values |= {f"config.{name}": value for name, value in flat(config).items()}
    return {f"--{name}": value for name, value in values.items()}


def _faults(positional, needed):
    """Yields what is wrong with the flags, one sentence each."""
    if positional:
        meant = "".join(f"; did you mean --{arg}?" for arg in positional[:1] if arg.split("=")[0].split(".")[0] in flags.FLAGS)
        yield f"unknown arguments {positional}: options are written --name=value{meant}"
    for name in flags.FLAGS:
        flag = flags.FLAGS[name]
        if flag.present and isinstance(flag.value, str) and not flag.value.strip() and flag.default is None:
            yield f"--{name} is empty: give a value ({_first_sentence(flag)})"
    for name in needed:
        if flags.FLAGS[name].value is None:
            yield f"give --{name}=... ({_first_sentence(flags.FLAGS[name])})"


def _first_sentence(flag):
    return flag.help.split(". ")[0].rstrip(".")
