"""The page's files: unchanged for a server, and its ES modules joined into one for notebooks and pages without a server."""
import pathlib
import re

PAGE = pathlib.Path(__file__).parent / "page"
_TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w-]+\.js)";\n', re.M)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const|let)\b)", re.M)
_NAME = re.compile(r"^(?:export )?(?:async )?(?:function\*?|class|const|let) +([\w$]+)", re.M)
_EXPORTED = re.compile(r"^export (?:async )?(?:function\*?|class|const|let) +([\w$]+)", re.M)
_ENTRY = "mount"  # exported by the entry module of the page


def files(folder=PAGE):
    """{name: (content type, bytes)} of the page's files."""
    return {file.name: (_TYPES[file.suffix], file.read_bytes()) for file in sorted(folder.glob("*")) if file.suffix in _TYPES}


def module(*roots, folder=PAGE):
    """Joins ES modules and everything that they import into the text of one module, which exports what the roots export.

    Args:
        roots: names of modules, such as "studio.js"; by default the one that exports `mount`.
        folder: folder of the modules. An import is one line that lists names from "./NAME.js"; an export is part of a declaration.

    Raises:
        ValueError: two modules declare the same name or import each other, a module is missing, or an import or export has another form.
    """
    texts = {file.name: file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.js"))}
    roots = roots or [name for name, text in texts.items() if _ENTRY in _EXPORTED.findall(text)]
    ordered = []
    for root in roots:
        _visit(root, texts, ordered, ())
    _check_names({name: texts[name] for name in ordered})
    parts = [f"// {name}\n{_EXPORT.sub('', _IMPORT.sub('', texts[name])).strip()}\n" for name in ordered]
    for name, part in zip(ordered, parts, strict=True):
        if found := re.search(r"^(import|export)\b.*", part, re.M):
            raise ValueError(f"{name}: {found[0]!r} is not of the forms that can be joined")
    exported = [each for root in roots for each in _EXPORTED.findall(texts[root])]
    return "\n".join([*parts, f"export {{ {', '.join(exported)} }};\n"])


def _visit(name, texts, ordered, path):
    if name in path:
        raise ValueError(f"modules import each other: {' -> '.join([*path, name])}")
    if name not in texts:
        raise ValueError(f"there is no module {name}" + (f", which {path[-1]} imports" if path else ""))
    for needed in _IMPORT.findall(texts[name]):
        _visit(needed, texts, ordered, (*path, name))
    if name not in ordered:
        ordered.append(name)


def _check_names(texts):
    owners = {}
    for file, text in texts.items():
        for name in _NAME.findall(text):
            if owners.setdefault(name, file) != file:
                raise ValueError(f"{owners[name]} and {file} both declare {name} at the top level: rename one")
