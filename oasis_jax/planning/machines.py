"""Accelerators that a step can be compiled for, by name."""
import dataclasses
import importlib.util
import math
import re

from oasis_jax.planning.gpus import target_text

GIB, GB = 2**30, 1e9


@dataclasses.dataclass(frozen=True)
class Chip:
    """Figures of a chip, as published by its maker.

    Attributes:
        name: as in --topology.
        platform: JAX's name for it, "tpu" or "cuda".
        memory: bytes.
        flops: bfloat16 operations per second of its matrix units.
        bandwidth: bytes per second to and from the memory.
        options: options of its topology description besides the layout.
        single_host: layout of a slice on a single host, which has more chips than a host of a larger slice.
    """

    name: str
    platform: str
    memory: float
    flops: float
    bandwidth: float
    options: tuple[tuple[str, object], ...] = ()
    single_host: tuple[int, ...] = ()


CHIPS = {
    chip.name: chip
    for chip in (
        # https://cloud.google.com/tpu/docs/v4: 275 TFLOPs, 32 GiB, 1200 GBps; 1228 GB/s in table 4 of arXiv:2304.01433. Its two cores
        # are one device.
        Chip("v4", "tpu", 32 * GIB, 275e12, 1228 * GB, (("chip_config_name", "megacore"),)),
        # https://cloud.google.com/tpu/docs/v5e: 197 TFLOPs, 16 GB, 819 GBps.
        Chip("v5e", "tpu", 16 * GIB, 197e12, 819 * GB, single_host=(2, 4)),
        # https://cloud.google.com/tpu/docs/v5p: 459 TFLOPs, 95 GB, 2765 GBps.
        Chip("v5p", "tpu", 95 * GIB, 459e12, 2765 * GB),
        # https://cloud.google.com/tpu/docs/v6e: 918 TFLOPs, 32 GB, 1640 GBps.
        Chip("v6e", "tpu", 32 * GIB, 918e12, 1640 * GB, single_host=(2, 4)),
        # NVIDIA's data sheet of the H100 SXM: 989 TFLOPS without sparsity, 80 GB, 3.35 TB/s.
        Chip("h100", "cuda", 80 * GB, 989e12, 3350 * GB),
    )
}
# {platform: (modules, one of which contains the compiler; how to install it)}.
COMPILERS = {
    "tpu": (("libtpu",), "pip install 'oasis_jax[tpu]'"),
    "cuda": (
        ("jax_cuda12_plugin", "jax_cuda13_plugin"),
        "pip install --no-deps jax-cuda12-plugin==VERSION jax-cuda12-pjrt==VERSION, with the VERSION of jax",
    ),
}
_HOST = 2  # chips per host along each of the first two axes of a layout
_TOPOLOGY = re.compile(r"(?:(\d+)x)?([a-z]\w*):(\d+(?:x\d+)*)")


@dataclasses.dataclass(frozen=True)
class Machine:
    """The chips that one program runs on.

    Attributes:
        chip: Chip.
        layout: chips along each axis of a slice.
        slices: number of slices, which are connected by a slower network.
    """

    chip: Chip
    layout: tuple[int, ...]
    slices: int = 1

    def __str__(self):
        layout = "x".join(map(str, self.layout))
        return f"{f'{self.slices}x' if self.slices > 1 else ''}{self.chip.name}:{layout}"

    @property
    def chips(self):
        """Number of chips."""
        return self.slices * math.prod(self.layout)

    @property
    def platform(self):
        """JAX's name for the backend: "tpu" or "gpu"."""
        return {"cuda": "gpu"}.get(self.chip.platform, self.chip.platform)

    @property
    def host_bounds(self):
        """Chips of one host along the three axes."""
        sides = (*self.layout, 1, 1)
        if self.layout == self.chip.single_host:
            return sides[:3]
        return (min(_HOST, sides[0]), min(_HOST, sides[1]), 1)

    @property
    def hosts(self):
        """Number of hosts, each of which runs one process."""
        return self.chips // math.prod(self.host_bounds) if self.chip.platform == "tpu" else self.slices

    def require_compiler(self):
        """Raises ValueError if the compiler for these chips is missing; the message says what to install."""
        modules, install = COMPILERS[self.chip.platform]
        if not any(map(importlib.util.find_spec, modules)):
            raise ValueError(f"--topology={self} needs the compiler for these chips, but no {self.platform.upper()}: {install}")

    def devices(self):
        """The devices of a topology description of this machine; no arrays can be placed on them.

        Raises:
            ValueError: there is no such layout, or the compiler is not installed or does not match the version of jax.
        """
        self.require_compiler()
        from jax.experimental import topologies  # loads the compiler

        if self.chip.platform == "tpu":
            layout = "x".join(map(str, self.layout))
            options = {"chips_per_host_bounds": self.host_bounds, "num_slices": self.slices, **dict(self.chip.options)}
            described = {"platform": "tpu", "topology_name": f"{self.chip.name}:{layout}", **options}
        else:
            layout = f"1x{self.slices}x{self.chips // self.slices}"
            described = {"platform": "cuda", "topology_name": "", "topology": layout, "target_config": target_text(self.chip.name)}
        try:
            return list(topologies.get_topology_desc(**described).devices)
        except RuntimeError as error:
            raise ValueError(f"--topology={self}: {str(error).splitlines()[0]}") from None


def find_machine(topology, slices=1):
    """The Machine that a text such as "v5e:4x4" or "2xv5e:4x4" (two slices) describes.

    Args:
        topology: text CHIP:LAYOUT or SLICESxCHIP:LAYOUT.
        slices: number of slices, if `topology` does not give it.

    Raises:
        ValueError: `topology` is not of this form or names no chip of CHIPS, which the message lists; or it contradicts `slices`.
    """
    match = _TOPOLOGY.fullmatch(topology)
    if not match or match[2] not in CHIPS:
        known = ", ".join(CHIPS)
        raise ValueError(f"--topology={topology}: write CHIP:LAYOUT, such as v5e:4x4, v4:2x2x4, h100:8 or 2xv5e:4x4; chips are {known}")
    layout, chip = tuple(map(int, match[3].split("x"))), CHIPS[match[2]]
    if 0 in layout or slices < 1 or match[1] == "0":
        raise ValueError(f"--topology={topology} and --slices={slices}: numbers of chips and slices are 1 or more")
    if match[1] and slices not in (1, int(match[1])):
        raise ValueError(f"--topology={topology} and --slices={slices} give two numbers of slices: leave out one of them")
    return Machine(chip, layout, int(match[1] or slices))
