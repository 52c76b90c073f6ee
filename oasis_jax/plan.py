"""The planning command: what a training step costs on a machine that need not be available.

    python -m oasis_jax.plan --config=configs/cityscapes.py --topology=v5e:4x4
    python -m oasis_jax.plan --config=configs/cityscapes.py --topology=2xv4:2x2x4 --search

It compiles the step for that machine, without access to one, and reports memory, arithmetic, memory traffic and collectives of one chip,
and the minimum time that these take at the chip's peak rates. It reads data only for conditioning on regions (model.conditioning=regions),
whose capacities come from the label maps. For TPUs it needs pip install 'oasis_jax[tpu]'.
"""
import os
import sys

from absl import flags

from oasis_jax import command_line, config_flag

_TOPOLOGY = flags.DEFINE_string(
    "topology", None, "CHIP:LAYOUT, such as v5e:4x4, v4:2x2x4, v5p:2x2x2, v6e:4x4 or h100:8; 2xv5e:4x4 is two slices."
)
_SLICES = flags.DEFINE_integer("slices", 1, "Number of slices, connected by the network of the data centre.", lower_bound=1)
_SEARCH = flags.DEFINE_boolean("search", False, "Try batches, meshes and savings of memory, and list those that fit.")
_BATCHES = flags.DEFINE_list("batches", [], "Batch sizes to search; by default that of the config and multiples of the number of chips.")
_BEST = flags.DEFINE_integer("best", 5, "How many results are listed, besides the best with the config's batch.", lower_bound=1)
_EXAMPLES = flags.DEFINE_integer("examples", 0, "Number of training examples, for the number of steps; by default that of the data set.")
_KEEP = flags.DEFINE_string("keep", "", "Folder in which the compiler's reports on the last step are kept.")


def plan(config, machine, examples=0, keep=""):
    """The report on a config's step on a machine, as text; raises ValueError and CompilerError."""
    from oasis_jax.planning.compiled import compile_for
    from oasis_jax.planning.described import describe
    from oasis_jax.planning.recipe import num_steps

    steps = num_steps(config, examples)
    return describe(machine, config, compile_for(machine, config, keep), steps)


def search(config, machine, batches=(), best=5, examples=0, keep=""):
    """Tries candidates, prints each as soon as it is known, and returns a list of the best as text. Ctrl-C prints the list so far.

    Raises:
        ValueError, KeyboardInterrupt
    """
    from oasis_jax.planning.compiled import compile_for
    from oasis_jax.planning.described import describe_search, describe_tried
    from oasis_jax.planning.search import search as candidates

    tried = []
    try:
        for one in candidates(config, machine, lambda candidate, which: compile_for(machine, candidate, keep, which), batches):
            tried.append(one)
            print(describe_tried(one), flush=True)
    except KeyboardInterrupt:
        if tried:
            print(f"\nonly the first {len(tried)} were tried:{describe_search(machine, config, tried, best, examples)}", flush=True)
        raise
    return describe_search(machine, config, tried, best, examples)


def main(_):
    os.environ["JAX_PLATFORMS"] = "cpu"  # before JAX is imported: the accelerators of this machine, if any, stay free
    from oasis_jax.allowed import check_fields
    from oasis_jax.family import find_family, rules_of
    from oasis_jax.files import expanded, refuse_unwritable
    from oasis_jax.planning.compiled import CompilerError
    from oasis_jax.planning.machines import find_machine

    try:
        if not _SEARCH.value and (_BATCHES.value or flags.FLAGS["best"].present):
            raise ValueError("--batches and --best are for --search alone: omit them, or add --search")
        machine, config, common = find_machine(_TOPOLOGY.value, _SLICES.value), flags.FLAGS.config, (_EXAMPLES.value, _KEEP.value)
        check_fields(config, rules_of(find_family(config)))
        if "://" in _KEEP.value:
            raise ValueError(f"--keep={_KEEP.value} is in a bucket: give a folder of this machine")
        if _KEEP.value:
            refuse_unwritable(expanded(_KEEP.value), "keep")
        machine.require_compiler()
        if _SEARCH.value:
            print(search(config, machine, _positive(_BATCHES.value), _BEST.value, *common))
        else:
            print(plan(config, machine, *common))
    except (CompilerError, ValueError) as error:
        sys.exit(f"plan: {error}")


def _positive(texts):
    if wrong := [text for text in texts if not (text.isdecimal() and int(text))]:
        raise ValueError(f"--batches={','.join(wrong)}: give numbers of images, such as 16,32")
    return [int(text) for text in texts]


if __name__ == "__main__":
    config_flag.define()
    command_line.run(main, "plan", ["config", "topology"], config_flag.parse_flags, reads_data=False)
