"""What users see of the commands, run in separate processes: help, one line that says what is wrong, and nothing from libraries."""
import functools
import logging
import os
import pathlib
import re
import socket
import subprocess
import sys
import types
import warnings

import pytest

from oasis_jax import command_line, main

ROOT = pathlib.Path(__file__).parents[1]
COMMANDS = ("main", "sample", "evaluate", "convert", "plan")


def started(command, *args):
    """The finished process of a command."""
    line = [sys.executable, "-m", f"oasis_jax.{command}", *map(str, args)]
    return subprocess.run(line, capture_output=True, text=True, cwd=ROOT, env=os.environ | {"JAX_PLATFORMS": "cpu"})


@pytest.mark.parametrize("command", COMMANDS)
def test_help_lists_the_config_with_an_example(command):
    printed = " ".join(started(command, "--help").stdout.split())
    assert re.search(r"--config: .*--config\.SECTION\.FIELD=VALUE overrides a field, such as --config\.\w+", printed)
    assert "Traceback" not in printed


@pytest.mark.parametrize(
    "command, args, told",
    [
        ("main", ["--config=configs/scenes.py", "--workdir=", "config.seed=1"], "unknown .* mean --config.seed=1.*; --workdir is empty"),
        ("main", [], "give --config=.*; give --workdir="),
        ("main", ["--config=configs/scenes.py", "--workdir= "], "--workdir is empty"),
        ("main", ["--config=configs/scenes.py", "--workdir=http://x/y"], "http://x/y is neither on a disk nor in a bucket"),
        ("evaluate", ["--checkpoint=http://x/y"], "http://x/y is neither on a disk nor in a bucket"),
        ("sample", ["--checkpoint=RUN", "--labels=", "--output=x"], "--labels is empty"),
        ("sample", ["runs/scenes"], "unknown arguments .*; give --checkpoint=.*; give --output="),
        ("sample", ["--config.model.z_dim=1"], "no such field; did you mean --config.data.label_map or .*offset or .*palette"),
        ("evaluate", [], "nothing to evaluate: give --checkpoint=RUN, or --images=DIR with --config=FILE"),
        ("evaluate", ["--checkpoint="], "nothing to evaluate"),
        ("evaluate", ["--images=tests", "--output=x"], "--images needs --config=FILE"),
        ("evaluate", ["--config=configs/scenes.py", "--images=tests", "x"], "unknown arguments"),
        ("convert", ["--config=configs/scenes.py", "x"], "unknown arguments .*; give --output="),
        ("plan", ["--config=configs/scenes.py", "x"], "unknown arguments .*; give --topology="),
        ("plan", ["--config=configs/scenes.py", "--topology=v5e:2x4", "--batches=8"], "--batches and --best are for --search alone"),
        ("plan", ["--config=configs/scenes.py", "--topology=v5e:2x4", "--best=2"], "--batches and --best are for --search alone"),
        ("plan", ["--config=configs/cityscapes.py", "--topology=v5e:2x4", "--config.train.batch_size=0"], "train.batch_size=0 is not"),
        ("plan", ["--config=configs/cityscapes.py", "--topology=v5e:2x4", "--keep=README.md/x"], "cannot write to .*README.md/x .*--keep"),
        ("sample", ["--recipe=none.json", "--output=x"], "sample: none.json cannot be read .*: name a recipe.json"),
        ("export", ["--checkpoint=RUN", "x"], "unknown arguments .*; give --format=.*; give --output="),
    ],
)
def test_what_is_wrong_is_told_in_one_line(command, args, told):
    done = started(command, *args)
    (line,) = done.stderr.splitlines()  # nothing from TensorFlow, oneDNN, absl or XLA
    assert done.returncode == 1 and not done.stdout and re.search(told, line)


@pytest.mark.parametrize("command, asks", [("plan", False), ("main", True)])
def test_the_bucket_of_the_data_is_asked_for_where_data_are_read(monkeypatch, command, asks):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # nobody listens
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"127.0.0.1:{unused.getsockname()[1]}")
        more = "--topology=none" if command == "plan" else "--workdir=tests/conftest.py"
        done = started(command, "--config=configs/cityscapes.py", "--config.data.root=gs://bucket/data", more)
    told = "--config.data.root=gs://bucket/data cannot be reached" if asks else "topology"
    assert done.returncode == 1 and told in done.stderr and ("gs://" in done.stderr) == asks


def test_fields_that_are_wrong_are_told_before_anything_else(tmp_path):
    """TensorFlow has been imported by then, and prints nothing."""
    fields = ["--config.eval.batch_size=0", "--config.seed=1099511627776"]
    done = started("main", "--config=configs/scenes.py", f"--workdir={tmp_path}", *fields)
    header, *lines = done.stderr.splitlines()
    assert done.returncode == 1 and not done.stdout
    assert header == "error: 2 fields of the config are wrong:"
    assert [line.split("=")[0].strip() for line in lines] == ["seed", "eval.batch_size"]


WARNING = r"""
import warnings
from oasis_jax import command_line, files

def main(_):
    exec(compile("warnings.warn('ours: a\\nb')", files.__file__, "exec"))
    exec("import warnings; warnings.warn('theirs')", {"__name__": "PIL.Image"})

command_line.run(main, "x")
"""


def test_a_warning_is_one_line_of_ours_and_those_of_the_image_library_are_silent():
    done = subprocess.run([sys.executable, "-c", WARNING], capture_output=True, text=True, cwd=ROOT)
    assert done.stderr.splitlines() == [r"warning: ours: a\nb"] and not done.stdout and done.returncode == 0


CLOSED = """
import os, sys, tqdm
from oasis_jax import command_line

def main(_):
    print("nobody hears it", flush=True)
    list(tqdm.tqdm(range(2)))
    os._exit(min(os.open(os.devnull, os.O_RDONLY), 3))  # no file gets the number of a standard stream

command_line.run(main, "x")
"""


def test_a_command_whose_standard_streams_are_closed_runs():
    command = ["sh", "-c", '"$0" -c "$1" <&- >&- 2>&-', sys.executable, CLOSED]
    assert subprocess.run(command, cwd=ROOT).returncode == 3


@pytest.mark.parametrize("command", ["sample", "evaluate"])
def test_an_accelerator_that_is_not_there_is_told_in_one_line(command):
    line = [sys.executable, "-m", f"oasis_jax.{command}", "--checkpoint=scenes", "--output=none"]
    done = subprocess.run(line, capture_output=True, text=True, cwd=ROOT, env=os.environ | {"JAX_PLATFORMS": "nonsense"})
    assert done.returncode == 1 and not done.stdout
    assert re.fullmatch(rf"{command}: JAX cannot use .*Unable to initialize backend 'nonsense'.*JAX_PLATFORMS=cpu .*\n", done.stderr)


def test_a_cache_that_cannot_be_used_is_told_once(monkeypatch, capsys):
    with warnings.catch_warnings():
        monkeypatch.setattr(warnings, "showwarning", functools.partial(command_line._show_warning, warnings.showwarning))
        warnings.simplefilter("always")
        for program in ("jit_a", "jit_b"):
            warnings.warn(f"Error reading persistent compilation cache entry for '{program}': OSError: no folder", stacklevel=1)
    assert capsys.readouterr().err == "warning: compiled programs cannot be kept for the next start (OSError: no folder)\n"


@pytest.mark.parametrize("library, told", [("orbax/checkpoint/a.py", False), ("clu/asynclib.py", False), ("oasis_jax/checkpoint.py", True)])
def test_what_libraries_log_of_a_failure_that_they_raise_is_left_out(library, told):
    record = logging.LogRecord("absl", logging.ERROR, f"/site-packages/{library}", 1, "no space", (), None)
    assert command_line._is_not_told_by_us(record) == told


@pytest.mark.parametrize("error, told", [(RuntimeError("Event loop is closed"), False), (RuntimeError("other"), True)])
def test_what_no_code_can_catch_is_shown_unless_it_follows_from_an_error_that_is_told(error, told):
    shown, unraisable = [], types.SimpleNamespace(exc_type=type(error), exc_value=error)
    command_line._show_unraisable(shown.append, unraisable)
    assert bool(shown) == told


@pytest.mark.parametrize("place", ["training.setup.set_up", "training.loop.train"])
def test_a_disk_that_is_full_is_told_in_one_line(monkeypatch, capsys, tmp_path, place):
    def fail(*_, **__):
        raise OSError(28, "No space left on device", "losses.png")

    monkeypatch.setattr("oasis_jax.parallel.processes.join", lambda **_: None)
    monkeypatch.setattr("oasis_jax.training.setup.set_up", lambda *_: None)
    monkeypatch.setattr(f"oasis_jax.{place}", fail)
    monkeypatch.setattr("oasis_jax.training.kept_step.KeptStep", lambda _: None)
    monkeypatch.setattr("oasis_jax.training.setup.check_before_writing", lambda *_: None)
    monkeypatch.setattr("oasis_jax.training.workdir.keep_compiled", lambda _: None)
    monkeypatch.setattr(main.flags, "FLAGS", types.SimpleNamespace(config=None))
    monkeypatch.setattr(main, "_WORKDIR", types.SimpleNamespace(value=str(tmp_path)))
    with pytest.raises(SystemExit) as ended:
        main.main([])
    said = f"{ended.value.code}{capsys.readouterr().err}"
    assert "error: [Errno 28] No space left on device: 'losses.png': make room there" in said and "Traceback" not in said
