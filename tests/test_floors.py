"""The floors of the architecture (docs/architecture.md): no import goes back up, and nothing outside a family's folder names it."""
import ast
import pathlib
import re

import pytest

PACKAGE = pathlib.Path(__file__).parents[1] / "oasis_jax"
FAMILIES = {file.parent.name for file in PACKAGE.glob("*/family.py")}
COMMANDS = {"main", "sample", "evaluate", "convert", "plan", "export"}
GROUND = {
    "allowed", "axes", "buckets", "checkpoint", "command_line", "compiler", "config_flag", "family", "fields", "files", "heatmaps",
    "id_maps", "interrupts", "json_values", "noise", "pictures", "ranges", "recipe_file", "recipes", "sampling", "saved", "series",
    "state_dicts", "target", "updates",
}

# What each part may import besides itself and the ground floor.
MAY_IMPORT = {
    "layers": set(),
    "data": set(),
    "metrics": set(),
    "parallel": set(),
    "exporting": set(),
    **dict.fromkeys(FAMILIES, {"exporting", "layers", "metrics", "parallel"}),
    "editing": {"layers"},
    "evaluation": {"data", "metrics", "parallel"},
    "training": {"data", "evaluation", "metrics", "parallel"},
    "planning": {"data", "parallel", "training"},
    "label_mixing": set(),
    "sample_dataset": {"data", "label_mixing", "sample_labels", "sample_options"},
    "sample_labels": {"data"},
    "sample_options": set(),
    "sample_recipe": set(),
    "studio": {"data", "sample_labels"},
    **dict.fromkeys(
        COMMANDS,
        {"data", "editing", "evaluation", "exporting", "metrics", "parallel", "planning", "sample_dataset", "sample_labels",
         "sample_options", "sample_recipe", "studio", "training"},
    ),
}
# The order of the ground floor itself, from the lowest up.
GROUND_ORDER = [
    "allowed", "axes", "buckets", "files", "interrupts", "compiler", "config_flag", "command_line", "fields", "heatmaps", "id_maps",
    "json_values", "noise", "pictures", "ranges", "state_dicts", "target", "updates", "recipes", "recipe_file", "series", "checkpoint",
    "saved", "family", "sampling",
]


def modules():
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


def part_of(path):
    """The folder of a module below the package, or the module itself if it lies directly in it."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_parts(path):
    """Parts of the package that a module imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "oasis_jax" else [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("oasis_jax.")}
    return found


def test_every_part_has_a_floor():
    assert {part_of(path) for path in modules()} == MAY_IMPORT.keys() | GROUND
    assert set(GROUND_ORDER) == GROUND


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_import_goes_back_up(path):
    own, imported = part_of(path), imported_parts(path)
    if own in GROUND:
        allowed = set(GROUND_ORDER[: GROUND_ORDER.index(own) + 1]) | ({"parallel"} if own == "checkpoint" else set())
    elif own == "parallel":  # `checkpoint` builds on it: all processes save and read checkpoints together
        allowed = set(GROUND_ORDER[: GROUND_ORDER.index("checkpoint")]) | {own}
    else:
        allowed = MAY_IMPORT[own] | GROUND | {own}
    assert imported <= allowed, f"{path.relative_to(PACKAGE)} imports {', '.join(sorted(imported - allowed))}"


def test_only_parallel_asks_jax_about_processes():
    asking = re.compile(r"process_count|process_index|process_allgather|multihost|jax\.distributed")
    assert {part_of(path) for path in modules() if asking.search(path.read_text())} == {"parallel"}


def test_the_families_are_found_by_their_folders():
    assert {"oasis"} <= FAMILIES


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_nothing_outside_its_folder_names_a_family(family):
    """Except in the package's name, which contains that of the first family, and in that of the paper on heatmaps, which all may use."""
    for path in modules():
        if part_of(path) != family:
            text = re.sub(r"oasis_jax|OASIS_JAX_CACHE|OASIS_VGG16_WEIGHTS|EqGAN-SA", "", path.read_text())
            assert family not in text.lower(), f"{path.relative_to(PACKAGE)} names the family {family}"


def test_no_file_holds_more_than_one_idea_can_take():
    assert {str(path.relative_to(PACKAGE)) for path in modules() if len(path.read_text().splitlines()) > 350} == set()


def test_no_two_files_outside_the_families_share_a_name():
    names = [path.name for path in modules() if path.name != "__init__.py" and part_of(path) not in FAMILIES]
    assert {name for name in names if names.count(name) > 1} == set()


# Files outside the families that may contain "label_map", because they handle the column of that name.
COLUMN = {
    "convert.py", "editing.py", "evaluate.py", "family.py", "fields.py", "pictures.py", "recipe_file.py", "sample.py", "sample_dataset.py",
    "sample_labels.py", "sample_recipe.py",
} | {
    f"{folder}/{name}.py"
    for folder, names in {
        "data": ("check", "columns", "datasets", "decode", "folders", "labels", "pipeline", "reader", "split", "tfds_source"),
        "evaluation": ("diversity", "report", "sources", "validation"),
        "studio": ("__main__", "fitting", "opening", "renderer"),
        "metrics": ("colour", "metric"),
        "training": ("loop", "resuming", "samples", "setup"),
    }.items()
    for name in names
}


def test_label_map_is_spoken_of_only_where_a_column_is_meant():
    speaking = {str(path.relative_to(PACKAGE)) for path in modules() if "label_map" in path.read_text() and part_of(path) not in FAMILIES}
    assert speaking == COLUMN
