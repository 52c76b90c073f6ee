"""The numbers of a training recipe of OASIS."""
import dataclasses

from oasis_jax.layers.initial import KERNEL_GAIN


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
        translation: all that D sees is moved at random by up to this many pixels, also at half size, but not in `segmentation_steps`; 0 for
            none (`oasis.translation`).
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
    translation: int = 0
    shared_fakes: bool = False
    refresh_batches: int = 51
