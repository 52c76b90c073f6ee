"""Descriptions of NVIDIA GPUs, with which the CUDA plugin compiles on machines without a GPU."""

# {name of a chip of `machines.CHIPS`: target of XLA's GPU compiler, a stream_executor.GpuTargetConfigProto}. Values are from the CUDA
# programming guide, for compute capability 9.0, and from NVIDIA's data sheet of the H100 SXM.
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


def target_text(chip):
    """The target of a chip of TARGETS, in protocol buffer text format."""
    return _as_text(TARGETS[chip])


def _as_text(fields):
    def field(name, value):
        if isinstance(value, dict):
            return f"{name} {{ {_as_text(value)} }}"
        return f'{name}: "{value}"' if isinstance(value, str) else f"{name}: {value}"

    return " ".join(field(*item) for item in fields.items())
