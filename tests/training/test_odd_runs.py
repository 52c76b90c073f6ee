"""The training command, on random folders and config fields, ends with a trained model or with a single error report."""
import pathlib
import re
import subprocess
import tempfile

import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st

from configs import custom
from tests.killed_run import ENVIRONMENT, ROOT, command
from tests.odd_files import NUM_CLASSES
from tests.odd_folders import SPLITS, Pair, check_report, quick, write_splits

TINY = {
    "data.num_classes": NUM_CLASSES, "data.image_size": (16, 32), "data.resize_size": (), "model.num_blocks": 2, "model.channels": 2,
    "model.spade_hidden": 4, "model.z_dim": 4, "model.d_channels": (4, 4), "model.d_last": 4, "train.batch_size": 2, "train.num_steps": 2,
    "train.ema_refresh_batches": 1, "log.images_every_steps": 1,
}
FIELDS = {  # {field: {value: whether it is wrong}}
    "seed": {3: False, 2**40: True},
    "data.workers": {2: False, -1: True},
    "data.dontcare_id": {0: False, 255: True},
    "data.cache": {True: False},
    "data.resize_size": {(20, 40): False, (20, 0): True},
    "data.label_map": {"255:0": False},
    "train.num_epochs": {0: False, -3: True},
    "train.lr_g": {1e-3: False, float("nan"): True},
    "eval.batch_size": {1: False, 0: True},
    "eval.max_examples": {0: False, -1: True},
    "eval.every_steps": {1: False, -1: True},
    "log.every_steps": {0: False, 1: False},
    "train.shared_fakes": {True: False},
    "model.dtype": {"float32": False, "float8": True},
}
SECONDS = 240  # time limit of one command, on a busy machine
VALID = [
    Pair("a b", "sub [1]", "jpeg", "png palette", (17, 9), "", None, 1),
    Pair("latin\udce9", "", "png", "png rgb", (24, 32), "", None, 2),
]
_drawn = {name: st.sampled_from([*values, *[value for value, wrong in values.items() if not wrong] * 3]) for name, values in FIELDS.items()}
_some = st.lists(st.sampled_from([*FIELDS]), max_size=4)
some_fields = _some.flatmap(lambda names: st.fixed_dictionaries({name: _drawn[name] for name in names}))


@pytest.mark.slow
@quick(3)
@given(pairs=SPLITS, fields=some_fields)
@example(pairs=(VALID, VALID), fields={"eval.every_steps": 1, "log.every_steps": 0})
@example(pairs=(VALID, VALID), fields={"data.resize_size": (20, 40), "data.cache": True, "train.shared_fakes": True})
def test_a_run_ends_trained_or_with_one_report(pairs, fields):
    with tempfile.TemporaryDirectory() as folder:
        root, workdir = pathlib.Path(folder, "data"), pathlib.Path(folder, "run")
        root.mkdir()
        listings = write_splits(root, pairs, colours=False)
        unchanged, config = custom.get_config(), custom.get_config()
        with config.ignore_type():
            config.update_from_flattened_dict(TINY | {"data.root": str(root)} | fields)
        line, options = command("custom", config, unchanged, workdir), {"capture_output": True, "errors": "surrogateescape"}
        done = subprocess.run(line, cwd=ROOT, env=ENVIRONMENT, timeout=SECONDS, **options)
        text = done.stdout + done.stderr
        assert "Traceback" not in text, text
        wrong = [name for name, value in fields.items() if FIELDS[name][value]]
        if done.returncode:
            event("refused")
            assert done.stderr.count("error: ") == 1, text
            found = [name for name in FIELDS if re.search(rf"(?m)^(error:)? *{re.escape(name)}=", done.stderr)]
            assert sorted(found) == sorted(wrong), text
            if not wrong:
                check_report(done.stderr, listings)
        else:
            event("trained")
            assert not wrong and all(listing.trainable is not False for listing in listings), text
            assert (workdir / "evaluation.json").exists(), text
