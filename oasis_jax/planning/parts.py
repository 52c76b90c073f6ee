"""The costs of the parts of a training step. An instruction belongs to the part that its path of scopes names."""
import dataclasses
import re

from oasis_jax.updates import AVERAGE, OPTIMIZER

REST, SHARED = "losses, draws, metrics", f"{OPTIMIZER} and {AVERAGE}"
_UPDATE = re.compile(r"(?:^|[/(])((?:update|regularise)_\w+)")
_NETWORK = re.compile(r"\b(Generator|Discriminator)\b")


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of the step.

    Attributes:
        name: such as "G update: D backward".
        flops, traffic: operations and bytes in an average step.
    """

    name: str
    flops: float
    traffic: float


def part_of(op_name):
    """The name of the part that a path of scopes belongs to; recomputation in a backward pass counts as backward."""
    for scope in (OPTIMIZER, AVERAGE):
        if re.search(rf"(?:^|/){scope}(?:/|$)", op_name):
            return SHARED
    update, network = _UPDATE.search(op_name), _NETWORK.search(op_name)
    if not network:
        return REST
    backward = "transpose(" in op_name or "rematted_computation" in op_name
    of_network = f"{network[1][0]} {'backward' if backward else 'forward'}"
    return f"{_short(update[1])}: {of_network}" if update else of_network


def _short(update):
    """"update_generator" -> "G update"."""
    verb, network = update.split("_", 1)
    return f"{network[0].upper()} {'regularisation' if verb == 'regularise' else verb}"


def parts(costs):
    """The Parts of a list of `costs.Cost`s: updates in the order in which they run, forward before backward; REST and SHARED come last."""
    totals = {}
    for cost in costs:
        total = totals.setdefault(part_of(cost.op_name), [0.0, 0.0])
        total[0] += cost.flops
        total[1] += cost.traffic
    updates = list(dict.fromkeys(_update(name) for name in totals))

    def place(name):
        return name == SHARED, name == REST, updates.index(_update(name)), name.endswith("backward")

    return [Part(name, *totals[name]) for name in sorted(totals, key=place)]


def _update(name):
    return name.rpartition(": ")[0]
