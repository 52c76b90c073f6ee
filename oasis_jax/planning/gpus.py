"""NVIDIA's GPUs as the CUDA plugin's compiler needs them described, where there are none."""
import importlib.util

# A target of XLA's compiler for GPUs (stream_executor.GpuTargetConfigProto), by the name of a chip of `machines.CHIPS`: what the CUDA
# programming guide has for compute capability 9.0, and NVIDIA's data sheet for the H100 SXM.
TARGETS = {
    "h100": {
        "gpu_device_info": {
            "cuda_compute_capability": {"major": 9},
            "core_count": 132,
            "fpus_per_core": 128,
            "clock_rate_ghz": 1.98,
            "threads_per_warp": 32,
            "threads_per_block_limit": 1024,
            "threads_per_core_limit": 2048,
            "registers_per_block_limit": 65536,
            "registers_per_core_limit": 65536,
            "shared_memory_per_block": 48 * 1024,
            "shared_memory_per_block_optin": 227 * 1024,
            "shared_memory_per_core": 228 * 1024,
            "l2_cache_size": 50 * 2**20,
            "memory_bandwidth": 3_350_000_000_000,
            "device_memory_size": 80_000_000_000,
            "block_dim_limit_x": 2**31 - 1,
            "block_dim_limit_y": 2**16 - 1,
            "block_dim_limit_z": 2**16 - 1,
        },
        "platform_name": "CUDA",
        "dnn_version_info": {"major": 9},
        "runtime_version": {"major": 12, "minor": 8},
        "device_description_str": "NVIDIA H100 80GB HBM3",
    }
}


def gpu_devices(machine):
    """The devices of a description of a Machine of GPUs.

    Raises:
        ValueError: the CUDA plugin is not installed, or is of another version than jax.
    """
    if not any(importlib.util.find_spec(f"jax_cuda{version}_plugin") for version in (12, 13)):
        raise ValueError(
            f"--topology={machine} needs the compiler for GPUs, but no GPU and none of NVIDIA's libraries: "
            "pip install --no-deps jax-cuda12-plugin==VERSION jax-cuda12-pjrt==VERSION, with the VERSION of jax"
        )
    from jax.experimental import topologies

    layout = f"1x{machine.slices}x{machine.chips // machine.slices}"
    try:
        described = topologies.get_topology_desc("", "cuda", target_config=as_text(TARGETS[machine.chip.name]), topology=layout)
    except RuntimeError as error:
        raise ValueError(f"--topology={machine}: {str(error).splitlines()[0]}") from None
    return list(described.devices)


def as_text(fields):
    """Nested dicts as the text form of a protocol buffer."""

    def field(name, value):
        if isinstance(value, dict):
            return f"{name} {{ {as_text(value)} }}"
        return f'{name}: "{value}"' if isinstance(value, str) else f"{name}: {value}"

    return " ".join(field(*item) for item in fields.items())
