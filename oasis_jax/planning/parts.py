"""What the parts of a training step cost: an instruction belongs to the part that its path of scopes names."""
import dataclasses
import re

from oasis_jax.updates import AVERAGE, OPTIMIZER

REST = "losses, draws, metrics"
_UPDATE = re.compile(r"(?:^|[/(])((?:update|regularise)_\w+)")
_NETWORK = re.compile(r"\b(Generator|Discriminator)\b")


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of the step.

    Attributes:
        name: such as "G update: D backward".
        flops, traffic: of an average step.
    """

    name: str
    flops: float
    traffic: float


def part_of(op_name):
    """The name of the part that a path of scopes belongs to.

    Both "forward" and what is computed again in a rematerialised backward pass are named by the network; what is computed again counts as
    backward.
    """
    for scope in (OPTIMIZER, AVERAGE):
        if re.search(rf"(?:^|/){scope}(?:/|$)", op_name):
            return f"{OPTIMIZER} and {AVERAGE}"
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
    """The Parts of `costs.Cost`s, in the order in which they run; the shared ones last."""
    totals = {}
    for cost in costs:
        total = totals.setdefault(part_of(cost.op_name), [0.0, 0.0])
        total[0] += cost.flops
        total[1] += cost.traffic
    shared = (REST, f"{OPTIMIZER} and {AVERAGE}")
    ordered = sorted(totals, key=lambda name: (name in shared and 1 + shared.index(name), list(totals).index(name)))
    return [Part(name, *totals[name]) for name in ordered]
