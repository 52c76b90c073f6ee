"""The roofline model: lower bounds on the time of a step, at a chip's peak rates."""
import collections
import dataclasses

from oasis_jax.planning.parts import parts


@dataclasses.dataclass(frozen=True)
class Bound:
    """A lower bound on the time of a step, from the work of one chip.

    Attributes:
        flops: operations of convolutions and matrix products.
        traffic: bytes read from and written to the memory.
        compute, memory: seconds that flops and traffic take at the chip's peak rates.
    """

    flops: float
    traffic: float
    compute: float
    memory: float

    @property
    def seconds(self):
        """The bound: the longer of the two times, because arithmetic and traffic may overlap."""
        return max(self.compute, self.memory)

    @property
    def limit(self):
        """Text that says which of the two determines the bound."""
        return "arithmetic" if self.compute > self.memory else "memory traffic"


def bound(costs, chip):
    """The Bound of a list of `costs.Cost`s on a `machines.Chip`."""
    flops, traffic = (sum(getattr(cost, name) for cost in costs) for name in ("flops", "traffic"))
    return Bound(flops, traffic, flops / chip.flops, traffic / chip.bandwidth)


@dataclasses.dataclass(frozen=True)
class Collective:
    """Collectives of one kind in an average step: their number, their total bytes on one chip, and the bytes of the largest one."""

    kind: str
    count: float
    total: float
    largest: float


def collectives(costs):
    """The Collectives of a list of `costs.Cost`s, those with the most bytes first."""
    found = collections.defaultdict(list)
    for cost in costs:
        for kind, size in cost.sent.items():
            found[kind].append((cost.times, size))
    listed = [
        Collective(kind, sum(times for times, _ in each), sum(times * size for times, size in each), max(size for _, size in each))
        for kind, each in found.items()
    ]
    return sorted(listed, key=lambda one: -one.total)


def shares(costs):
    """[(Part, share of the arithmetic, share of the traffic)] of a step; `costs` is a list of `costs.Cost`s."""
    found = parts(costs)
    totals = [sum(part.flops for part in found) or 1, sum(part.traffic for part in found) or 1]
    return [(part, part.flops / totals[0], part.traffic / totals[1]) for part in found]


def traffic_by_kind(costs):
    """[(kind of instruction, bytes, share of the traffic)], those with the most bytes first."""
    found = collections.Counter()
    for cost in costs:
        found[cost.kind] += cost.traffic
    total = found.total() or 1
    return [(kind, moved, moved / total) for kind, moved in found.most_common() if moved]
