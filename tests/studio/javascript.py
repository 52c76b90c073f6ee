"""Runs the studio's modules without a page: in Node.js, which is fast, or in Chromium if Node.js is not installed."""
import json
import pathlib
import shutil
import subprocess

import pytest

from oasis_jax import studio
from tests.studio.chromium import browser, fake_server, page_of

PAGE = pathlib.Path(studio.__file__).with_name("page")
NODE = shutil.which("node")
MARKS = [] if NODE else [pytest.mark.browser]  # for tests that call `run`


def run(folder, script, given):
    """Runs `script`, the body of an async function of `given` that may import the studio's modules. Returns its result, as JSON values.

    Args:
        folder: an empty folder, for copies of the modules.
        script: JavaScript that any engine can run; `const { noiseVector } = await import("./seeds.js")` imports from a module.
        given: JSON values.
    """
    return _in_node(folder, script, given) if NODE else _in_chromium(script, given)


def _in_node(folder, script, given):
    for module in PAGE.glob("*.js"):
        shutil.copy(module, folder)
    pathlib.Path(folder, "package.json").write_text('{"type": "module"}')
    main = f"""
import {{ readFileSync }} from "node:fs";
const call = async (given) => {{ {script} }};
console.log(JSON.stringify(await call(JSON.parse(readFileSync(0, "utf8")))));
"""
    pathlib.Path(folder, "run.mjs").write_text(main)
    done = subprocess.run([NODE, "run.mjs"], cwd=folder, input=json.dumps(given), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _in_chromium(script, given):
    call = f"""async (text) => {{
        document.head.append(Object.assign(document.createElement("base"), {{ href: "../page/" }}));
        const call = async (given) => {{ {script} }};
        return JSON.stringify(await call(JSON.parse(text)));
    }}"""
    with browser() as chromium, fake_server() as address, page_of(chromium, f"{address}/checks.html", ready="body") as page:
        return json.loads(page.evaluate(call, json.dumps(given)))
