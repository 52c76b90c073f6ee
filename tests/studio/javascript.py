"""Runs the studio's modules outside of a browser."""
import json
import pathlib
import shutil
import subprocess

import pytest

from oasis_jax import studio

PAGE = pathlib.Path(studio.__file__).with_name("page")


def run(folder, script, given):
    """What `script` returns, as JSON values: the body of an async function of `given` that may import the studio's modules.

    Args:
        folder: an empty one, for copies of the modules.
        script: JavaScript; `const { noiseVector } = await import("./seeds.js")` imports from a module.
        given: JSON values.
    """
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed")
    for module in PAGE.glob("*.js"):
        shutil.copy(module, folder)
    pathlib.Path(folder, "package.json").write_text('{"type": "module"}')
    main = f"""
import {{ readFileSync }} from "node:fs";
const call = async (given) => {{ {script} }};
console.log(JSON.stringify(await call(JSON.parse(readFileSync(0, "utf8")))));
"""
    pathlib.Path(folder, "run.mjs").write_text(main)
    done = subprocess.run([node, "run.mjs"], cwd=folder, input=json.dumps(given), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
