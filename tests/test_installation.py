"""What is installed: a wheel works without a clone, and commands that lack the training packages name the extra to install."""
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

from oasis_jax import saved
from oasis_jax.command_line import TRAINING

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The folder in which the wheel of a clean copy of the project is unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("oasis_jax", "configs"):
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    builders = importlib.util.find_spec("setuptools") and importlib.util.find_spec("wheel")
    at_hand = ["--no-build-isolation"] if builders else []  # otherwise pip downloads them
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", *at_hand, "--wheel-dir=built", "./source"]
    subprocess.run(command, cwd=folder, check=True)
    (file,) = (folder / "built").glob("*.whl")
    zipfile.ZipFile(file).extractall(folder / "installed")
    return folder / "installed"


def started(code, installed, cwd):
    """Runs Python code in the folder `cwd`, where it finds the unpacked wheel but no clone; returns the finished process."""
    clones = "[place for place in sys.path if pathlib.Path(place or '.', 'oasis_jax').is_dir()]"
    start = f"import pathlib, sys; sys.path[:] = [{str(installed)!r}, *(place for place in sys.path if place not in {clones})]"
    return subprocess.run([sys.executable, "-c", f"{start}\n{code}"], capture_output=True, text=True, cwd=cwd)


@pytest.mark.slow
def test_a_wheel_holds_everything(wheel):
    def files(folder):
        found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        return {str(path) for path in found if path.suffix != ".pyc"}

    assert files(wheel / "oasis_jax") - {f"configs/{name}" for name in files(ROOT / "configs")} == files(ROOT / "oasis_jax")
    assert files(wheel / "oasis_jax" / "configs") == files(ROOT / "configs")


@pytest.mark.slow
def test_configs_and_models_of_a_wheel_are_found_by_name(wheel, tmp_path):
    code = "from oasis_jax import config_flag as c, saved; print(c.load('scenes:sa').model.sel_blocks, *saved.names(), saved.MODELS)"
    done = started(code, wheel, tmp_path)
    assert done.stdout.split() == ["l1,l2,l3,none", *saved.names(), str(wheel / "oasis_jax" / "models")], done.stderr


def without(packages):
    """Code after which these packages cannot be imported."""
    return f"import sys; sys.modules.update(dict.fromkeys({packages!r}))"


@pytest.mark.parametrize(
    ("command", "args"),
    [
        ("main", ["--config=scenes", "--workdir=RUN"]),
        ("evaluate", ["--config=scenes", "--images=.", "--output=REPORT"]),
    ],
)
def test_commands_that_train_name_the_extra_that_is_missing(tmp_path, command, args):
    code = f"{without(TRAINING)}\nimport runpy\nsys.argv[1:] = {args!r}\nrunpy.run_module('oasis_jax.{command}', run_name='__main__')"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1 and line.startswith(f"{command}: this needs the package ")
    assert "which is not installed: pip install 'oasis_jax[cpu]', or [cuda12], [cuda13] or [tpu]" in line
