"""One training step of EqGAN-SA: G, D on fakes of the updated G, lazy regularisation, EMA of G. Pure; compiled as one function."""
import dataclasses
import functools
from collections.abc import Callable

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jax import lax

from oasis_jax.axes import along_batch
from oasis_jax.eqgan import losses
from oasis_jax.eqgan.alignment import Alignment, attended_forward
from oasis_jax.eqgan.discriminator import Discriminator
from oasis_jax.eqgan.generator import Generator
from oasis_jax.eqgan.mapping import AVERAGES, Mapping
from oasis_jax.eqgan.synthesis import NOISE
from oasis_jax.heatmaps import NUM_MAPS, of_key
from oasis_jax.layers import attention
from oasis_jax.layers.initial import drawn_at_once, standard_normal
from oasis_jax.ranges import normalise
from oasis_jax.updates import AVERAGE, create_state, descend, in_parts, now_and_then

PATH_LENGTH = "path_length"  # collection of the running mean of path lengths, which only the train step uses
PATH_DECAY = 0.99
PATH_SHRINK = 2
INITIAL, TRAINING = 0xFFFFFFFF, 0xFFFFFFFE  # folded into the run's key first, for initial values and for steps
DI_FORMULA = "di_of_batch = mean_logit_real - mean_logit_fake"


@dataclasses.dataclass(frozen=True)
class Hyperparameters:
    """The numbers of a training recipe; the defaults are the published ones for 256x256.

    Attributes:
        r1_gamma: weight of R1; 0 turns it off.
        r1_every: interval in steps of the D update by R1, whose weight is multiplied by this number.
        path_length: weight of the path-length regularisation, computed on half as many images as a batch has; 0 turns it off.
        path_every: interval in steps of the G update by this regularisation, whose weight is multiplied by this number.
        style_mixing: share of images in training whose styles come from two latents.
        ema_images: half-life of a generator's weight in the average, in images.
        accumulate: number of parts of the batch, run one after the other, whose gradients are averaged (not in the path-length update). The
            minibatch standard deviation and the alignment's threshold then see one part at a time; everything else is as for the whole
            batch.
        ema_ramp: limits `ema_images` to this share of the images seen so far; 0 for no limit.
    """

    r1_gamma: float = 1.0
    r1_every: int = 16
    path_length: float = 0.0
    path_every: int = 4
    style_mixing: float = 0.0
    ema_images: float = 20_000.0
    ema_ramp: float = 0.0
    accumulate: int = 1

    def ema_decay(self, step, batch_size):
        """0.5 to the power of batch_size / ema_images, in the step that follows `step` steps."""
        images = jnp.asarray(self.ema_images, float)
        if self.ema_ramp:
            images = jnp.minimum(images, step * batch_size * self.ema_ramp)
        return jnp.where(images > 0, 0.5 ** (batch_size / jnp.maximum(images, 1e-8)), 0)


@flax.struct.dataclass
class Draws:
    """The random numbers of one generator update or one discriminator update.

    Attributes:
        z: (B, z_dim).
        noise: (B, noise_size).
        heatmaps: (B, 7, 3); None without spatial awareness.
        second_z: (B, z_dim), second latents for style mixing; None without it.
        mixed_from: (B,), first style row that comes from `second_z`.
    """

    z: jax.Array
    noise: jax.Array | str | None
    heatmaps: jax.Array | None = None
    second_z: jax.Array | None = None
    mixed_from: jax.Array | None = None


def draw(key, image, generator, style_mixing=0.0, heatmaps=None):
    """The Draws of a key, for as many images as the batch `image` has, sharded like that batch."""
    of_z, of_noise, of_second, of_rows = jax.random.split(key, 4)
    batch = len(image)
    z, noise = (standard_normal(each, (batch, size)) for each, size in ((of_z, generator.z_dim), (of_noise, generator.noise_size)))
    draws = Draws(along_batch(z), noise, heatmaps)
    if not style_mixing:
        return draws
    mixed, row = jax.random.uniform(of_rows, (2 * batch,)).reshape(2, batch)
    rows = generator.num_ws
    first = jnp.where(mixed < style_mixing, 1 + jnp.floor(row * (rows - 1)).astype(jnp.int32), rows)
    return draws.replace(second_z=standard_normal(of_second, (batch, generator.z_dim)), mixed_from=first)


@dataclasses.dataclass(frozen=True)
class TrainStep:
    """The update of a TrainState by one batch; a `family.TrainStep`.

    Attributes:
        generator, discriminator: modules.
        optimizer_g, optimizer_d: optax transformations.
        hyper: Hyperparameters.
        seed: seed of the run.
        alignment: Alignment of G's heatmaps with D's attention, for a spatially aware generator; None omits it.
        schedules: (name, step -> learning rate) pairs, to be logged.
    """

    generator: Generator
    discriminator: Discriminator
    optimizer_g: optax.GradientTransformation
    optimizer_d: optax.GradientTransformation
    hyper: Hyperparameters
    seed: int = 0
    alignment: Alignment | None = None
    schedules: tuple[tuple[str, Callable], ...] = ()

    recent_batches = 0
    splits_rows = False  # resampling is exact on parts of images, but the whole step has not been compared with one device
    legend = {"di_of_batch": DI_FORMULA}
    advice = {}

    def learning_rates(self, step):
        """{name: float}, after `step` updates."""
        return {name: float(schedule(step)) for name, schedule in self.schedules}

    def describe(self, image_size):
        """A line of text: what is trained."""
        aligned = "with" if self.alignment else "without"
        kind = f"spatial encoding layers, {aligned} alignment" if self.generator.spatially_aware else "no spatial encoding layers"
        return f"StyleGAN2 at {image_size[0]}x{image_size[1]}, {kind}"

    def averaged(self, state, recent):
        """The averaged generator to sample with: `state.ema`, unchanged."""
        return state.ema

    def init(self, image_size):
        """The TrainState at step 0 for images of a size (H, W): a pure function of the seed."""
        key_g, key_d = jax.random.split(jax.random.fold_in(jax.random.key(self.seed), INITIAL))
        heatmaps = jnp.ones((1, NUM_MAPS, 3)) if self.generator.spatially_aware else None
        generator = self.generator.init(key_g, jnp.zeros((1, self.generator.z_dim)), heatmaps)
        generator = drawn_at_once(generator, key_g, _initial_scale) | {PATH_LENGTH: {"mean": jnp.zeros(())}}
        discriminator = self.discriminator.clone(groups=1).init(key_d, jnp.zeros((1, *image_size, 3)))  # one image cannot be divided
        return create_state(generator, drawn_at_once(discriminator, key_d, _initial_scale), self.optimizer_g, self.optimizer_d)

    def __call__(self, state, batch):
        """Updates a TrainState by a batch.

        Args:
            state: TrainState.
            batch: {"image": (B, H, W, 3) uint8}, and "heatmaps" (B, 2, 7, 3), of the G and of the D update, if G is spatially aware.

        Returns:
            (state, metrics): scalars "loss_g", "loss_d_fake", "loss_d_real", the losses of other terms that are switched on, and the mean
            logits of D, before its update, on real and on generated images, with their difference. "loss_d_r1" and "loss_g_path" are 0 in
            steps without their update, and multiplied by its interval in the others, so that their means over whole intervals are those of
            the terms.
        """
        image = normalise(batch["image"])
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(self.seed), TRAINING), state.step)
        heatmaps = batch["heatmaps"].swapaxes(0, 1) if self.generator.spatially_aware else (None, None)
        draws = [self.draw(jax.random.fold_in(key, purpose), image, heatmaps[purpose]) for purpose in (0, 1)]
        return self.update(state, image, *draws, jax.random.fold_in(key, 2))

    def draw(self, key, image, heatmaps):
        """The Draws of a generator call in training, for given heatmaps."""
        return draw(key, image, self.generator, self.hyper.style_mixing, heatmaps)

    def update(self, state, image, draws_g, draws_d, key=None):
        """The step for given random numbers: image (B, H, W, 3) in [-1, 1], Draws of both updates, a key for the path-length update."""
        state, metrics = self.update_generator(state, draws_g)
        if self.hyper.path_length:
            regularise = functools.partial(self.regularise_generator, image=image, key=key)
            state, metrics["loss_g_path"] = self.every(self.hyper.path_every, state, regularise)
        state, metrics_d = self.update_discriminator(state, image, draws_d)
        metrics |= metrics_d
        if self.hyper.r1_gamma:
            regularise = functools.partial(self.regularise_discriminator, image=image)
            state, metrics["loss_d_r1"] = self.every(self.hyper.r1_every, state, regularise)
        decay = self.hyper.ema_decay(state.step, len(image))
        with jax.named_scope(AVERAGE):
            params = jax.tree.map(lambda average, new: new + decay * (average - new), state.ema["params"], state.generator["params"])
        return state.replace(step=state.step + 1, ema={**state.generator, "params": params}), metrics

    @staticmethod
    def every(interval, state, update):
        """`update(state)`, a pair (state, loss), in every `interval`-th step from the first on; otherwise (unchanged state, 0)."""
        loss = jax.eval_shape(update, state)[1]
        with now_and_then(interval):
            return lax.cond(state.step % interval == 0, update, lambda state: (state, jnp.zeros(loss.shape, loss.dtype)), state)

    def generate(self, variables, draws):
        """Images (B, H, W, 3) in training mode, and the updated running mean of styles."""
        ws, averages = self.styles(variables, draws)
        return self.generator.apply(variables, ws, draws.heatmaps, draws.noise, method="synthesise"), averages

    def styles(self, variables, draws):
        """Styles (B, num_ws, w_dim) in training mode, mixed where the Draws say so, and their updated running mean."""
        ws, averages = self.generator.apply(variables, draws.z, train=True, mutable=[AVERAGES], method="styles")
        if draws.second_z is not None:
            second = self.generator.apply(variables, draws.second_z, method="styles")
            ws = jnp.where((jnp.arange(ws.shape[1]) < draws.mixed_from[:, None])[..., None], ws, second)
        return ws, averages

    @jax.named_scope("update_generator")
    def update_generator(self, state, draws):
        """Adam step of G."""
        params, opt_state, (metrics, averages) = descend(
            lambda params, draws: self.generator_loss(params, state, draws),
            state.generator["params"],
            self.optimizer_g,
            state.opt_state_g,
            (draws,),
            self.hyper.accumulate,
        )
        return state.replace(generator={**state.generator, "params": params, **averages}, opt_state_g=opt_state), metrics

    def generator_loss(self, params, state, draws):
        """Non-saturating loss, plus the alignment loss if any -> (loss, (metrics, new running means))."""
        fake, averages = self.generate({**state.generator, "params": params}, draws)
        if self.alignment is None:
            metrics = {"loss_g": losses.real_loss(self.discriminator.apply(state.discriminator, fake))}
        else:
            align = functools.partial(self.alignment.loss, heatmaps=draws.heatmaps, size=fake.shape[1:3])
            passed = attended_forward(self.discriminator, state.discriminator, lax.stop_gradient(fake))
            loss, aligned, gradient = attention.value_and_gradient(passed, losses.real_loss, align)
            # `gradient` is that of both losses; it enters G's backward pass through the first one.
            metrics = {"loss_g": attention.with_gradient(fake, loss, gradient), "loss_g_align": aligned}
        return sum(metrics.values()), (metrics, averages)

    @jax.named_scope("regularise_generator")
    def regularise_generator(self, state, image, key):
        """Adam step of G by the path-length regularisation: (lengths - their running mean)^2 (StyleGAN2, equation 4).

        Args:
            state: TrainState.
            image: (B, H, W, 3) of the batch; only its number of images and its sharding are used.
            key: key of new draws for half as many images.
        """
        of_draws, of_heatmaps, of_y = jax.random.split(key, 3)
        few_images = image[::PATH_SHRINK]
        heatmaps = None
        if self.generator.spatially_aware:
            heatmaps = jax.vmap(of_key)(jax.random.split(of_heatmaps, len(few_images)))
            heatmaps = heatmaps.at[:, 0, 2].set(of_key(of_heatmaps)[0, 2])  # all images of a step share the coarse width
        few = self.draw(of_draws, few_images, heatmaps)
        before = state.generator[PATH_LENGTH]["mean"]

        def loss(params):
            variables = {**state.generator, "params": params}
            ws, averages = self.styles(variables, few)

            def synthesise(ws):
                return self.generator.apply(variables, ws, few.heatmaps, few.noise, method="synthesise")

            shape = jax.eval_shape(synthesise, ws)
            y = standard_normal(of_y, shape.shape, shape.dtype) / shape.shape[1]
            lengths = losses.path_lengths(synthesise, ws, y)
            mean = PATH_DECAY * before + (1 - PATH_DECAY) * jnp.mean(lengths)
            penalty = self.hyper.path_length * self.hyper.path_every * jnp.mean(jnp.square(lengths - mean))
            return penalty, (penalty, mean.astype(before.dtype), averages)

        params, opt_state, (penalty, mean, averages) = descend(loss, state.generator["params"], self.optimizer_g, state.opt_state_g)
        generator = {**state.generator, "params": params, **averages, PATH_LENGTH: {"mean": mean}}
        return state.replace(generator=generator, opt_state_g=opt_state), penalty

    @jax.named_scope("update_discriminator")
    def update_discriminator(self, state, image, draws):
        """Adam step of D on real images and on fakes of the G in `state`."""
        fake, averages = in_parts(lambda draws: self.generate(state.generator, draws), (draws,), self.hyper.accumulate)
        params, opt_state, metrics = descend(
            self.discriminator_loss,
            state.discriminator["params"],
            self.optimizer_d,
            state.opt_state_d,
            (image, fake),
            self.hyper.accumulate,
        )
        generator, discriminator = {**state.generator, **averages}, {**state.discriminator, "params": params}
        return state.replace(generator=generator, discriminator=discriminator, opt_state_d=opt_state), metrics

    def discriminator_loss(self, params, image, fake):
        """Logistic loss of D -> (loss, metrics)."""
        # Stacked along a new axis after the batch axis, never concatenated along it: each device keeps its examples, and no data are moved.
        stacked = jnp.stack([fake, image.astype(fake.dtype)], axis=1)
        logits = self.discriminator.apply({"params": params}, stacked.reshape(-1, *stacked.shape[2:]), sets=2).reshape(-1, 2)
        on_fake, on_real = logits[:, 0], logits[:, 1]
        metrics = {"loss_d_fake": losses.fake_loss(on_fake), "loss_d_real": losses.real_loss(on_real)}
        means = {"mean_logit_real": jnp.mean(on_real), "mean_logit_fake": jnp.mean(on_fake)}
        means["di_of_batch"] = means["mean_logit_real"] - means["mean_logit_fake"]
        return sum(metrics.values()), metrics | means

    @jax.named_scope("regularise_discriminator")
    def regularise_discriminator(self, state, image):
        """Adam step of D by R1, with the moments and the step count of its other updates."""

        def loss(params, image):
            penalties = losses.r1_penalty(lambda image: self.discriminator.apply({"params": params}, image), image)
            loss = self.hyper.r1_every * self.hyper.r1_gamma / 2 * jnp.mean(penalties)
            return loss, loss

        params, opt_state, penalty = descend(
            loss, state.discriminator["params"], self.optimizer_d, state.opt_state_d, (image,), self.hyper.accumulate
        )
        return state.replace(discriminator={**state.discriminator, "params": params}, opt_state_d=opt_state), penalty


def _initial_scale(path, leaf):
    """Standard deviation of the initial values of a leaf of the variables; None if they are constant."""
    if path[0] == NOISE or path[-1] in ("weight", "const"):
        return 1 / Mapping.lr_mult if "mapping" in path else 1.0
    return None
