"""Options of the sampling command, for the tests that run it in their own process."""
from types import SimpleNamespace


def sample_options(checkpoint, output, **changed):
    """The parsed flags of the command: their defaults, except for those in `changed`."""
    lists = ("resample_classes", "noise_seed_per_class", "style_mixing", "mixed_rows", "path")
    heatmaps = ("heatmap_centres", "heatmap_shift", "heatmap_scale")
    defaults = {name: [] for name in (*lists, *heatmaps)} | dict.fromkeys(("config", "labels", "recipe", "truncation", "truncated_rows"))
    defaults |= {"seed": 0, "count": 1, "interpolate": 0, "noise": "", "path_of": None, "frames": None, "size": "", "best": False}
    defaults |= {"as_dataset": False, "examples": None, "mirror": False, "mix": [], "favour_rare": False, "label_ids": None}
    assert not changed.keys() - defaults.keys()
    return SimpleNamespace(checkpoint=checkpoint, output=str(output), **(defaults | changed))
