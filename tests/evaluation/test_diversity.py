"""Laws of the diversity of a generator: noise of one class is found where it acts, and nothing is measured twice."""
import functools
import types

import jax
import numpy as np
import pytest

from oasis_jax.data.datasets import DataSpec, open_split
from oasis_jax.data.scenes import CLASS_NAMES
from oasis_jax.evaluation import diversity
from oasis_jax.evaluation.cache import remembered
from oasis_jax.evaluation.sources import Examples
from oasis_jax.metrics.lpips import LPIPS
from oasis_jax.metrics.nets import vgg16
from oasis_jax.metrics.protocols import Protocol
from oasis_jax.recipes import as_recipes

SIZE = (32, 64)


class LocalModel:
    """Paints each class in a colour that is its noise, so that the noise of a class acts in its region alone."""

    num_classes = len(CLASS_NAMES)

    def __init__(self, loudness=1.0):
        self.loudness, self.calls = loudness, 0

    def inputs(self, recipes, batch):
        return batch["label_map"], np.stack([recipe.noise(self.num_classes, 3) for recipe in as_recipes(recipes)])

    def images(self, inputs):
        self.calls += 1
        colours = 128 + 50 * np.clip(self.loudness * inputs[1], -2, 2)
        return np.stack([table[label_map] for table, label_map in zip(colours, inputs[0], strict=True)]).astype(np.uint8)


@pytest.fixture(scope="module")
def lpips():
    """Random variables of a narrow LPIPS: filters that preserve the scale, and heads that are not negative, like the published ones."""
    image, rng = jax.ShapeDtypeStruct((1, *SIZE, 3), np.float32), np.random.default_rng(0)
    narrow = tuple(tuple((place, features // 32) for place, features in stage) for stage in vgg16._STAGES)

    def fill(path, leaf):
        drawn = rng.normal(0, np.sqrt(2 / max(np.prod(leaf.shape[:-1]), 1)), leaf.shape) * (path[-1].key == "kernel")
        return (np.abs(drawn) if "lin" in str(path) else drawn).astype(np.float32)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vgg16, "_STAGES", narrow)
        yield jax.tree_util.tree_map_with_path(fill, jax.eval_shape(LPIPS().init, jax.random.key(0), image, image))


def samples_of(model, maps=1):
    spec = DataSpec(layout="scenes", image_size=SIZE, scenes_val=4)
    protocol = Protocol("x", diversity_samples=3, diversity_maps=maps)
    examples = Examples(open_split(spec, "val"), spec, 4)
    return types.SimpleNamespace(model=model, examples=examples, protocol=protocol, identity=model.loudness)


def test_noise_of_a_class_is_found_inside_its_region_and_beyond_it_only_as_far_as_deep_features_look(lpips, tmp_path):
    finding = diversity.measure_diversity(samples_of(LocalModel()), lpips, functools.partial(remembered, tmp_path))
    scores, columns = finding.scores, finding.tables["per_class"]
    assert scores.keys() == {"pixel_change_of_3_samples", "lpips_of_3_samples"} and min(scores.values()) > 0
    present = np.isfinite(columns["lpips_inside"])
    assert present.sum() > 3
    assert (columns["lpips_inside"] > columns["lpips_outside"])[present].all() and (columns["lpips_outside"][present] > 0).all()
    assert (columns["pixel_change_inside"][present] > 0).all() and (columns["pixel_change_outside"][present] == 0).all()


def test_a_generator_that_is_deaf_to_noise_has_no_diversity(lpips, tmp_path):
    finding = diversity.measure_diversity(samples_of(LocalModel(0.0)), lpips, functools.partial(remembered, tmp_path))
    scores, columns = finding.scores, finding.tables["per_class"]
    assert set(scores.values()) == {0}
    assert all(np.nanmax(values) == 0 for values in columns.values())


def test_every_image_is_embedded_once(lpips, tmp_path, monkeypatch):
    embedded, embed = [], diversity._embed
    monkeypatch.setattr(diversity, "_embed", lambda variables, images: embedded.extend(images) or embed(variables, images))
    samples = samples_of(LocalModel())
    diversity.measure_diversity(samples, lpips, functools.partial(remembered, tmp_path))
    classes = len(np.unique(samples.examples.label_map(0)))
    assert len(embedded) == samples.protocol.diversity_samples + 1 + classes


def test_what_was_interrupted_is_resumed_at_the_next_label_map(tmp_path):
    def measure(model):
        return diversity.measure_diversity(samples_of(model, 2), None, functools.partial(remembered, tmp_path))

    class Interrupted(LocalModel):
        def images(self, inputs):
            if len(inputs[0]) > 1 and self.calls:  # the second label map begins
                raise KeyboardInterrupt
            return super().images(inputs)

    with pytest.raises(KeyboardInterrupt):
        measure(Interrupted())
    resumed, again = LocalModel(), LocalModel()
    found = measure(resumed)
    whole = LocalModel()
    expected = diversity.measure_diversity(samples_of(whole, 2), None, lambda identity, compute: compute())
    assert 0 < resumed.calls < whole.calls and found.scores == expected.scores
    np.testing.assert_equal(found.tables, expected.tables)
    assert measure(again).scores == found.scores and again.calls == 0
