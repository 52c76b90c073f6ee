"""Laws of the workdir: one run at a time uses it, a dead run does not block it, and errors name the process that uses it."""
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import jax
import pytest
from etils import epath

from oasis_jax.files import write_whole
from oasis_jax.training.workdir import COMPILED, LOCK, NOTE, Lease, claimed, keep_compiled

BEAT = 0.2
CLAIM = f"""
import sys, time
from etils import epath
from oasis_jax.training.workdir import Lease, Lock
folder = epath.Path(sys.argv[2])
claim = Lock(folder) if sys.argv[1] == "lock" else Lease(folder / "{NOTE}", {BEAT})
assert claim.acquire() is None
print("claimed", flush=True)
time.sleep(60)
"""


def claiming_process(kind, folder):
    process = subprocess.Popen([sys.executable, "-c", CLAIM, kind, folder], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "claimed\n"
    return process


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_second_run_is_refused_and_told_who_uses_the_workdir(tmp_path):
    other = claiming_process("lock", tmp_path)
    with pytest.raises(ValueError, match=f"{tmp_path} is in use by process {other.pid} on .*, since .*: stop that run first"):
        with claimed(tmp_path):
            raise AssertionError("claimed twice")
    assert (tmp_path / NOTE).exists()  # the refused run deletes nothing
    kill(other)
    with claimed(tmp_path) as path:
        assert path == epath.Path(tmp_path) and json.loads((tmp_path / NOTE).read_text())["pid"] == os.getpid()
    assert {file.name for file in tmp_path.iterdir()} <= {LOCK}


def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot write to the workdir .*file/run .*choose another --workdir"):
        with claimed(tmp_path / "file" / "run"):
            raise AssertionError("claimed")


def test_lease_is_refused_while_it_is_renewed_and_taken_over_when_its_run_is_dead(tmp_path, capsys):
    other, note = claiming_process("lease", tmp_path), epath.Path(tmp_path / NOTE)
    assert Lease(note, BEAT).acquire()["pid"] == other.pid
    kill(other)
    began, lease = time.monotonic(), Lease(note, BEAT)
    assert lease.acquire() is None and 3 * BEAT <= time.monotonic() - began < 20 * BEAT
    assert capsys.readouterr().out.count(f"in use by process {other.pid} on ") == 2
    assert json.loads(note.read_text())["pid"] == os.getpid()
    lease.release()
    assert not note.exists()


def test_a_run_whose_lease_was_taken_over_is_told_and_touches_it_no_more(tmp_path):
    note, told, arrived = epath.Path(tmp_path / NOTE), [], threading.Event()
    lease = Lease(note, BEAT, lost=lambda message: (told.append(message), arrived.set()))
    assert lease.acquire() is None
    other = json.dumps({"id": "another", "pid": 5, "host": "b", "since": "noon", "renewed": 1})
    for _ in range(20):  # the lease may be renewed at the same moment
        write_whole(note, other.encode())
        if arrived.wait(2 * BEAT):
            break
    assert told[0].startswith(f"process 5 on b, since noon has taken over {tmp_path}, ")
    time.sleep(2 * BEAT)
    lease.release()
    assert note.read_text() == other and len(told) == 1


def test_a_run_that_has_lost_its_workdir_ends():
    source = "import threading\nfrom oasis_jax.training.workdir import Lease\nimport time\n"
    source += "threading.Thread(target=Lease(None).lost, args=('b has taken over',)).start()\ntime.sleep(60)\nprint('still here')"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "error: b has taken over\n")


def test_of_two_runs_that_start_at_once_one_gets_the_lease(tmp_path, monkeypatch):
    def write_as_to_a_bucket(path, data):
        partial = path.parent / f"{threading.get_ident()}.partial"  # on a disk, both would write to one partial file
        partial.write_bytes(data)
        partial.replace(path)

    monkeypatch.setattr("oasis_jax.training.workdir.write_whole", write_as_to_a_bucket)
    leases = [Lease(epath.Path(tmp_path / NOTE), beat=3) for _ in range(2)]
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(Lease.acquire, leases))
    winner, loser = sorted(range(2), key=lambda i: found[i] is not None)
    assert found[winner] is None and found[loser]["pid"] == os.getpid()
    leases[winner].release()


@pytest.mark.parametrize("content", ["", "[1]", "{}"])
def test_damaged_note_is_that_of_another_run(tmp_path, capsys, content):
    note = epath.Path(tmp_path / NOTE)
    note.write_text(content)
    began, lease = time.monotonic(), Lease(note, BEAT)
    assert lease.acquire() is None and time.monotonic() - began >= 3 * BEAT  # it waited for that run to renew the note
    assert "in use by another run" in capsys.readouterr().out
    lease.release()


def test_compiled_programs_are_kept_in_the_workdir_unless_another_folder_is_named(tmp_path):
    fields = "jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs"
    before = {field: getattr(jax.config, field) for field in fields}
    try:
        jax.config.update(fields[0], None)
        keep_compiled(epath.Path(tmp_path / "run"))
        assert jax.config.jax_compilation_cache_dir == str(tmp_path / "run" / COMPILED)
        keep_compiled(epath.Path(tmp_path / "other"))
        assert jax.config.jax_compilation_cache_dir == str(tmp_path / "run" / COMPILED)
    finally:
        for field, value in before.items():
            jax.config.update(field, value)
