"""The studio as one HTML file that needs no server: it contains the front end, the network, its runtime and examples."""
import base64
import gzip
import json
import pathlib

from oasis_jax import pictures, saved
from oasis_jax.heatmaps import formula_of_seed
from oasis_jax.id_maps import png_of
from oasis_jax.sample_labels import class_colours, label_rule
from oasis_jax.studio import assets
from oasis_jax.studio.examples import find_examples
from oasis_jax.studio.file_rule import file_rule
from oasis_jax.studio.model_facts import model_facts, name_of_run

_MOST_EXAMPLES = 12
_RUNTIME = pathlib.Path(__file__).parent / "runtime"
_LINKS = '<link rel="stylesheet" href="studio.css">', '<script type="module" src="start.js"></script>', "</body>"  # of index.html


def page_of(model, checkpoint, network, labels=None):
    """The page of a model, as one HTML file.

    Args:
        model: family.Model that takes label maps.
        checkpoint: path that the model was loaded from. The page only contains its name, because pages are given to other people.
        network: bytes of the model's ONNX file, with float32 inputs of any size.
        labels: a file, folder or pattern of label files to offer as examples, the first 12; None for procedural scenes, if the model was
            trained on them.

    Returns:
        HTML, as bytes.

    Raises:
        DataError: the label files cannot be used.
    """
    rule = file_rule(model, label_rule(model))
    examples = find_examples(model, model.image_size, rule, labels)
    colours, coded = class_colours(model), []
    for name in examples.names[:_MOST_EXAMPLES]:
        ids, photo, notice = examples.read(name)
        files = {"labels": png_of(ids, colours)} | ({} if photo is None else {"photo": pictures.png(photo)})
        coded.append({"name": name, "notice": notice} | {kind: _base64(data) for kind, data in files.items()})
    facts = {
        "info": model_facts(model, _name_for_others(checkpoint), model.image_size, [each["name"] for each in coded]),
        "files": rule.facts(),
        "noise_length": model.generator.z_dim,
        "heatmaps": formula_of_seed(),
        "examples": coded,
    }
    parts = {
        "facts": gzip.compress(json.dumps(facts, ensure_ascii=False).encode(), mtime=0),
        "worker": gzip.compress((assets.PAGE / "inference_worker.js").read_bytes(), mtime=0),
        "runtime": gzip.compress((_RUNTIME / "ort.wasm.min.mjs").read_bytes(), mtime=0),
        "glue": gzip.compress((_RUNTIME / "ort-wasm-simd-threaded.mjs").read_bytes(), mtime=0),
        "wasm": (_RUNTIME / "ort-wasm-simd-threaded.wasm.gz").read_bytes(),
        "model": gzip.compress(network, mtime=0),
    }
    scripts = [f'<script type="text/plain" data-part="{name}">{_base64(data)}</script>' for name, data in parts.items()]
    module = assets.module("standalone.js").replace("</script", "<\\/script")
    scripts.append(f'<script type="module">\n{module}\nawait start(document.querySelector("body > div"));\n</script>')
    style = f"<style>\n{(assets.PAGE / 'studio.css').read_text(encoding='utf-8')}</style>"
    page = (assets.PAGE / "index.html").read_text(encoding="utf-8")
    for link, instead in zip(_LINKS, (style, "", "\n".join([*scripts, _LINKS[-1]])), strict=True):
        before, found, after = page.partition(link)
        assert found, f"index.html lacks {link}"
        page = before + instead + after
    return page.encode()


def _name_for_others(checkpoint):
    """The name of a model for people on other machines; a run is never called like a model of this package, which commands would find."""
    reference = saved.reference(checkpoint)
    name = name_of_run(reference)
    return f"{name} (another model)" if name in saved.names() and reference != name else name


def _base64(data):
    return base64.b64encode(data).decode()
