"""Compiled training steps that are compared within one run."""
import time

import jax
import numpy as np


class Candidate:
    """A compiled step with its batch and its state.

    Args:
        name: for the printed lines.
        step: TrainStep.
        batch: of the step.
        size: (H, W) of the images.
        gflop: work of the step, however it is computed; None if it is not known.
    """

    def __init__(self, name, step, batch, size, gflop=None):
        self.name, self.batch, self.gflop = name, batch, gflop
        create = jax.jit(lambda: step.init(size))
        lowered = jax.jit(step, donate_argnums=0).lower(jax.eval_shape(create), batch)
        wall, processor = time.perf_counter(), time.process_time()
        self.compiled = lowered.compile()
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        memory = self.compiled.memory_analysis()
        self.peak = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes + memory.temp_size_in_bytes
        work = "" if gflop is None else f"published convolutions {gflop:.0f} GFLOP; "
        print(f"{name}: {work}{self.peak / 2**30:.2f} GiB; ", end="")
        print(f"compiled in {wall:.1f} s ({processor:.1f} s of processor time)", flush=True)
        self.create, self.state, self.times = create, None, []

    def take(self):
        """Takes one step. The first one creates the state and allocates memory, and is not counted."""
        first = self.state is None
        self.state = self.create() if first else self.state
        start = time.perf_counter()
        self.state, _ = jax.block_until_ready(self.compiled(self.state, self.batch))
        if not first:
            self.times.append(time.perf_counter() - start)

    def compare(self, other):
        """Prints the ratios of this candidate's numbers to those of another."""
        ratio = f"memory {self.peak / other.peak:.3f}"
        if self.gflop is not None:
            ratio += f", convolutions {self.gflop / other.gflop:.3f}"
        if self.times:
            ratios = np.divide(self.times, other.times)
            ratio += f", time {np.median(ratios):.3f} ({ratios.min():.3f} to {ratios.max():.3f} in neighbouring steps)"
        print(f"{self.name} over {other.name}: {ratio}")
