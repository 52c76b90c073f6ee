"""One training step of OASIS (section 6): G update, D update on fakes of the updated G, EMA of G. Pure; compiled as one function."""
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from oasis_jax.axes import rows_are_split
from oasis_jax.heatmaps import NUM_MAPS
from oasis_jax.layers import attention
from oasis_jax.layers.initial import KERNEL_GAIN, initial_variables
from oasis_jax.layers.spatial import render
from oasis_jax.oasis import losses
from oasis_jax.oasis.alignment import Alignment, attended_blocks, attended_forward
from oasis_jax.oasis.capacities import describe
from oasis_jax.oasis.discriminator import Discriminator
from oasis_jax.oasis.disequilibrium import DI_SEG_FORMULA, di_seg_of_batch, log_fake_probability
from oasis_jax.oasis.draws import Draws as Draws
from oasis_jax.oasis.draws import draw
from oasis_jax.oasis.first_steps import halved
from oasis_jax.oasis.generator import MUTABLE_G, Generator
from oasis_jax.oasis.refresh import refresh_once
from oasis_jax.ranges import normalise
from oasis_jax.updates import AVERAGE, create_state, descend, in_parts, now_and_then

MUTABLE_D = ["spectral_norm"]
UNFIT = "a label map has more boundaries than the data check found, so its file has changed since: delete data_check.json in the workdir"
LACKING = {
    "segmentation": "G is not trained, because D learns alone in the first train.segmentation_steps",
    "coarse": "nothing is trained at the full height and width, because the first train.coarse_steps are at half: expect poor images",
}


@dataclasses.dataclass(frozen=True)
class Hyperparameters:
    """The numbers of a training recipe; the defaults are the published ones for ADE20K and COCO-Stuff.

    Attributes:
        dontcare_id: class without loss weight if `balance` is true; -1 for none.
        balance: weight classes by inverse frequency; otherwise all pixels weigh the same, as published, those of `dontcare_id` too.
        balance_groups: number of groups of the global batch within which classes are counted.
        max_weight: upper limit of a class weight if `balance` is true; 0 for no limit.
        segmentation_steps: number of first steps that only train D, on the classes of real photos.
        coarse_steps: number of the first step at full height and width. Those before it train at half, except `segmentation_steps`.
        labelmix: lambda of the LabelMix consistency loss, 0 for none.
        perceptual: weight of the perceptual loss, used if the TrainStep has `features`.
        ema_decay: decay of the moving average of all of G's variables.
        ema_warmup: the decay after t updates of G is min(ema_decay, (1 + t) / (10 + t)), so that the average forgets the initial weights.
        sequential: run D on fake, real and mixed images one after the other, with one power iteration each, as the published system does.
            Otherwise they are one batch with one power iteration.
        init_gain: gain of the Xavier-normal initial kernels.
        accumulate: number of parts of the batch, run one after the other, whose gradients are averaged. G's batch statistics and the
            alignment's threshold then see one part at a time, and `di_seg_of_batch` is a mean over parts; all else is as for the batch.
        shared_fakes: train D on the fakes of the G update instead of new fakes of the updated G. This is a different algorithm, which saves
            a pass through G; G's statistics are updated once per step. `accumulate` must be 1.
        refresh_batches: number of batches whose forward passes refresh the averaged generator's batch statistics.
    """

    dontcare_id: int = 0
    balance: bool = True
    balance_groups: int = 1
    max_weight: float = 0.0
    segmentation_steps: int = 0
    coarse_steps: int = 0
    labelmix: float = 10.0
    perceptual: float = 0.0
    ema_decay: float = 0.9999
    ema_warmup: bool = False
    sequential: bool = False
    init_gain: float = KERNEL_GAIN
    accumulate: int = 1
    shared_fakes: bool = False
    refresh_batches: int = 51


@dataclasses.dataclass(frozen=True)
class TrainStep:
    """The update of a TrainState by one batch; a `family.TrainStep`.

    Attributes:
        generator, discriminator: modules.
        optimizer_g, optimizer_d: optax transformations.
        hyper: Hyperparameters.
        seed: seed of the run.
        features: image (B, H, W, 3) -> sequence of (weight, feature map), for the perceptual loss; None omits that loss.
        alignment: Alignment of G's heatmaps with D's attention, for a spatially aware generator; None omits it.
        schedules: (name, step -> learning rate) pairs, to be logged.
        kind: "whole", "coarse" or "segmentation"; see `at`.
    """

    generator: Generator
    discriminator: Discriminator
    optimizer_g: optax.GradientTransformation
    optimizer_d: optax.GradientTransformation
    hyper: Hyperparameters
    seed: int = 0
    features: Callable[[jax.Array], Any] | None = None
    alignment: Alignment | None = None
    schedules: tuple[tuple[str, Callable], ...] = ()
    kind: str = "whole"

    splits_rows = True
    legend = {"di_seg_of_batch": DI_SEG_FORMULA, "di_seg": DI_SEG_FORMULA}
    advice = {"dense_fallback": UNFIT}

    @property
    def recent_batches(self):
        """Number of latest batches that `averaged` needs."""
        return self.hyper.refresh_batches

    def learning_rates(self, step):
        """{name: float}, after `step` updates."""
        return {name: float(schedule(step)) for name, schedule in self.schedules}

    def at(self, step):
        """The TrainStep to use after `step` updates: one of another kind in the first steps, if the hyperparameters say so."""
        for count, kind in ((self.hyper.segmentation_steps, "segmentation"), (self.hyper.coarse_steps, "coarse")):
            if step < count:  # the data check counted label maps at full size only
                return dataclasses.replace(self, kind=kind, generator=self.generator.clone(known_to_fit=False))
        return self

    @property
    def lacking(self):
        """What is missing from a run that ends with a step of this kind; "" if nothing is."""
        return LACKING.get(self.kind, "")

    def updates_of_g(self, state):
        """Number of updates of G in a TrainState; fewer than steps if the first ones only train D."""
        return state.step - self.hyper.segmentation_steps

    def describe(self, image_size):
        """A line of text: how conditioning is computed for images of a size (H, W)."""
        return describe(() if rows_are_split() else self.generator.capacities, image_size)

    def init(self, image_size):
        """The TrainState at step 0 for images of a size (H, W): a pure function of the seed."""
        key_g, key_d = jax.random.split(jax.random.key(self.seed))
        generator, gain = self.generator, self.hyper.init_gain
        labels = jnp.zeros((1, *image_size), jnp.int32)
        noise = jnp.zeros((1, generator.z_dim)) if generator.z_dim else None
        heatmaps = jnp.ones((1, NUM_MAPS, 3)) if generator.spatially_aware else None
        variables_g = initial_variables(generator, gain, key_g, labels, noise, heatmaps)
        variables_d = initial_variables(self.discriminator, gain, key_d, jnp.zeros((1, *image_size, 3)))
        return create_state(variables_g, variables_d, self.optimizer_g, self.optimizer_d)

    def averaged(self, state, recent):
        """The averaged generator to sample with: `state.ema` with batch statistics refreshed on recent batches.

        The running average itself is not changed, so the steps at which checkpoints are saved do not influence the training.

        Args:
            state: TrainState.
            recent: iterable of (number of the batch, batch), with batches as in `__call__`, but without images.
        """
        ema, generator = state.ema, self.generator.clone(known_to_fit=False)  # the first steps do not check if label maps fit
        for number, batch in recent:
            ema = refresh_once(generator, ema, batch, np.uint32(self.seed), number, self.hyper.accumulate)
        return ema

    def __call__(self, state, batch):
        """Updates a TrainState by a batch.

        Args:
            state: TrainState.
            batch: {"image": (B, H, W, 3) uint8, "label_map": (B, H, W) integer}, and "heatmaps" (B, 2, 7, 3) if G is spatially aware.

        Returns:
            (state, metrics): scalars "loss_g", "loss_d_fake", "loss_d_real", those that the hyperparameters add, and "di_seg_of_batch"
            by D before its update (`oasis.disequilibrium`).
        """
        if self.kind == "segmentation":
            return self.learn_segmentation(state, batch)
        if self.kind == "coarse":
            batch = halved(batch)
        label_map = batch["label_map"].astype(jnp.int32)
        draws = draw(self.seed, state.step, label_map, self.generator.num_classes, self.generator.z_dim, batch.get("heatmaps"))
        return self.update(state, normalise(batch["image"]), label_map, draws)

    def learn_segmentation(self, state, batch):
        """Updates D only, on the classes of real photos -> (state, {"loss_d_real"})."""
        label_map = batch["label_map"].astype(jnp.int32)
        arguments = normalise(batch["image"]), label_map, self.pixel_weights(label_map)
        state, metrics = self._descend_discriminator(state, self.segmentation_loss, *arguments)
        return state.replace(step=state.step + 1), metrics

    def update(self, state, image, label_map, draws):
        """The step for given random numbers; image (B, H, W, 3) in [-1, 1]."""
        weights = self.pixel_weights(label_map)
        state, metrics_g, fake = self.update_generator(state, image, label_map, weights, draws)
        if not self.hyper.shared_fakes:
            state, fake = self.generate_for_discriminator(state, label_map, draws)
        state, metrics_d = self.update_discriminator(state, image, fake, label_map, weights, draws)
        decay = self.hyper.ema_decay
        if self.hyper.ema_warmup:
            count = self.updates_of_g(state)
            decay = jnp.minimum(decay, (1 + count) / (10 + count))
        with jax.named_scope(AVERAGE):
            ema = jax.tree.map(lambda average, new: decay * average + (1 - decay) * new, state.ema, state.generator)
        return state.replace(step=state.step + 1, ema=ema), metrics_g | metrics_d | self.fallback(label_map)

    def fallback(self, label_map):
        """{"dense_fallback": 1 if a label map exceeds a capacity, else 0}; its mean over steps is the share of dense steps.

        If the step has no dense form, the value is NaN instead of 1, which ends the run. {} if nothing is computed on regions.
        """
        if not self.generator.capacities or rows_are_split():
            return {}
        exceeded = jnp.nan if self.generator.known_to_fit else 1.0
        return {"dense_fallback": jnp.where(self.generator.fits(label_map), 0.0, exceeded)}

    def pixel_weights(self, label_map):
        """The weight omega_t of every pixel, (B, H, W); 1 without class balance."""
        if not self.hyper.balance:
            return 1.0
        hyper = self.hyper
        return losses.class_weights(label_map, self.generator.num_classes, hyper.dontcare_id, hyper.balance_groups, hyper.max_weight)

    @jax.named_scope("update_generator")
    def update_generator(self, state, image, label_map, weights, draws):
        """Adam step of G -> (state, metrics, its fakes if D is trained on them, else None).

        D's singular vectors are updated, as in every forward pass of D; its params are not.
        """
        params, opt_state, (metrics, statistics_g, statistics_d, fake) = descend(
            lambda params, *part: self.generator_loss(params, state, *part),
            state.generator["params"],
            self.optimizer_g,
            state.opt_state_g,
            (image, label_map, weights, draws),
            self.hyper.accumulate,
        )
        state = state.replace(
            generator={"params": params, **statistics_g},
            discriminator={**state.discriminator, **statistics_d},
            opt_state_g=opt_state,
        )
        return state, metrics, fake

    def generator_loss(self, params, state, image, label_map, weights, draws):
        """mean(omega_t CE(D(fake), t + 1)), plus the alignment and perceptual losses, if any.

        Returns:
            (loss, (metrics, new statistics of G, new statistics of D, the fakes if D is trained on them, else None)).
        """
        variables = {**state.generator, "params": params}
        fake, statistics_g = self.generator.apply(variables, label_map, draws.noise_g, draws.heatmaps_g, train=True, mutable=MUTABLE_G)

        def adversarial(logits):
            return losses.real_target_loss(logits, label_map, weights)

        if self.alignment is None:
            logits, statistics_d = self.discriminator.apply(state.discriminator, fake, train=True, mutable=MUTABLE_D)
            metrics = {"loss_g": adversarial(logits)}
        else:
            metrics, statistics_d = self.aligned_loss(adversarial, fake, state, label_map, draws.heatmaps_g)
        if self.features is not None:
            pairs = zip(self.features(fake), self.features(image), strict=True)
            distance = sum(weight * jnp.mean(jnp.abs(of_fake - of_real)) for (weight, of_fake), (_, of_real) in pairs)
            metrics["loss_g_perceptual"] = self.hyper.perceptual * distance
        shared = fake if self.hyper.shared_fakes else None
        return sum(metrics.values()), (metrics, statistics_g, statistics_d, shared)

    def aligned_loss(self, adversarial, fake, state, label_map, heatmaps):
        """The adversarial loss of the fakes and the alignment of D's attention with G's heatmaps -> (metrics, new statistics of D)."""
        rule, size = self.alignment, label_map.shape[1:]
        blocks = attended_blocks(rule.side, self.discriminator.num_blocks)
        targets = attention.targets(render(heatmaps, size, self.generator.isotropic))
        cared = label_map != self.hyper.dontcare_id

        def align(features, gradients):
            pairs = zip(attention.attention_maps(features, gradients, blocks, size), targets, strict=True)
            of_levels = [attention.alignment_loss(*pair, rule.threshold, cared if rule.mask_dontcare else None) for pair in pairs]
            return rule.weight_at(self.updates_of_g(state)) * sum(w * loss for w, loss in zip(rule.level_weights, of_levels, strict=True))

        def fakeness(logits):
            return jnp.sum(jnp.where(cared, log_fake_probability(logits), 0))

        passed = attended_forward(self.discriminator, state.discriminator, jax.lax.stop_gradient(fake), blocks, MUTABLE_D)
        objective = None if rule.objective == "ce" else fakeness
        due = None if rule.every == 1 else state.step % rule.every == 0
        with now_and_then(rule.every):
            loss, aligned, gradient = attention.value_and_gradient(passed, adversarial, align, objective, due)
        # `gradient` is that of both losses; it enters G's backward pass through the first one.
        return {"loss_g": attention.with_gradient(fake, loss, gradient), "loss_g_align": aligned}, passed.collections

    @jax.named_scope("update_discriminator")
    def generate_for_discriminator(self, state, label_map, draws):
        """Fakes of the G in `state`, to train D on -> (state, (B, H, W, 3)). G's statistics are updated, as in every forward pass."""
        generate = functools.partial(self.generator.apply, state.generator, train=True, mutable=MUTABLE_G)
        fake, statistics = in_parts(generate, (label_map, draws.noise_d, draws.heatmaps_d), self.hyper.accumulate)
        return state.replace(generator={**state.generator, **statistics}), fake

    @jax.named_scope("update_discriminator")
    def update_discriminator(self, state, image, fake, label_map, weights, draws):
        """Adam step of D -> (state, metrics)."""
        return self._descend_discriminator(state, self.discriminator_loss, image, fake, label_map, weights, draws)

    def _descend_discriminator(self, state, loss, *batch):
        """Adam step of D by loss(params, state, *batch) -> (state, metrics)."""
        params, opt_state, (metrics, statistics_d) = descend(
            lambda params, *part: loss(params, state, *part),
            state.discriminator["params"],
            self.optimizer_d,
            state.opt_state_d,
            batch,
            self.hyper.accumulate,
        )
        return state.replace(discriminator={"params": params, **statistics_d}, opt_state_d=opt_state), metrics

    def segmentation_loss(self, params, state, image, label_map, weights):
        """Loss of real images by class only -> (loss, (metrics, new statistics of D))."""
        (on_real,), statistics = self._one_by_one({**state.discriminator, "params": params}, [image])
        metrics = {"loss_d_real": losses.real_target_loss(on_real, label_map, weights)}
        return metrics["loss_d_real"], (metrics, statistics)

    def discriminator_loss(self, params, state, image, fake, label_map, weights, draws):
        """Loss of real images by class and of fakes as fake, plus LabelMix consistency -> (loss, (metrics, new statistics of D))."""
        image = image.astype(fake.dtype)
        mixes = [losses.mix(draws.labelmix_mask, image, fake)] if self.hyper.labelmix else []
        run = self._one_by_one if self.hyper.sequential else self._as_one_batch
        logits, statistics = run({**state.discriminator, "params": params}, [fake, image, *mixes])
        on_fake, on_real, *on_mixed = logits
        metrics = {
            "loss_d_fake": losses.fake_target_loss(on_fake),
            "loss_d_real": losses.real_target_loss(on_real, label_map, weights),
        }
        if on_mixed:
            metrics["loss_d_labelmix"] = self.hyper.labelmix * losses.labelmix_loss(on_mixed[0], on_real, on_fake, draws.labelmix_mask)
        log_fake = [jax.lax.stop_gradient(log_fake_probability(result)) for result in (on_real, on_fake)]
        di_seg = di_seg_of_batch(*log_fake, label_map, self.generator.num_classes, self.hyper.dontcare_id)
        return sum(metrics.values()), ({**metrics, "di_seg_of_batch": di_seg}, statistics)

    def _one_by_one(self, variables, images):
        logits = []
        for image in images:
            result, statistics = self.discriminator.apply(variables, image, train=True, mutable=MUTABLE_D)
            variables = {**variables, **statistics}
            logits.append(result)
        return logits, statistics

    def _as_one_batch(self, variables, images):
        # Stacked along a new axis after the batch axis, never concatenated along it: each device keeps its examples, and no data are moved.
        stacked = jnp.stack(images, axis=1)
        result, statistics = self.discriminator.apply(variables, stacked.reshape(-1, *stacked.shape[2:]), train=True, mutable=MUTABLE_D)
        result = result.reshape(*stacked.shape[:2], *result.shape[1:])
        return [result[:, i] for i in range(len(images))], statistics
