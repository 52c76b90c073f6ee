"""Options of XLA's compiler where it chooses badly by itself, each with what it saves.

The figures are the compiler's own, for a training step of published widths (256x256, batch 4, bfloat16, one chip of a v5e). They change
what is computed only in the order of roundings. `docs/scaling.md` has the other cuts of the step.
"""

# This pass moves rows and columns into the batch where channels are few or convolutions dilated; its copies cost more than they save.
# Without it, the step moves 43 GB instead of 87.
TPU = {
    "xla_tpu_run_space_to_batch": False,
    "xla_tpu_run_space_to_batch_on_new_platforms": False,
}
# On-chip memory that one operation may use. By default it is an eighth of what these chips have. With more, more operations are fused, and
# the step moves 43 GB instead of 48.
LARGE_MEMORY = {"xla_tpu_scoped_vmem_limit_kib": 65536}
LARGE_MEMORY_KINDS = ("TPU v5 lite", "TPU v6 lite")  # chips with 128 MiB


def options(device):
    """`compiler_options` of a program for a device, {} for other platforms than TPU.

    Args:
        device: jax.Device, or one of a topology description.
    """
    if device.platform != "tpu":
        return {}
    return TPU | (LARGE_MEMORY if device.device_kind in LARGE_MEMORY_KINDS else {})
