"""The studio as one HTML file without a server: front-end, network, runtime and examples inside."""
import base64
import gzip
import html
import json
import pathlib
import string

from oasis_jax.heatmaps import formula_of_seed

_HERE = pathlib.Path(__file__).parent
_TEMPLATE = string.Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<link rel="icon" href="data:,">
<style>
$style
</style>
</head>
<body>
<main></main>
$parts
<script type="module">
$module
await start(document.querySelector("main"));
</script>
</body>
</html>
""")


def single_file(info, noise_length, examples, network, module, style):
    """The page.

    Args:
        info: JSON values on the model, as the server's `info` gives them.
        noise_length: length of a noise vector; 0 for a model without noise.
        examples: [{"name", "labels", "photo"}] with PNG files as bytes; the photo may be None.
        network: bytes of the ONNX model, whose inputs are ids, table and, for a spatially aware model, heatmaps.
        module: text of the front-end as one ES module that offers `start(element)`.
        style: its style sheet.

    Returns:
        HTML, as bytes.
    """
    coded = [{name: file and base64.b64encode(file).decode() if name != "name" else file for name, file in each.items()} for each in examples]
    facts = {"info": info, "noise_length": noise_length, "heatmaps": formula_of_seed(), "examples": coded}
    parts = {
        "facts": gzip.compress(json.dumps(facts, ensure_ascii=False).encode(), mtime=0),
        "worker": gzip.compress((_HERE / "page" / "inference_worker.js").read_bytes(), mtime=0),
        "runtime": gzip.compress((_HERE / "runtime" / "ort.wasm.min.mjs").read_bytes(), mtime=0),
        "glue": gzip.compress((_HERE / "runtime" / "ort-wasm-simd-threaded.mjs").read_bytes(), mtime=0),
        "wasm": (_HERE / "runtime" / "ort-wasm-simd-threaded.wasm.gz").read_bytes(),
        "model": gzip.compress(network, mtime=0),
    }
    scripts = (f'<script type="text/plain" data-part="{name}">{base64.b64encode(data).decode()}</script>' for name, data in parts.items())
    return _TEMPLATE.substitute(
        title=html.escape(f"{info['name']} – oasis_jax studio"),
        style=style,
        parts="\n".join(scripts),
        module=module.replace("</script", "<\\/script"),
    ).encode()
