"""Feature vectors per second of the Inception network of FID, compared with PyTorch in the same run.

    python -m benchmarks.inception --batch=32

Both networks have the same random weights, get the same resized images, and take turns, so that other work on the machine slows both
alike; the best time of each counts. PyTorch is needed for this comparison only. It is run as pytorch-fid runs it: in eager mode under
`inference_mode`, in its default memory layout.
"""
import argparse
import time
import zlib

import jax
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from oasis_jax.metrics.nets import inception


class Unit(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, inputs, outputs, kernel_size, stride, padding):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel_size, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x):
        return functional.relu(self.bn(self.conv(x)), inplace=True)


class Block(nn.Module):
    """The branches of one entry of `inception.BLOCKS`, concatenated."""

    POOLS = {
        "avg": lambda x: functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False),
        "max": lambda x: functional.max_pool2d(x, 3, 1, 1),
        "halve": lambda x: functional.max_pool2d(x, 3, 2),
    }

    def __init__(self, branches, channels):
        super().__init__()
        self.branches, self.channels = branches, 0
        for branch in branches:
            inputs = channels
            for layer in branch:
                if isinstance(layer, str):
                    continue
                units = layer if isinstance(layer[0], tuple) else (layer,)
                for name, outputs, kernel_size, stride in units:
                    size = kernel_size if isinstance(kernel_size, tuple) else (kernel_size, kernel_size)
                    padding = 0 if stride > 1 else (size[0] // 2, size[1] // 2)
                    self.add_module(name, Unit(inputs, outputs, size, stride, padding))
                inputs = sum(unit[1] for unit in units)
            self.channels += inputs

    def forward(self, x):
        outputs = []
        for branch in self.branches:
            y = [x]
            for layer in branch:
                if isinstance(layer, str):
                    y = [self.POOLS[layer](y[0])]
                else:
                    y = [getattr(self, unit[0])(y[0]) for unit in (layer if isinstance(layer[0], tuple) else (layer,))]
            outputs += y
        return torch.cat(outputs, 1)


class Network(nn.Module):
    """The network of pytorch-fid: (B, 3, 299, 299) -> features (B, 2048)."""

    def __init__(self):
        super().__init__()
        self.Conv2d_1a_3x3 = Unit(3, 32, 3, 2, 0)
        self.Conv2d_2a_3x3 = Unit(32, 32, 3, 1, 0)
        self.Conv2d_2b_3x3 = Unit(32, 64, 3, 1, 1)
        self.Conv2d_3b_1x1 = Unit(64, 80, 1, 1, 0)
        self.Conv2d_4a_3x3 = Unit(80, 192, 3, 1, 0)
        channels = 192
        for name, branches in inception.BLOCKS.items():
            self.add_module(name, Block(branches, channels))
            channels = getattr(self, name).channels
        self.fc = nn.Linear(channels, 1008)

    def forward(self, x):
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(functional.max_pool2d(x, 3, 2)))
        x = functional.max_pool2d(x, 3, 2)
        for name in inception.BLOCKS:
            x = getattr(self, name)(x)
        return x.mean((2, 3))


def random_state(network):
    """{name: numpy array}: random weights for a network, scaled to keep activations in range; each is a function of its name."""
    state = {}
    for name, entry in network.state_dict().items():
        rng, leaf = np.random.default_rng(zlib.crc32(name.encode())), name.rsplit(".", 1)[-1]
        if leaf == "weight" and entry.ndim > 1:
            state[name] = rng.normal(0, np.sqrt(2 / entry[0].numel()), entry.shape)
        elif leaf in ("weight", "running_var"):
            state[name] = rng.uniform(0.5, 1.5, entry.shape)
        elif leaf in ("bias", "running_mean"):
            state[name] = rng.normal(0, 0.1, entry.shape)
    return {name: array.astype(np.float32) for name, array in state.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()

    theirs = Network().eval()
    state = random_state(theirs)
    theirs.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()}, strict=False)
    variables = jax.device_put(inception.inception_variables(state))
    ours = jax.jit(lambda variables, x: inception.InceptionFID().apply(variables, x)["pool"])
    images = np.random.default_rng(0).uniform(-1, 1, (args.batch, *inception.SIZE, 3)).astype(np.float32)
    torch_images, jax_images = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), jax.device_put(images)

    def run_theirs():
        with torch.inference_mode():
            return theirs(torch_images).numpy()

    def run_ours():
        return np.asarray(ours(variables, jax_images))

    expected, found = run_theirs(), run_ours()
    print(f"largest difference, relative to the largest feature: {np.abs(found - expected).max() / np.abs(expected).max():.1e}")
    times = {"PyTorch": [], "oasis_jax": []}
    for _ in range(args.repeats):
        for name, run in (("PyTorch", run_theirs), ("oasis_jax", run_ours)):
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    speed = {name: args.batch / min(measured) for name, measured in times.items()}
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads; JAX {jax.__version__} on {jax.default_backend()}")
    for name, rate in speed.items():
        print(f"{name:10s} {rate:7.1f} features/s")
    print(f"ratio      {speed['oasis_jax'] / speed['PyTorch']:7.2f}")


if __name__ == "__main__":
    main()
