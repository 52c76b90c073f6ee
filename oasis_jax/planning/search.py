"""Searches the batch sizes, meshes and memory savings that fit a machine, with lower bounds on their time."""
import dataclasses
from collections.abc import Callable, Iterable, Iterator

from oasis_jax.config_flag import flat
from oasis_jax.family import find_family
from oasis_jax.parallel.mesh import work
from oasis_jax.planning.compiled import Compiled, CompilerError
from oasis_jax.planning.roofline import Bound, bound
from oasis_jax.training.step import split_of_run

# Settings that save memory and cost time, the cheapest first. Each is tried together with those before it, and only if the step does not
# fit without it. A number is a factor of the config's value. Settings that a config has already, or has no field for, are left out.
SAVINGS = (("mesh.shard_state", True), ("model.remat", True), ("train.accumulate", 2), ("train.accumulate", 4))


@dataclasses.dataclass(frozen=True)
class Tried:
    """A candidate and its outcome.

    Attributes:
        fields: {dotted name of a config field: value} that the search sets.
        batch_size: over all chips.
        compiled: Compiled, or None if it cannot be compiled.
        bound: Bound, or None.
        reason: why the candidate is ruled out; "" if it is not.
    """

    fields: dict[str, object]
    batch_size: int
    compiled: Compiled | None
    bound: Bound | None
    reason: str

    @property
    def seconds_per_image(self):
        """The lower bound on the time of a step, divided by the batch size."""
        return self.bound.seconds / self.batch_size


def changed(config, fields):
    """A copy of a ConfigDict with some fields replaced: {dotted name: value}."""
    copied = config.copy_and_resolve_references()
    copied.update_from_flattened_dict(fields)
    return copied


def as_flags(fields):
    """Fields as command-line flags."""
    return " ".join(f"--config.{name}={value}" for name, value in fields.items())


def batches_for(config, machine):
    """Batch sizes to try: that of the config, that rounded up to a multiple of the number of chips, and twice the latter."""
    size = config.train.batch_size
    multiple = -(-size // machine.chips) * machine.chips
    return sorted({size, multiple, 2 * multiple})


def splits_for(config, machine):
    """The Splits that use as many chips as possible, one for each possible mesh.space, for the config's batch size.

    Raises:
        ValueError: no split is possible.
    """
    train_step, possible, refused = find_family(config).train_step(config), [], None
    for space in range(1, machine.chips + 1):
        try:
            possible.append(split_of_run(changed(config, {"mesh.space": space}), train_step, machine.chips, machine.hosts))
        except ValueError as error:
            refused = error
    if not possible:
        raise refused
    return [split for split in possible if split.devices == max(other.devices for other in possible)]


def search(
    config, machine, compile_step: Callable[[object, str], Compiled], batches: Iterable[int] = (), savings=SAVINGS
) -> Iterator[Tried]:
    """Compiles candidates one after the other, those with the least `mesh.work` per image first.

    Args:
        config: ConfigDict.
        machine: machines.Machine.
        compile_step: (config, text that identifies the candidate) -> Compiled; may raise ValueError or CompilerError.
        batches: batch sizes; by default those of `batches_for`.
        savings: (field, value) pairs, as in SAVINGS.

    Yields:
        a Tried for each candidate, as soon as it has been tried.
    """
    savings = _savings_of(config, savings)
    candidates = []
    for batch_size in batches or batches_for(config, machine):
        of_batch = {"train.batch_size": batch_size}
        try:
            candidates += [(batch_size, split) for split in splits_for(changed(config, of_batch), machine)]
        except ValueError as error:
            yield Tried(of_batch, batch_size, None, None, str(error))
    candidates.sort(key=lambda one: work(one[1], one[0], config.data.image_size[0]) / one[0])
    too_large = []  # (split, batch size, number of savings) of candidates that did not fit
    for number, (batch_size, split) in enumerate(candidates, 1):
        # On the same mesh, a larger batch needs at least the savings of a smaller one.
        first = max([count + 1 for other, size, count in too_large if other == split and size <= batch_size], default=0)
        fields = {"train.batch_size": batch_size, "mesh.space": split.space}
        if first > len(savings):
            yield Tried(fields, batch_size, None, None, "a smaller batch does not fit on this mesh, with all savings of memory")
        for count in range(first, len(savings) + 1):
            one = _try(config, machine, compile_step, fields | dict(savings[:count]), f"{number} of {len(candidates)}")
            yield one
            if one.compiled is None or one.compiled.fits:
                break
            too_large.append((split, batch_size, count))


def _savings_of(config, savings):
    """The (field, value) pairs to try with a config."""
    now = flat(config)
    pairs = [(name, value if isinstance(value, bool) else value * now[name]) for name, value in savings if name in now]
    return [(name, value) for name, value in pairs if value != now[name]]


def _try(config, machine, compile_step, fields, which):
    candidate = changed(config, fields)
    try:
        compiled = compile_step(candidate, f"{which}: {as_flags(fields)}")
    except (CompilerError, ValueError) as error:
        return Tried(fields, candidate.train.batch_size, None, None, str(error))
    return Tried(fields, candidate.train.batch_size, compiled, bound(compiled.costs, machine.chip), compiled.complaint)


def ranked(tried):
    """The candidates that fit, in the order of their bounds, the fastest first; of equal ones, the one with the least memory first."""
    return sorted((one for one in tried if not one.reason), key=lambda one: (one.seconds_per_image, one.compiled.memory))
