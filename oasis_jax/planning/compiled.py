"""Compiles a training step for a machine that need not be present, up to the assignment of memory, and reads the compiler's reports.

Code generation, which follows, takes most of the time and changes no figure, so the compiling process is ended before it.
"""
import contextlib
import dataclasses
import io
import json
import os
import pathlib
import pickle
import re
import signal
import subprocess
import sys
import tempfile
import time

import jax
from tqdm import tqdm

from oasis_jax.files import expanded
from oasis_jax.planning.child import KNOWN, REFUSED, Job
from oasis_jax.planning.costs import Cost, costs
from oasis_jax.planning.hlo import parse

# The compiler's reports: the optimised program, its memory, and the file that is written once the program is known to fit.
PROGRAM, MEMORY = "*after_optimizations.txt", "*after_optimizations-memory-usage-report.txt"
ASSIGNED = {"tpu": "*after_optimizations_after_buffer_assignment.txt", "cuda": MEMORY}
# Otherwise libtpu looks for a TPU over the network, and only one process at a time can load it.
ENVIRONMENT = {"JAX_PLATFORMS": "cpu", "TPU_SKIP_MDS_QUERY": "1", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}
LOG = "log.txt"  # what the compiling process prints
POLL = 0.3  # seconds
_TOTAL = re.compile(r"Total bytes[^:\n]*:\s*(\d+)")
_EXHAUSTED = re.compile(r"RESOURCE_EXHAUSTED:? *(.*)")


class CompilerError(Exception):
    """The compiler has failed; the message is one line of its own output."""


@dataclasses.dataclass(frozen=True)
class Compiled:
    """The compiler's figures for a step, for one chip.

    Attributes:
        memory: peak bytes of the step, including its arguments.
        complaint: why the step does not fit the memory; "" if it does.
        state: bytes of the train state.
        split: (parts of the batch, parts of the rows of an image).
        mesh, description: text about the mesh, and about how images are computed.
        costs: Costs of the instructions.
        own_count: (operations, bytes) by the compiler's own analysis (`count_as_compiler`), or None.
    """

    memory: float
    complaint: str
    state: float
    split: tuple[int, int]
    mesh: str
    description: str
    costs: tuple[Cost, ...]
    own_count: tuple[float, float] | None = None

    @property
    def fits(self):
        """True if the step fits the memory of the chip."""
        return not self.complaint


def compile_for(machine, config, keep="", which=""):
    """Compiles the step of a config for a Machine.

    Args:
        machine: Machine.
        config: ConfigDict.
        keep: folder to keep the compiler's reports in, in a subfolder `compiled`; "" deletes them.
        which: text that identifies the step among several, shown during compilation.

    Returns:
        Compiled.

    Raises:
        ValueError: fields of the config do not fit each other or the machine.
        CompilerError: the compiler fails for a reason other than lack of memory.
    """
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(expanded(keep), "compiled") if keep else pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / LOG
        for name in (LOG, REFUSED, KNOWN, "module_*"):  # of an earlier step
            for old in filter(pathlib.Path.is_file, folder.glob(name)):
                old.unlink()
        with log.open("wb") as file:
            _run(Job(config.to_dict(), machine, str(folder)), file, which)
        return read(folder, machine, log.read_text(errors="replace"))


def _run(job, log, which):
    """Runs the child process until its reports are complete or it ends by itself, then kills it."""
    command, environment = [sys.executable, "-m", "oasis_jax.planning.child"], {**os.environ, **ENVIRONMENT}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    child = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True)
    try:
        with contextlib.suppress(BrokenPipeError):
            child.stdin.write(pickle.dumps(job))
            child.stdin.flush()  # left open: the child ends when the pipe is closed, however this process ends
        doing = f"compiling for {job.machine}{which and ', '}{which}"
        with tqdm(desc=doing, bar_format="{desc}: {elapsed}", leave=False, disable=None) as progress:
            if progress.disable:  # not a terminal, so a line cannot be redrawn
                print(f"{doing}, about half a minute on an idle machine", file=sys.stderr, flush=True)
            sizes = None
            while child.poll() is None:
                time.sleep(POLL)
                progress.refresh()
                found = [_size(job.folder, pattern) for pattern in (PROGRAM, MEMORY, ASSIGNED[job.machine.chip.platform])]
                if all(found) and found == sizes:  # written, and no longer growing
                    break
                sizes = found
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)  # only the child and its own children, which have a session of their own
        child.wait()
        with contextlib.suppress(BrokenPipeError):
            child.stdin.close()


def _largest(folder, pattern):
    """The largest file of a folder that matches a pattern, or None."""
    return max(pathlib.Path(folder).glob(pattern), key=lambda path: path.stat().st_size, default=None)


def _size(folder, pattern):
    path = _largest(folder, pattern)
    return path.stat().st_size if path else 0


def read(folder, machine, log=""):
    """The Compiled of a folder with the compiler's reports; `log` is what the child printed. Errors as in `compile_for`."""
    folder = pathlib.Path(folder)
    if (folder / REFUSED).exists():
        raise ValueError((folder / REFUSED).read_text())
    program, report, assigned = (_largest(folder, pattern) for pattern in (PROGRAM, MEMORY, ASSIGNED[machine.chip.platform]))
    exhausted = _EXHAUSTED.search(log)
    if not (program and report and (assigned or exhausted)):
        raise CompilerError(_cause(log))
    memory = float(_TOTAL.search(report.read_text())[1])
    complaint = exhausted[1] if exhausted else ""
    if not complaint and memory > machine.chip.memory:
        complaint = f"{memory / 2**30:.2f} GiB exceed the {machine.chip.memory / 2**30:.2f} GiB of the chip"
    known = json.loads((folder / KNOWN).read_text())
    known["split"] = tuple(known["split"])
    text = program.read_text()
    found = tuple(costs(parse(io.StringIO(text))))
    return Compiled(memory=memory, complaint=complaint, costs=found, own_count=count_as_compiler(text), **known)


def count_as_compiler(program):
    """(operations, bytes) of a program's text by XLA's cost analysis, the values that `jax.stages.Compiled.cost_analysis` returns.

    It also counts elementwise operations, copies within the chip and branches that no step takes, and counts the body of a loop once. None
    if this version of JAX cannot do it: there is no public function for the text of a program.
    """
    try:
        from jaxlib import _hlo, _jax

        found = _jax.hlo_module_cost_analysis(jax.devices("cpu")[0].client, _hlo.hlo_module_from_text(program))
        return found["flops"], found["bytes accessed"]
    except (ImportError, AttributeError, KeyError, TypeError, RuntimeError):
        return None


def _cause(log):
    """The line of a log that most likely says why the process failed."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
    return (errors or lines or ["the compiling process ended without an error message: it may have been killed for lack of memory"])[-1]
