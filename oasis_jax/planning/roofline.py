"""The roofline: how long a step takes at least, at a chip's peak rates."""
import collections
import dataclasses

from oasis_jax.planning.parts import parts


@dataclasses.dataclass(frozen=True)
class Bound:
    """A lower bound of a step's time, by what one chip does in it.

    Attributes:
        flops: of convolutions and matrix products.
        traffic: bytes read from and written to the memory.
        compute, memory: seconds that these take at the chip's peaks.
    """

    flops: float
    traffic: float
    compute: float
    memory: float

    @property
    def seconds(self):
        """The bound: arithmetic and traffic may overlap, so it is the longer of the two."""
        return max(self.compute, self.memory)

    @property
    def limit(self):
        """What the bound comes from."""
        return "arithmetic" if self.compute > self.memory else "memory traffic"


def bound(costs, chip):
    """The Bound of `costs.Cost`s on a `machines.Chip`."""
    flops, traffic = (sum(getattr(cost, name) for cost in costs) for name in ("flops", "traffic"))
    return Bound(flops, traffic, flops / chip.flops, traffic / chip.bandwidth)


@dataclasses.dataclass(frozen=True)
class Collective:
    """Collectives of one kind in an average step: how many, their bytes on one chip in all, and those of the largest."""

    kind: str
    count: float
    total: float
    largest: float


def collectives(costs):
    """The Collectives of `costs.Cost`s, those with most bytes first."""
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
    """[(Part, its share of the arithmetic, its share of the traffic)] of a step."""
    found = parts(costs)
    totals = [sum(part.flops for part in found) or 1, sum(part.traffic for part in found) or 1]
    return [(part, part.flops / totals[0], part.traffic / totals[1]) for part in found]


def traffic_by_kind(costs):
    """[(kind of instructions, their bytes, their share of the traffic)], those with most bytes first."""
    found = collections.Counter()
    for cost in costs:
        found[cost.kind] += cost.traffic
    total = found.total() or 1
    return [(kind, moved, moved / total) for kind, moved in found.most_common() if moved]
