"""Size, time per image, and difference from the model, for each form in which a checkpoint can be exported.

    python -m benchmarks.exports --checkpoint=runs/scenes
    python -m benchmarks.exports --published --height=256 --width=512 --repeats=2

Label maps are those of procedural scenes, or of --root, with classes modulo the model's number of classes. With --published, the model has
the widths of the published one and random weights. Differences are in grey levels, over all images: the largest, and the mean. Times are
processor time, so that other work on the machine matters little; they exclude loading, and compilation on first use.
"""
import argparse
import time

import jax
import numpy as np
import onnxruntime

import oasis_jax
from benchmarks import label_maps
from benchmarks.faults import without_traceback
from configs import cityscapes
from oasis_jax.export import export
from oasis_jax.exporting.stored_weights import FORMATS
from oasis_jax.layers.initial import initial_variables
from oasis_jax.oasis import family
from oasis_jax.oasis.exported import table_of
from oasis_jax.oasis.from_config import make_generator

FORMS = [("onnx", {"conditioning": "dense"}), ("onnx", {"conditioning": "regions"}), ("stablehlo", {})]


def published(size):
    """A model of published widths with random weights."""
    config = cityscapes.get_config()
    config.data.image_size = size
    generator = make_generator(config)
    given = np.zeros((1, *size), np.int32), np.zeros((1, generator.z_dim), np.float32)
    return family.model(config, jax.jit(lambda: initial_variables(generator, 1.0, jax.random.key(0), *given))(), 0)


def loaded(form, data):
    """A function of arrays that runs an exported model."""
    if form == "onnx":
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # more threads would wait for work in busy loops, which takes processor time
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        return lambda arrays: session.run(None, arrays)[0]
    call = jax.jit(jax.export.deserialize(bytearray(data)).call)
    return lambda arrays: np.asarray(call(*arrays.values()))


def timed(function, given, repeats):
    """(median processor seconds of a call, results), without the first call with each argument."""
    times, results = [], []
    for each in given:
        for repeat in range(repeats + 1):
            start = time.process_time()
            result = function(each)
            if repeat:
                times.append(time.process_time() - start)
        results.append(result)
    return np.median(times), np.stack(results).astype(int)


def run(args):
    size = args.height, args.width
    model = published(size) if args.published else oasis_jax.load(args.checkpoint)
    if "label_map" not in model.columns:
        raise ValueError(f"{args.checkpoint} takes no label maps: give a model of OASIS")
    maps = label_maps.read(args, size, args.count)[0] % model.num_classes
    inputs = [model.inputs([seed], {"label_map": maps[seed : seed + 1]}) for seed in range(args.count)]
    arrays = list(map(table_of, inputs))
    seconds, expected = timed(lambda each: model.images(each)[0], inputs, args.repeats)
    print(f"{args.height}x{args.width}, {args.count} images with a standard deviation of {expected.std():.0f} grey levels\n")
    print("| form | conditioning | weights | MB | processor seconds | difference | mean |\n|---|---|---|---|---|---|---|")
    print(f"| `load(...).sample` | | | | {seconds:.3f} | | |", flush=True)
    for form, options in (each for each in FORMS if each[0] in args.forms):
        for weights in FORMATS:
            data, _ = export(model, form, weights, **options)
            seconds, images = timed(loaded(form, data), arrays, args.repeats)
            difference = np.abs(images - expected)
            cells = form, options.get("conditioning", "dense"), weights, f"{len(data) / 1e6:.2f}", f"{seconds:.3f}"
            print("|", " | ".join(cells), f"| {difference.max()} | {difference.mean():.3f} |", flush=True)


@without_traceback("exports", ValueError)
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    label_maps.add_flags(parser)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--checkpoint", help="of a model that takes label maps")
    which.add_argument("--published", action="store_true", help="instead, a model of published widths with random weights")
    forms = list(dict.fromkeys(form for form, _ in FORMS))
    parser.add_argument("--forms", nargs="+", default=forms, choices=forms, help="forms to measure")
    parser.add_argument("--count", type=int, default=4, help="number of label maps")
    parser.add_argument("--repeats", type=int, default=5, help="timed images of each label map")
    args = parser.parse_args()
    if min(args.count, args.repeats) < 1:
        parser.error("--count and --repeats are 1 or more")
    run(args)


if __name__ == "__main__":
    main()
