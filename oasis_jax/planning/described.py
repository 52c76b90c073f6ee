"""Text reports on compiled steps and on searches."""
from oasis_jax.planning.recipe import num_steps
from oasis_jax.planning.roofline import bound, collectives, shares, traffic_by_kind
from oasis_jax.planning.search import as_flags, changed, ranked

GIB = 2**30
CAVEAT = (
    "A bound is not a prediction: no step of this program is faster than its arithmetic and its memory traffic at the chip's peak rates.\n"
    "A real step is slower; only measuring tells by how much: elementwise arithmetic, waiting for other chips and input are left out."
)
GPU_CAVEAT = (
    "On a GPU, traffic also counts what the cache may hold, so it can be too high; memory is without the workspace of cuDNN's convolutions."
)
SEARCH_NOTE = (
    "Savings are tried only where memory does not suffice without them. A new batch size is a new recipe: learning rates are not adapted."
)


def describe(machine, config, compiled, steps=0):
    """The report on a compiled step.

    Args:
        machine: machines.Machine.
        config: ConfigDict.
        compiled: compiled.Compiled.
        steps: number of steps of the recipe; 0 if it is not known.

    Returns:
        Text of several lines.
    """
    chip, least = machine.chip, bound(compiled.costs, machine.chip)
    verdict = "fits" if compiled.fits else f"does not fit: {compiled.complaint}"
    images = config.train.batch_size / least.seconds
    lines = [
        f"{machine}: {machine.chips} chip{'s' if machine.chips > 1 else ''}, each with {_peaks(chip)}",
        compiled.mesh,
        *filter(None, [compiled.description]),
        "",
        "per chip and step",
        f"  memory      {compiled.memory / GIB:8.2f} GiB    {compiled.memory / chip.memory:.0%} of the chip's; {verdict}",
        f"  of that     {compiled.state / GIB:8.2f} GiB    train state",
        f"  arithmetic  {least.flops / 1e12:8.3f} TFLOP  {milliseconds(least.compute)} ms at peak",
        f"  traffic     {least.traffic / 1e9:8.2f} GB     {milliseconds(least.memory)} ms at peak",
        *_own_count(compiled),
        "",
        f"lower bound: {milliseconds(least.seconds)} ms per step, by {least.limit}; at most {images:.0f} images/s on all chips",
        *([f"{steps:,} steps: at least {hours(steps, least):.2f} hours"] if steps else []),
        "",
        *_part_table(compiled.costs),
        "",
        *_kind_table(compiled.costs),
        "",
        *_collective_table(compiled.costs),
        "",
        *_caveats(machine),
    ]
    return "\n".join(lines)


def _own_count(compiled):
    """A line with the compiler's own figures, which include elementwise operations and copies within the chip."""
    if compiled.own_count is None:
        return []
    operations, moved = compiled.own_count
    return [f"  compiler's own count: {operations / 1e12:.3f} TFLOP, {moved / 1e9:.2f} GB; comparable only with other such counts"]


def _peaks(chip):
    return f"{chip.memory / GIB:.0f} GiB, {chip.flops / 1e12:.0f} TFLOP/s in bfloat16 and {chip.bandwidth / 1e9:.0f} GB/s"


def _caveats(machine):
    return [CAVEAT, *([GPU_CAVEAT] if machine.platform == "gpu" else [])]


def milliseconds(seconds):
    """A duration in seconds as text in milliseconds, with three significant digits or more."""
    return f"{seconds * 1e3:.1f}" if seconds >= 0.01 else f"{seconds * 1e3:.3g}"


def hours(steps, least):
    """Lower bound in hours for a number of steps; `least` is the Bound of one step."""
    return steps * least.seconds / 3600


def _part_table(costs):
    rows = [
        (part.name, f"{part.flops / 1e12:.3f}", f"{of_flops:.0%}", f"{part.traffic / 1e9:.2f}", f"{of_traffic:.0%}")
        for part, of_flops, of_traffic in shares(costs)
    ]
    return table(("part of the step", "TFLOP", "", "GB", ""), rows)


def _kind_table(costs):
    rows = [(kind, f"{moved / 1e9:.2f}", f"{share:.0%}") for kind, moved, share in traffic_by_kind(costs)]
    return table(("operations", "GB", ""), rows)


def _collective_table(costs):
    found = collectives(costs)
    if not found:
        return ["no collectives: nothing is sent to other chips"]
    rows = [(one.kind, f"{one.count:.0f}", f"{one.total / 1e6:.1f}", f"{one.largest / 1e6:.1f}") for one in found]
    return table(("collectives", "count", "MB", "largest, MB"), rows)


def table(header, rows):
    """Lines of a table: the first column is left-aligned, the others are right-aligned."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    aligned = ["<"] + [">"] * (len(widths) - 1)

    def line(row):
        return "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, aligned, widths, strict=True)).rstrip()

    return [line(row) for row in (header, *rows)]


def describe_tried(tried):
    """One line on the outcome of a candidate of the search."""
    if tried.compiled is None:
        return f"{as_flags(tried.fields)}: impossible: {tried.reason}"
    memory = f"{tried.compiled.memory / GIB:.2f} GiB"
    if tried.reason:
        return f"{as_flags(tried.fields)}: does not fit ({memory})"
    return f"{as_flags(tried.fields)}: {memory}, at least {milliseconds(tried.bound.seconds)} ms"


def _steps_or_none(config, examples):
    """The number of steps of a run; None if that is unknown, or if the batch is larger than all of its epochs."""
    try:
        return num_steps(config, examples)
    except ValueError:
        return None


def describe_search(machine, config, tried, best, examples=0):
    """The best candidates that fit, as a table and as command-line flags.

    Args:
        machine: machines.Machine.
        config: ConfigDict that the search varied.
        tried: list of search.Tried.
        best: how many to list; the best one with the config's batch size is always listed.
        examples: number of training examples; 0 to take that of the data set, if it is known.
    """
    fitting = ranked(tried)
    of_config = [one for one in fitting if one.batch_size == config.train.batch_size][:1]  # a different batch size is a different recipe
    listed = fitting[:best] + [one for one in of_config if one not in fitting[:best]]
    if not any(one.compiled for one in tried):
        return f"nothing could be compiled for {machine}: {tried[-1].reason if tried else 'there is nothing to try'}"
    if not listed:
        return f"nothing fits {machine}: use more chips, a smaller batch (--batches), or smaller images or networks"
    rows = []
    for number, one in enumerate(listed, 1):
        steps = _steps_or_none(changed(config, one.fields), examples)
        rows.append(
            (
                str(number),
                str(one.batch_size),
                "x".join(map(str, one.compiled.split)),
                ", ".join(name for name in one.fields if name not in ("train.batch_size", "mesh.space")) or "none",
                f"{one.compiled.memory / GIB:.2f}",
                f"{one.bound.flops / 1e12:.2f}",
                f"{one.bound.traffic / 1e9:.1f}",
                milliseconds(one.bound.seconds),
                f"{1 / one.seconds_per_image:.0f}",
                f"{hours(steps, one.bound):.2f}" if steps else "?",
            )
        )
    header = ("", "batch", "mesh", "savings", "GiB", "TFLOP", "GB", "ms at least", "images/s at most", "hours at least")
    flags = [f"{number}: {as_flags(one.fields)}" for number, one in enumerate(listed, 1)]
    title = f"the best that fit {machine}, per chip and step"
    return "\n".join(["", title, *table(header, rows), "", *flags, "", SEARCH_NOTE, *_caveats(machine)])
