"""Laws that hold for every benchmark, whatever it measures."""
import argparse
import dataclasses
import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import label_maps
from benchmarks.step import step_work
from configs import scenes
from oasis_jax.oasis import family
from oasis_jax.oasis.capacities import Capacity

COMMANDS = sorted(path.stem for path in Path(label_maps.__file__).parent.glob("*.py") if "def main()" in path.read_text())


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_the_command(name, monkeypatch, capsys):
    if name == "inception":
        pytest.importorskip("torch")
    module = importlib.import_module(f"benchmarks.{name}")
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit, match="0"):
        module.main()
    assert f"python -m benchmarks.{name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command",
    (
        "attention MISSING",
        "conditioning --root=MISSING",
        "defects MISSING",
        "eqgan_step --config=MISSING",
        "exports --checkpoint=MISSING",
        "inference --root=MISSING",
        "page --checkpoint=MISSING",
        "pipeline --root=MISSING",
        "step --root=MISSING",
        "studio --checkpoint=MISSING",
        "usefulness --root=MISSING",
    ),
)
def test_a_mistyped_path_is_told_in_one_line(command, tmp_path, monkeypatch):
    name, *flags = command.replace("MISSING", str(tmp_path / "mistyped")).split()
    if name == "page":
        pytest.importorskip("playwright")
    module = importlib.import_module(f"benchmarks.{name}")
    monkeypatch.setattr(sys, "argv", [name, *flags])
    with pytest.raises(SystemExit) as stopped:
        module.main()
    said = str(stopped.value)
    assert said.startswith((f"{name}: ", "--config=")) and "mistyped" in said and len(said.splitlines()) == 1


def test_work_is_that_of_the_published_step_however_it_is_computed():
    step = family.train_step(scenes.get_config())
    unfused = dataclasses.replace(step, discriminator=step.discriminator.clone(fused=False))
    on_regions = dataclasses.replace(step, generator=step.generator.clone(capacities=(Capacity(64, 64, 64, 64),)))
    works = [step_work(each, 1, (64, 128)) for each in (step, unfused, on_regions)]
    assert works[0] > 0 and works == [works[0]] * 3
    assert step_work(step, 2, (64, 128)) == pytest.approx(2 * works[0])


def test_label_maps_without_a_folder_are_those_of_scenes():
    parser = argparse.ArgumentParser()
    label_maps.add_flags(parser)
    maps, num_classes = label_maps.read(parser.parse_args([]), (16, 32), 3)
    assert maps.shape == (3, 16, 32) and maps.dtype == np.int32 and 0 <= maps.min() and maps.max() < num_classes
