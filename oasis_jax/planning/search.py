"""Which batches, meshes and savings of memory fit a machine, and how fast they are at most."""
import dataclasses
from collections.abc import Callable, Iterable, Iterator

from oasis_jax.config_flag import flat
from oasis_jax.family import find_family
from oasis_jax.planning.compiled import Compiled, CompilerError
from oasis_jax.planning.roofline import Bound, bound
from oasis_jax.training.step import split_of_run

# What saves memory and costs time, from the cheapest on. Each is tried with those before it, and only where memory does not suffice without
# it. Fields that a config does not have are left out.
SAVINGS = (("mesh.shard_state", True), ("model.remat", True), ("train.accumulate", 2), ("train.accumulate", 4))


@dataclasses.dataclass(frozen=True)
class Tried:
    """A candidate and what became of it.

    Attributes:
        fields: {dotted name of a config field: value}, of those that the search sets.
        batch_size: of all chips.
        compiled: Compiled, or None if it cannot be compiled.
        bound: Bound, or None.
        reason: why it is ruled out; "" if it is not.
    """

    fields: dict[str, object]
    batch_size: int
    compiled: Compiled | None
    bound: Bound | None
    reason: str

    @property
    def seconds_per_image(self):
        """The bound of a step's time, divided by the images of the batch."""
        return self.bound.seconds / self.batch_size


def changed(config, fields):
    """A copy of a ConfigDict with fields {dotted name: value}."""
    copied = config.copy_and_resolve_references()
    copied.update_from_flattened_dict(fields)
    return copied


def as_flags(fields):
    """Fields as they are written on the command line."""
    return " ".join(f"--config.{name}={value}" for name, value in fields.items())


def batches_for(config, machine):
    """Batch sizes to try: that of the config, and once and twice the next multiple of the number of chips."""
    size = config.train.batch_size
    multiple = -(-size // machine.chips) * machine.chips
    return sorted({size, multiple, 2 * multiple})


def spaces_for(config, machine):
    """Values of mesh.space that use as many chips as possible, for the batch of a config; the first ones split images least.

    Raises:
        ValueError: there are none.
    """
    train_step, possible, refused = find_family(config).train_step(config), {}, None
    for space in range(1, machine.chips + 1):
        try:
            split = split_of_run(changed(config, {"mesh.space": space}), train_step, machine.chips, machine.hosts)
            possible[space] = split.devices
        except ValueError as error:
            refused = error
    if not possible:
        raise refused
    return [space for space, devices in possible.items() if devices == max(possible.values())]


def search(
    config, machine, compile_step: Callable[[object], Compiled], batches: Iterable[int] = (), savings=SAVINGS
) -> Iterator[Tried]:
    """Compiles candidates, one after the other.

    Args:
        config: ConfigDict.
        machine: machines.Machine.
        compile_step: config -> Compiled; may raise ValueError or CompilerError.
        batches: batch sizes; by default those of `batches_for`.
        savings: (field, value) pairs, as in SAVINGS.

    Yields:
        Tried, as soon as it is known.
    """
    savings = [(name, value) for name, value in savings if name in flat(config)]
    for batch_size in batches or batches_for(config, machine):
        of_batch = {"train.batch_size": batch_size}
        try:
            spaces = spaces_for(changed(config, of_batch), machine)
        except ValueError as error:
            yield Tried(of_batch, batch_size, None, None, str(error))
            continue
        for space in spaces:
            yield from _until_it_fits(config, machine, compile_step, of_batch | {"mesh.space": space}, savings)


def _until_it_fits(config, machine, compile_step, fields, savings):
    for name, value in (None, None), *savings:
        fields = fields if name is None else fields | {name: value}
        candidate = changed(config, fields)
        try:
            compiled = compile_step(candidate)
        except (CompilerError, ValueError) as error:
            yield Tried(fields, candidate.train.batch_size, None, None, str(error))
            return
        yield Tried(fields, candidate.train.batch_size, compiled, bound(compiled.costs, machine.chip), compiled.complaint)
        if compiled.fits:
            return


def ranked(tried):
    """Those that fit, the fastest by their bound first; of equal ones, that with the least memory."""
    return sorted((one for one in tried if not one.reason), key=lambda one: (one.seconds_per_image, one.compiled.memory))
