"""Options of XLA's compiler that replace unfavourable defaults, each with what it saves.

The figures are the compiler's own, for a training step of published widths (256x256, batch 4, bfloat16, one chip of a v5e). The options
change results only by the order of rounding. `docs/scaling.md` describes the other savings of the step.
"""

# This pass moves rows and columns into the batch where channels are few or convolutions are dilated; its copies cost more than it saves.
# Without it, the step moves 43 GB instead of 87.
TPU = {
    "xla_tpu_run_space_to_batch": False,
    "xla_tpu_run_space_to_batch_on_new_platforms": False,
}
# On-chip memory that one operation may use; the default is an eighth of what these chips have. With more memory, more operations are fused,
# and the step moves 43 GB instead of 48.
LARGE_MEMORY = {"xla_tpu_scoped_vmem_limit_kib": 65536}
LARGE_MEMORY_KINDS = ("TPU v5 lite", "TPU v6 lite")  # chips with 128 MiB


def options(device):
    """The `compiler_options` of a program for a device; {} on platforms other than TPU.

    Args:
        device: jax.Device, or one of a topology description.
    """
    if device.platform != "tpu":
        return {}
    return TPU | (LARGE_MEMORY if device.device_kind in LARGE_MEMORY_KINDS else {})
