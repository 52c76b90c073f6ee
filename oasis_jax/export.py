"""The export command: a run's checkpoint in, a file out with which other programs can generate images.

    python -m oasis_jax.export --checkpoint=RUN --format=onnx --output=model.onnx
    python -m oasis_jax.export --checkpoint=RUN --format=stablehlo --output=model.stablehlo
    python -m oasis_jax.export --checkpoint=RUN --format=page --output=studio.html
    python -m oasis_jax.export --checkpoint=RUN --format=safetensors --output=DIR

ONNX is run by onnxruntime in many languages; StableHLO by JAX alone, on CPU, GPU and TPU. OUTPUT.json says what the file takes and returns,
the classes, and what a seed means. The images are those of `oasis_jax.load(RUN).sample` to within one grey level if the
weights are stored as float32. A page is the studio without a server: one HTML file, which a browser opens from a disk or from any host.
These three formats need pip install 'oasis_jax[export]'.

The folder of safetensors is a packed model for this package: --checkpoint=DIR and `oasis_jax.load(DIR)` take it like a run. It has only
the averaged generator, stored as float16 by default.
"""
import json
import shlex
import sys

import jax
from absl import flags

import oasis_jax
from oasis_jax import command_line, sampling, saved
from oasis_jax.checkpoint import CheckpointError
from oasis_jax.data.image_files import DataError
from oasis_jax.exporting import portable
from oasis_jax.exporting.onnx_graph import serialised
from oasis_jax.exporting.stablehlo import to_stablehlo
from oasis_jax.exporting.stored_weights import FORMATS
from oasis_jax.family import all_families, find_family, name_of
from oasis_jax.files import expanded, new_folder, refuse_unwritable, write_whole
from oasis_jax.studio.single_file import page_of

ONNX, STABLEHLO, PAGE, SAFETENSORS = "onnx", "stablehlo", "page", "safetensors"
METADATA = "oasis_jax"  # name of the description within an ONNX file


def export(model, form, weights="float32", **options):
    """Exports a model as a file.

    Args:
        model: a `family.Model`.
        form: "onnx" or "stablehlo".
        weights: how they are stored, one of `stored_weights.FORMATS`; all computation is in float32.
        options: of the family, for ONNX (`family.Family.onnx_options`).

    Returns:
        (bytes of the file, the description as JSON values).

    Raises:
        ImportError: a package of the extra "export" is missing.
        ValueError: the family does not offer this form, or one of the options.
    """
    family = find_family(model.config)
    if model.columns and not hasattr(family, "portable"):
        raise ValueError(f"models of the family {name_of(model.config)} cannot be exported: the family does not say which arrays they take")
    offered = getattr(family, "portable", portable.of_inputs)(model)
    described = {"made_by": f"{__package__} {oasis_jax.__version__}", "family": name_of(model.config), "step": model.step, "format": form}
    if form == STABLEHLO:
        if options:
            raise ValueError(f"--{next(iter(options))} is for --format={ONNX} alone: omit it")
        return to_stablehlo(offered, model.variables, weights), offered.described(**described, weights=weights)
    if not hasattr(family, "onnx_model"):
        raise ValueError(f"models of the family {name_of(model.config)} have no ONNX form: use --format={STABLEHLO}")
    if wrong := sorted(options.keys() - family.onnx_options.keys()):
        raise ValueError(f"--{wrong[0]} is no option of models of the family {name_of(model.config)}: omit it")
    graph, facts = family.onnx_model(model, weights, **options)
    description = offered.described(**described, weights=weights, **facts)
    return serialised(graph, {METADATA: json.dumps(description)}), description


def run(options):
    """Exports the checkpoint in the format that the flags (attributes of `options`) name.

    Raises:
        CheckpointError, DataError, ImportError, OSError, ValueError: the message says how to fix it.
    """
    if options.labels and options.format != PAGE:
        raise ValueError(f"--labels={options.labels} is for --format={PAGE} alone: omit it")
    if options.format == SAFETENSORS:
        _pack(options)
        return
    output = _new_file(options.output)
    beside = None if options.format == PAGE else _new_file(f"{options.output}.json")
    given = {name: getattr(options, name) for name in _family_options() if getattr(options, name) is not None}
    model = sampling.load(options.checkpoint, options.best)
    if options.format == PAGE:
        if not model.columns:
            raise ValueError(f"a page is painted on, but {options.checkpoint} takes no label maps: use --format={STABLEHLO}")
        network, _ = export(model, ONNX, options.weights or "float16", **given)
        data = page_of(model, options.checkpoint, network, options.labels)
        write_whole(output, data)
        print(f"wrote {shlex.quote(str(output))}, {len(data) / 1e6:.2f} MB: open it in a browser")
        return
    data, description = export(model, options.format, options.weights or "float32", **given)
    write_whole(output, data)
    write_whole(beside, json.dumps(description, indent=2, ensure_ascii=False).encode())
    print(f"wrote {shlex.quote(str(output))}, {len(data) / 1e6:.2f} MB; {shlex.quote(str(beside))} says what it takes")


def _pack(options):
    """Writes a packed model."""
    given = [name for name in _family_options() if getattr(options, name) is not None]
    if given:
        raise ValueError(f"--{given[0]} is for --format={ONNX} alone: omit it")
    if options.weights not in (None, "float16", "float32"):
        raise ValueError(f"--weights={options.weights} is not stored in {SAFETENSORS}: choose float16 or float32")
    folder = new_folder(options.output)
    variables, config, step = saved.load_ema(options.checkpoint, options.best)
    files = saved.packed(variables, config, step, options.weights or "float16")
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        write_whole(folder / name, data)
    size, written = sum(map(len, files.values())) / 1e6, shlex.quote(str(folder))
    print(f"wrote {written}, {size:.2f} MB; use it like a run: --checkpoint={written}")


def _new_file(path):
    file = expanded(path)
    if file.exists():
        raise ValueError(f"--output: {file} exists: choose another, or remove it")
    if not file.parent.is_dir() and "://" not in str(file):
        raise ValueError(f"--output: there is no folder {file.parent}: create it")
    refuse_unwritable(file.parent)
    return file


def _family_options():
    """{flag: (choices, help)} of all families."""
    return {name: option for family in all_families() for name, option in getattr(family, "onnx_options", {}).items()}


def main(_):
    jax.config.update("jax_platforms", "cpu")  # the files do not depend on it; the accelerators of this machine, if any, stay free
    try:
        run(flags.FLAGS)
    except (CheckpointError, DataError, ImportError, OSError, ValueError) as error:
        missing = f": pip install '{__package__}[export]'" if isinstance(error, ImportError) else ""
        sys.exit(f"export: {error}{missing}")


def _define_flags():
    flags.DEFINE_string("checkpoint", None, "A run's folder, the folder of one checkpoint or packed model, or a name, such as scenes.")
    flags.DEFINE_enum("format", None, [ONNX, STABLEHLO, PAGE, SAFETENSORS], "Format of the file or folder.")
    flags.DEFINE_string("output", None, f"File to write, with OUTPUT.json, which says what it takes; for {SAFETENSORS} a new folder.")
    flags.DEFINE_string("labels", None, f"With --format={PAGE}: examples: a label file, a folder of them, or a pattern with * or **.")
    weights = f"How weights are stored: by default as float32, in {PAGE} and {SAFETENSORS} as float16. All computation is in float32."
    flags.DEFINE_enum("weights", None, FORMATS, weights)
    flags.DEFINE_bool("best", False, "Export the best checkpoint, not the latest.")
    for name, (choices, description) in _family_options().items():
        flags.DEFINE_enum(name, None, choices, f"With --format={ONNX} or {PAGE}: {description}")


if __name__ == "__main__":
    _define_flags()
    command_line.run(main, "export", ["checkpoint", "format", "output"])
