"""The page's modules as one module, for notebooks and pages without a server."""
import pytest

from oasis_jax.studio import assets

MODULES = {
    "studio.js": '/** Page. */\nimport {b, c} from "./b.js";\nimport {D} from "./d.js";\n\nexport function mount(at) {\n  return b;\n}\n',
    "b.js": 'import {D} from "./d.js";\nexport const b = 1;\nexport async function c() {}\nconst only_here = "export const x";\n',
    "d.js": "export class D {}\n",
    "unused.js": "export const b = 2;\n",
}


def written(folder, **changed):
    for name, text in (MODULES | {f"{name}.js": text for name, text in changed.items()}).items():
        (folder / name).write_text(text)
    return folder


def test_modules_are_joined_after_what_they_import_each_once(tmp_path):
    text = assets.module(folder=written(tmp_path))
    order = [text.index(name) for name in ("// d.js", "class D", "// b.js", "const b = 1", "// studio.js", "function mount")]
    assert order == sorted(order) and text.count("class D") == 1 and "unused" not in text
    assert "import" not in text and text.endswith("\nexport { mount };\n") and text.count("export ") == 2  # one of them is in a string
    assert 'const only_here = "export const x";' in text


def test_other_modules_can_be_the_roots(tmp_path):
    assert assets.module("b.js", "d.js", folder=written(tmp_path)).endswith("export { b, c, D };\n")


@pytest.mark.parametrize(
    "changed, words",
    [
        ({"d": "export class D {}\nfunction c() {}\n"}, "d.js and b.js both declare c"),
        ({"d": 'import {b} from "./b.js";\nexport class D {}\n'}, "modules import each other: studio.js -> b.js -> d.js -> b.js"),
        ({"b": 'import {x} from "./none.js";\n'}, "there is no module none.js, which b.js imports"),
        ({"d": "export default class D {}\n"}, "d.js: 'export default class D {}' is not of the forms"),
        ({"d": 'import * as all from "./unused.js";\nexport class D {}\n'}, "d.js: 'import"),
    ],
)
def test_what_cannot_be_joined_is_told(tmp_path, changed, words):
    with pytest.raises(ValueError) as error:
        assets.module(folder=written(tmp_path, **changed))
    assert str(error.value).startswith(words)


def test_files_have_their_types_and_others_are_left_out(tmp_path):
    (written(tmp_path) / "notes.txt").write_text("x")
    (tmp_path / "index.html").write_text("<!doctype html>")
    found = assets.files(tmp_path)
    assert found["index.html"] == ("text/html; charset=utf-8", b"<!doctype html>")
    assert found["d.js"][0] == "text/javascript; charset=utf-8" and "notes.txt" not in found
