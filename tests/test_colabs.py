"""Every notebook runs from top to bottom, shows pictures, and is stored without outputs; its first cell installs what is missing."""
import importlib.util
import os
import re
import sys
import types
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbclient import NotebookClient

from oasis_jax import recipe_file

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted(ROOT.glob("colabs/*.ipynb"))
REPOSITORY = "oasis-jax/oasis_jax"
EXTRAS = {"sample": "", "edit": "", "train": "[train]", "studio": "[notebook,studio]"}

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_of(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def executed(path, folder, **settings):
    """Runs a notebook in a folder and returns its outputs; `settings` replace the values of its form fields."""
    notebook = nbformat.read(path, as_version=4)
    for name, value in settings.items():
        (cell,) = (cell for cell in notebook.cells if re.search(rf"^{name} = .*# @param", cell.source, re.M))
        cell.source = re.sub(rf"^{name} = .*?(?=  # @param)", f"{name} = {value!r}", cell.source, flags=re.M)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
        NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def pictures_in(outputs):
    return sum("image/png" in output.get("data", {}) for output in outputs)


def test_there_is_a_notebook_for_each_thing_to_do():
    assert {path.stem for path in NOTEBOOKS} == EXTRAS.keys()


@each_notebook
def test_notebook_is_stored_without_outputs(path):
    cells = code_of(path)
    assert cells and not any(cell.outputs or cell.execution_count for cell in cells)


@each_notebook
def test_badge_and_installation_name_one_repository(path):
    text = path.read_text()
    address = f"https://colab.research.google.com/github/{REPOSITORY}/blob/main/colabs/{path.name}"
    assert address in nbformat.read(path, as_version=4).cells[0].source
    assert re.findall(r"git\+https://github.com/([^\"\\ ]+)", text) == [REPOSITORY]
    assert set(re.findall(r"github(?:\.com)?/([\w-]+/\w+)", text)) == {REPOSITORY}


@pytest.mark.parametrize("extras", sorted(filter(None, set(EXTRAS.values()))))
def test_what_is_installed_is_an_extra_of_the_package(extras):
    setup = (ROOT / "setup.py").read_text()
    assert all(f'"{name}": ' in setup for name in re.findall(r"\w+", extras))


def first_cell(path, monkeypatch, folder, found):
    """Runs the first cell in a folder, with a find_spec that returns `found`: (its line magics as (name, line), its variables)."""
    called = []
    shell = types.SimpleNamespace(run_line_magic=lambda name, line: called.append((name, line)), system=None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    monkeypatch.setattr("sys.path", list(sys.path))
    monkeypatch.chdir(folder)
    names = {"get_ipython": lambda: shell}
    exec(TransformerManager().transform_cell(code_of(path)[0].source), names)
    return called, names


@each_notebook
@pytest.mark.parametrize("gpu", [False, True])
def test_the_first_cell_installs_in_a_bare_runtime(path, monkeypatch, tmp_path, gpu):
    exists = os.path.exists
    monkeypatch.setattr(os.path, "exists", lambda name: gpu if str(name) == "/dev/nvidia0" else exists(name))
    ((magic, line),), names = first_cell(path, monkeypatch, tmp_path, None)
    for name in re.findall(r"\{(\w+)\}", line):  # as IPython does
        line = line.replace(f"{{{name}}}", names[name])
    jax = "jax[cuda12]" if gpu else "jax"
    wanted = f'install -q "oasis_jax{EXTRAS[path.stem]} @ git+https://github.com/{REPOSITORY}" "{jax}"'
    assert (magic, line) == ("pip", wanted)


@each_notebook
def test_the_first_cell_installs_nothing_where_the_package_is(path, monkeypatch, tmp_path):
    there = types.SimpleNamespace(origin="oasis_jax/__init__.py")
    assert first_cell(path, monkeypatch, tmp_path, there)[0] == []
    folder_of_that_name = types.SimpleNamespace(origin=None)
    assert first_cell(path, monkeypatch, tmp_path, folder_of_that_name)[0]


@pytest.mark.slow
@each_notebook
def test_notebook_runs_from_top_to_bottom_and_shows_pictures(path, tmp_path):
    outputs = executed(path, tmp_path)
    assert pictures_in(outputs) >= 2
    assert not [output for output in outputs if output.get("name") == "stderr" and "Traceback" in output.text]


@pytest.mark.slow
def test_a_photo_model_is_trained_where_it_is_asked_for(tmp_path):
    path = ROOT / "colabs" / "edit.ipynb"
    assert pictures_in(executed(path, tmp_path, TRAIN_PHOTO_MODEL=True)) > 6


@pytest.mark.slow
def test_the_studio_is_shown_in_a_cell_and_in_a_frame_and_its_recipe_is_kept(tmp_path):
    outputs = [output.get("data", {}) for output in executed(ROOT / "colabs" / "studio.ipynb", tmp_path, FRAME=True)]
    assert sum("application/vnd.jupyter.widget-view+json" in data for data in outputs) == 1
    assert sum("<iframe src=" in data.get("text/html", "") for data in outputs) == 1
    assert recipe_file.open_file(tmp_path / "recipe.json").model == "scenes"
