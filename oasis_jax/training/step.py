"""One training step of OASIS (section 6): G update, D update on fakes of the updated G, EMA of G. Pure, to be compiled as one function."""
import dataclasses
from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax

from oasis_jax.metrics.equilibrium import di_seg_of_batch, log_fake_probability
from oasis_jax.models import Discriminator, Generator
from oasis_jax.models.spatial import render
from oasis_jax.training import attention, losses

MUTABLE_G = ["batch_stats", "spectral_norm"]
MUTABLE_D = ["spectral_norm"]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The numbers of a training recipe; the defaults are the published ones for ADE20K and COCO-Stuff.

    Attributes:
      dontcare_id: class without loss weight, -1 for none.
      balance: weigh classes by inverse frequency.
      balance_groups: groups of the global batch inside which classes are counted.
      labelmix: lambda of the LabelMix consistency, 0 for none.
      perceptual: weight of the feature loss, used where the step has a feature network.
      ema_decay: of every entry of G's variables.
      sequential: run D on fake, real and mixed images one after the other, with a power iteration each, as the published system does;
        otherwise as one batch with one power iteration.
    """

    dontcare_id: int = 0
    balance: bool = True
    balance_groups: int = 1
    labelmix: float = 10.0
    perceptual: float = 0.0
    ema_decay: float = 0.9999
    sequential: bool = False


@flax.struct.dataclass
class Draws:
    """The random numbers of one step.

    Attributes:
      noise_g, noise_d: (B, z_dim) for the fakes of the G and of the D update, or None without noise.
      labelmix_mask: (B, H, W) of 0 and 1, 1 where the mixed image is real.
      heatmaps_g, heatmaps_d: (B, 7, 3) for the two updates, or None without spatial awareness.
    """

    noise_g: jax.Array | None
    noise_d: jax.Array | None
    labelmix_mask: jax.Array
    heatmaps_g: jax.Array | None = None
    heatmaps_d: jax.Array | None = None


def draw(seed, step, label_map, num_classes, z_dim, heatmaps=None):
    """The Draws of a step: a function of (seed, step, purpose) alone, whatever the sharding; but for heatmaps (B, 2, 7, 3) of the input."""
    keys = [jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), step), purpose) for purpose in range(3)]
    batch = label_map.shape[0]
    # Drawn along one axis: XLA takes twenty times as long to compile a draw along two.
    noise = [jax.random.normal(key, (batch * z_dim,)).reshape(batch, z_dim) if z_dim else None for key in keys[:2]]
    bits = jax.random.bernoulli(keys[2], shape=(batch * num_classes,)).reshape(batch, num_classes)
    of_updates = (None, None) if heatmaps is None else (heatmaps[:, 0], heatmaps[:, 1])
    return Draws(*noise, losses.labelmix_mask(label_map, bits), *of_updates)


def normalise(image):
    """uint8 images 0..255 as floats in [-1, 1]."""
    return image.astype(float) / 127.5 - 1


@dataclasses.dataclass(frozen=True)
class TrainStep:
    """The update of a TrainState by one batch.

    Attributes:
      generator, discriminator: modules.
      optimizer_g, optimizer_d: optax transformations.
      recipe: the numbers.
      seed: of the run.
      features: image (B, H, W, 3) -> sequence of (weight, feature map), for the perceptual loss; None leaves it out.
      alignment: of G's heatmaps with D's attention, for a spatially aware generator; None leaves it out.
    """

    generator: Generator
    discriminator: Discriminator
    optimizer_g: optax.GradientTransformation
    optimizer_d: optax.GradientTransformation
    recipe: Recipe
    seed: int = 0
    features: Callable[[jax.Array], Any] | None = None
    alignment: attention.Alignment | None = None

    def __call__(self, state, batch):
        """Updates a TrainState by a batch.

        Args:
          state: TrainState.
          batch: {"image": (B, H, W, 3) uint8, "label_map": (B, H, W) integer}, and "heatmaps" (B, 2, 7, 3) for a spatially aware generator.

        Returns:
          (state, metrics): scalars "loss_g", "loss_d_fake", "loss_d_real", those that the recipe adds, and "di_seg" of the batch as D is
          before its update (`metrics.equilibrium`).
        """
        label_map = batch["label_map"].astype(jnp.int32)
        draws = draw(self.seed, state.step, label_map, self.generator.num_classes, self.generator.z_dim, batch.get("heatmaps"))
        return self.update(state, normalise(batch["image"]), label_map, draws)

    def update(self, state, image, label_map, draws):
        """The step for given random numbers; image in [-1, 1]."""
        weights = self.pixel_weights(label_map)
        state, metrics_g = self.update_generator(state, image, label_map, weights, draws)
        state, metrics_d = self.update_discriminator(state, image, label_map, weights, draws)
        decay = self.recipe.ema_decay
        ema = jax.tree.map(lambda average, new: decay * average + (1 - decay) * new, state.ema, state.generator)
        metrics = metrics_g | metrics_d
        if self.generator.capacities:
            metrics["dense_fallback"] = 1.0 - self.generator.fits(label_map)  # over steps, the share that had no room for its boundaries
        return state.replace(step=state.step + 1, ema=ema), metrics

    def pixel_weights(self, label_map):
        """omega_t of every pixel (B, H, W), or 1 without class balance."""
        if not self.recipe.balance:
            return 1.0
        return losses.class_weights(label_map, self.generator.num_classes, self.recipe.dontcare_id, self.recipe.balance_groups)

    def update_generator(self, state, image, label_map, weights, draws):
        """Adam step of G; D's singular vectors move as in any of its forwards, its parameters do not."""
        params = state.generator["params"]
        gradient = jax.value_and_grad(self.generator_loss, has_aux=True)
        (_, (metrics, statistics_g, statistics_d)), gradients = gradient(params, state, image, label_map, weights, draws)
        updates, opt_state = self.optimizer_g.update(gradients, state.opt_state_g, params)
        state = state.replace(
            generator={"params": optax.apply_updates(params, updates), **statistics_g},
            discriminator={**state.discriminator, **statistics_d},
            opt_state_g=opt_state,
        )
        return state, metrics

    def generator_loss(self, params, state, image, label_map, weights, draws):
        """mean(omega_t CE(D(fake), t + 1)), and alignment and perceptual loss if any -> (loss, (metrics, new statistics of G, of D))."""
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
            metrics["loss_g_perceptual"] = self.recipe.perceptual * distance
        return sum(metrics.values()), (metrics, statistics_g, statistics_d)

    def aligned_loss(self, adversarial, fake, state, label_map, heatmaps):
        """The adversarial loss of the fakes and the alignment of D's attention with G's heatmaps -> (metrics, new statistics of D)."""
        rule, size = self.alignment, label_map.shape[1:]
        blocks = attention.attended_blocks(rule.side, self.discriminator.num_blocks)
        targets = attention.targets(render(heatmaps, size, self.generator.isotropic))
        cared = label_map != self.recipe.dontcare_id

        def align(features, gradients):
            pairs = zip(attention.attention_maps(features, gradients, blocks, size), targets, strict=True)
            of_levels = [attention.alignment_loss(*pair, rule.threshold, cared if rule.mask_dontcare else None) for pair in pairs]
            return rule.weight_at(state.step) * sum(w * loss for w, loss in zip(rule.level_weights, of_levels, strict=True))

        loss, aligned, gradient, statistics = attention.value_and_gradient(
            self.discriminator,
            state.discriminator,
            jax.lax.stop_gradient(fake),
            adversarial,
            None if rule.objective == "ce" else lambda logits: jnp.sum(jnp.where(cared, log_fake_probability(logits), 0)),
            align,
            sum(blocks, ()),
            MUTABLE_D,
            None if rule.every == 1 else state.step % rule.every == 0,
        )
        # The gradient of both is at hand; it comes in with the first.
        return {"loss_g": attention.with_gradient(fake, loss, gradient), "loss_g_align": aligned}, statistics

    def update_discriminator(self, state, image, label_map, weights, draws):
        """Adam step of D, on fakes of the G in `state`; G's statistics move as in any of its forwards."""
        fake, statistics_g = self.generator.apply(
            state.generator, label_map, draws.noise_d, draws.heatmaps_d, train=True, mutable=MUTABLE_G
        )
        params = state.discriminator["params"]
        gradient = jax.value_and_grad(self.discriminator_loss, has_aux=True)
        (_, (metrics, statistics_d)), gradients = gradient(params, state, image, fake, label_map, weights, draws)
        updates, opt_state = self.optimizer_d.update(gradients, state.opt_state_d, params)
        state = state.replace(
            generator={**state.generator, **statistics_g},
            discriminator={"params": optax.apply_updates(params, updates), **statistics_d},
            opt_state_d=opt_state,
        )
        return state, metrics

    def discriminator_loss(self, params, state, image, fake, label_map, weights, draws):
        """Real by class, fake as fake, and the LabelMix consistency -> (loss, (metrics, new statistics of D))."""
        image = image.astype(fake.dtype)
        mixes = [losses.mix(draws.labelmix_mask, image, fake)] if self.recipe.labelmix else []
        run = self._one_by_one if self.recipe.sequential else self._as_one_batch
        logits, statistics = run({**state.discriminator, "params": params}, [fake, image, *mixes])
        on_fake, on_real, *on_mixed = logits
        metrics = {
            "loss_d_fake": losses.fake_target_loss(on_fake),
            "loss_d_real": losses.real_target_loss(on_real, label_map, weights),
        }
        if on_mixed:
            metrics["loss_d_labelmix"] = self.recipe.labelmix * losses.labelmix_loss(on_mixed[0], on_real, on_fake, draws.labelmix_mask)
        log_fake = [jax.lax.stop_gradient(log_fake_probability(result)) for result in (on_real, on_fake)]
        di_seg = di_seg_of_batch(*log_fake, label_map, self.generator.num_classes, self.recipe.dontcare_id)
        return sum(metrics.values()), ({**metrics, "di_seg": di_seg}, statistics)

    def _one_by_one(self, variables, images):
        logits = []
        for image in images:
            result, statistics = self.discriminator.apply(variables, image, train=True, mutable=MUTABLE_D)
            variables = {**variables, **statistics}
            logits.append(result)
        return logits, statistics

    def _as_one_batch(self, variables, images):
        # Stacked behind the batch axis, never concatenated along it: each device keeps its own examples and nothing is moved.
        stacked = jnp.stack(images, axis=1)
        result, statistics = self.discriminator.apply(variables, stacked.reshape(-1, *stacked.shape[2:]), train=True, mutable=MUTABLE_D)
        result = result.reshape(*stacked.shape[:2], *result.shape[1:])
        return [result[:, i] for i in range(len(images))], statistics
