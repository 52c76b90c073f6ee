"""The evaluation command: scores of a checkpoint, or of a folder of images, by a named protocol.

    python -m oasis_jax.evaluate --checkpoint=runs/cityscapes --config.data.root=/data/cityscapes
    python -m oasis_jax.evaluate --images=their_results/ --config=configs/cityscapes.py --config.data.root=/data/cityscapes --output=scores/

The config of a checkpoint is that of its run; fields of data and eval can be overridden. Writes report.json, report.md and report.html,
with a summary of the data; if a network segments the images, the page shows those that match their label maps best and worst.
Measurements are cached in $OASIS_JAX_CACHE or ~/.cache/oasis_jax under a key of everything that they depend on: an interrupted evaluation
is resumed, and real photos are measured once.

On several hosts, start it on each of them, with JAX_COORDINATOR_ADDRESS=HOST:PORT (of the first), JAX_NUM_PROCESSES and JAX_PROCESS_ID set:
each process measures its part of the images, and the first one writes the report.
"""
import os
import re
import sys

from absl import flags
from ml_collections import ConfigDict

from oasis_jax import command_line, config_flag
from oasis_jax.buckets import refuse_unreachable
from oasis_jax.files import expanded, refuse_unwritable

NOTHING = "nothing to evaluate: give --checkpoint=RUN, or --images=DIR with --config=FILE and --output=DIR"


def run(options, config):
    """Evaluates a checkpoint or a folder of images as the flags (attributes of `options`) and the config say; writes and prints the report.

    Returns:
        The Report.

    Raises:
        CheckpointError, DataError, ValueError: the message says how to fix it.
    """
    if not options.images and not options.checkpoint:
        raise ValueError(NOTHING)
    if config is None:
        raise ValueError("--images needs --config=FILE, which says with what data the images are compared")
    if options.images and not options.output:
        raise ValueError("--images needs --output=DIR, the folder of the report")
    if options.images and not expanded(options.images).is_dir():
        raise ValueError(f"--images={options.images} is not a folder: name the folder of the generated images")
    if options.images and os.path.realpath(expanded(options.images)) == os.path.realpath(expanded(options.output)):
        raise ValueError(f"--output={options.output} is the folder of --images: choose another, or a folder in it")
    from oasis_jax.saved import packed_folder

    if not options.images and not options.output and packed_folder(options.checkpoint) is not None:
        raise ValueError(f"--checkpoint={options.checkpoint} is a packed model: give --output=DIR, the folder of the report")
    from oasis_jax import sampling
    from oasis_jax.allowed import check_fields
    from oasis_jax.data.check import check_split, refuse_inside
    from oasis_jax.data.datasets import DataSpec, open_split, searched_folders
    from oasis_jax.evaluation.report import best_and_worst, write_report
    from oasis_jax.family import find_family, name_of, own_networks, rules_of
    from oasis_jax.parallel.processes import is_first
    from oasis_jax.saved import load_config, load_state
    from oasis_jax.training.setup import make_validation

    if not options.images and (trained := name_of(load_config(options.checkpoint, options.best))) != name_of(config):
        raise ValueError(f"--checkpoint={options.checkpoint} is of the family {trained}, --config of {name_of(config)}: leave --config out")
    rules = rules_of(find_family(config)).items()
    used = {name: rule for name, rule in rules if name.startswith(("data.", "eval."))}
    check_fields(config, used, complete=False)  # an older checkpoint may lack some
    protocol = choose_protocol(config, options.protocol)
    output = expanded(options.output) if options.output else folder_of_run(options.checkpoint) / "evaluation"
    if is_first():  # only this process writes
        refuse_unwritable(output)
    spec = DataSpec.of_config(config.data)
    columns = find_family(config).columns(config)
    refuse_inside(output, searched_folders(spec, columns), "--output")
    split = open_split(spec, protocol.split, columns)
    if split.faults:  # reported first: later checks would only report their consequences
        check_split(split, spec, remember=is_first())
    if found := split.resolved_fields():
        config.data.num_classes = found["num_classes"]  # the data or a palette may determine it
        check_fields(config, used, complete=False)
    validation = make_validation(config, protocol, split, spec)  # missing weights are reported before all data are read
    survey = check_split(split, spec, output, remember=is_first())
    own, diversity = None, False
    if options.images:
        generated, subject = validation.folder(options.images), {"images": str(options.images)}
    else:
        model = sampling.load(options.checkpoint, options.best)
        generated, subject = validation.samples(model), {"checkpoint": str(options.checkpoint), "step": model.step}
        diversity = bool(protocol.diversity_maps) and model.has_noise and "label_map" in model.columns
        state = load_state(options.checkpoint, options.best)
        if state is not None and int(state["step"]) == model.step:  # a run in training may have saved another step in the meantime
            own = own_networks(model.config, model, state, validation.mesh, config.data.dontcare_id)
    report = validation.evaluate(generated, subject, own, diversity=diversity).with_data(survey)
    if is_first():
        write_report(output, report, best_and_worst(generated, validation.photos, report))
        print(report.as_markdown())
        print(f"the report is in {output}")
    return report


def choose_protocol(config, name=""):
    """The Protocol called `name`, else config.eval.protocol, else that of the data set; raises ValueError if there is no such protocol."""
    from oasis_jax.family import find_family
    from oasis_jax.metrics.protocols import find_protocol

    family = find_family(config)
    return find_protocol(name or config.eval.protocol or family.default_protocol(config), family.protocols)


def folder_of_run(checkpoint):
    """The workdir of a run, from the path of the workdir, of its checkpoints folder or of one of its steps."""
    from oasis_jax.checkpoint import FOLDER

    path = expanded(checkpoint)
    path = path.parent if path.name.isdigit() and path.parent.name == FOLDER else path  # other folders may be called by numbers too
    return path.parent if path.name == FOLDER else path


def main(_):
    from oasis_jax.checkpoint import CheckpointError
    from oasis_jax.data.labels import DataError
    from oasis_jax.parallel.processes import end_together, failing_at_once, leave

    with failing_at_once():
        try:
            run(flags.FLAGS, flags.FLAGS.config)
        except (CheckpointError, DataError, ValueError, OSError) as error:
            leave(f"evaluate: {error}")
    end_together()


def define_flags(argv):
    """Defines the flags; --config.FIELD overrides the checkpoint's config unless --config is given. Returns the parser for `app.run`."""
    flags.DEFINE_string("checkpoint", None, "A run, a checkpoint or a packed model: its folder, or its name in the package.")
    flags.DEFINE_bool("best", False, "Evaluate the best checkpoint, not the latest.")
    flags.DEFINE_string("images", None, "Instead of a checkpoint: a folder of images, with the names of the files of the data.")
    flags.DEFINE_string("protocol", "", "Name of a protocol; by default config.eval.protocol, or that of the data set.")
    flags.DEFINE_string("output", None, "Folder of the report; by default the folder `evaluation` in that of the checkpoint.")
    checkpoint, images = (config_flag.value_of(name, argv) for name in ("checkpoint", "images"))
    if config_flag.value_of("config", argv) is not None or not checkpoint:
        config_flag.define()
        if not checkpoint and not images and not any(re.match("--?help", arg) for arg in argv):
            sys.exit(f"evaluate: {NOTHING}")
        return config_flag.parse_flags
    if fields := [arg for arg in argv if re.match(r"--?config\.model\.", arg)]:
        sys.exit(f"evaluate: {fields[0].partition('=')[0]} would change nothing, since the networks are those of the run: omit it")
    from oasis_jax.checkpoint import CheckpointError
    from oasis_jax.saved import load_config

    try:
        refuse_unreachable({"--checkpoint": checkpoint})
        config = _with_tuples(load_config(checkpoint, any(arg in ("--best", "--best=true") for arg in argv)))
    except (CheckpointError, ValueError) as error:
        sys.exit(f"evaluate: {error}")
    for name in ("protocol", "inception_weights", "vgg16_weights", "segmenter_weights"):  # older checkpoints lack them
        config.eval[name] = config.eval.get(name, "")
    return config_flag.define_with(config, argv)


def _with_tuples(saved):
    """The ConfigDict of a saved config. Its tuples were saved as lists, which no flag could override, and become tuples again."""
    kinds = {dict: _with_tuples, list: tuple}
    return ConfigDict({name: kinds.get(type(value), lambda same: same)(value) for name, value in saved.items()})


if __name__ == "__main__":
    from oasis_jax.parallel.processes import join

    with command_line.needing_devices("evaluate"):
        try:
            join()  # before reading the config of a checkpoint, or anything else, initialises JAX
        except ValueError as error:
            sys.exit(f"evaluate: {error}")
        parse_flags = define_flags(sys.argv)
    command_line.run(main, "evaluate", parse=parse_flags, packages=["tensorflow"])
