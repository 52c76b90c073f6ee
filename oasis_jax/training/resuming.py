"""Which config fields may change when a run is resumed."""
import json

from oasis_jax.checkpoint import CheckpointError

# Data fields that must equal those of the checkpoint on resume; other fields (learning rates, lengths, folders) may change.
FIXED_DATA_FIELDS = ("num_classes", "image_size", "dontcare_id", "label_offset", "label_map")


def check_config_fits(saved, current, free_model_fields=(), fixed_train_fields=()):
    """Checks that a run with config `current` can be resumed from a checkpoint with config `saved`.

    Args:
        saved, current: nested dicts.
        free_model_fields: fields of config.model that change how the model is computed, not the model.
        fixed_train_fields: fields of config.train that the state depends on, or would be damaged by.

    Raises:
        CheckpointError: fields differ that must be equal; the message names them.
    """
    saved, current = json.loads(json.dumps([saved, current]))  # makes tuples and lists equal
    fields = [("data", name) for name in FIXED_DATA_FIELDS]
    # Fields that the checkpoint lacks were added later; restoring fails if model fields change the structure of the state.
    fields += [("train", name) for name in fixed_train_fields if name in saved.get("train", {})]
    fields += [("model", name) for name in sorted(set(saved["model"]) - set(free_model_fields))]
    pairs = {f"{section}.{name}": (saved[section].get(name), current[section].get(name)) for section, name in fields}
    pairs["family"] = (saved.get("family", current.get("family")), current.get("family"))  # older checkpoints lack the field
    differing = [f"{name} (checkpoint {old!r}, config {new!r})" for name, (old, new) in pairs.items() if old != new]
    if differing:
        raise CheckpointError(f"config and checkpoint differ in {', '.join(differing)}: restore the values, or choose another workdir")
