"""What an evaluation found: scores with the protocol that they belong to, as JSON, as a Markdown table, and as a page with pictures."""
import dataclasses
import html
import json
import math
from typing import Any

import numpy as np
from etils import epath

from oasis_jax.pictures import colour_label_map, grid, save_png

_STYLE = "body{font-family:sans-serif;max-width:60em;margin:2em auto}td{padding:.2em 1em}"
EXAMPLES = 8  # best and worst label maps on the page


@dataclasses.dataclass(frozen=True)
class Report:
    """Scores of one set of images.

    Attributes:
        protocol: fields of the Protocol, with the size of the images and what the segmenter counts.
        weights: sha256 of the weights of each network.
        subject: what was evaluated: a checkpoint and its step, or a folder.
        images: number of generated images and of real photos.
        scores: {name: number}; NaN where there is none.
        real: scores that real photos have by the same networks: the ceiling.
        segmented: [{"class", "IoU", ...}] for the classes of the segmenter.
        per_class: [{"class", "colour", ...}] for the classes of the label maps.
        notes: what one must know to read the scores.
    """

    protocol: dict[str, Any]
    weights: dict[str, str]
    subject: dict[str, Any]
    images: dict[str, int]
    scores: dict[str, float]
    real: dict[str, float]
    segmented: list[dict[str, Any]]
    per_class: list[dict[str, Any]]
    notes: list[str]

    def as_json(self):
        """JSON text; numbers that are not finite are null."""
        return json.dumps(_finite(dataclasses.asdict(self)), indent=2, sort_keys=True) + "\n"

    def as_markdown(self):
        """The same as Markdown tables."""
        lines = [f"# Evaluation by protocol {self.protocol['name']}", ""]
        lines += _table(["", "generated", "real photos"], [[n, _number(v), _number(self.real.get(n))] for n, v in self.scores.items()])
        lines += ["", *(f"* {note}" for note in self.notes)] if self.notes else []
        for title, rows in (("By class of the segmenter", self.segmented), ("By class of the label maps", self.per_class)):
            if rows:
                cells = [[str(row[c]) if c == "class" else _number(row[c]) for c in rows[0]] for row in rows]
                lines += ["", f"## {title}", "", *_table(list(rows[0]), cells)]
        facts = {**self.subject, **{f"{name} images": count for name, count in self.images.items()}}
        facts |= {name: value for name, value in self.protocol.items() if value not in (None, "")}
        facts |= {f"sha256 of {name}": digest for name, digest in self.weights.items()}
        lines += ["", "## Protocol", "", *_table(["", ""], [[name, str(value)] for name, value in facts.items()])]
        return "\n".join(lines) + "\n"


def write_report(folder, report, panels=()):
    """Writes report.json, report.md and, with panels, report.html with its pictures.

    Args:
        folder: is made.
        report: Report.
        panels: of `best_and_worst`.
    """
    folder = epath.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(report.as_json())
    (folder / "report.md").write_text(report.as_markdown())
    if panels:
        (folder / "report.html").write_text(_page(report, folder, panels))
    else:
        (folder / "report.html").unlink(missing_ok=True)  # it would show another report


def best_and_worst(generated, photos, agreement, num_classes):
    """The label maps that the generated images follow best and worst, as the segmenter sees it.

    Args:
        generated, photos: sources; image j of `generated` belongs to pair j % len(photos.names).
        agreement: (N,) share of rightly labelled pixels of each generated image.
        num_classes: N of the label maps.

    Returns:
        [(title, [(name, share, uint8 picture of label map, photo and image side by side)])]; empty without shares.
    """
    known = np.flatnonzero(np.isfinite(agreement))
    order = known[np.argsort(-agreement[known], kind="stable")]
    shown = min(EXAMPLES, len(order) // 2)

    def panel(index):
        pair = int(index) % len(photos.names)
        label_map = photos.label_map(pair)
        picture = grid([[colour_label_map(label_map, num_classes), photos.image(pair), generated.image(int(index))]])
        return generated.names[index], float(agreement[index]), picture

    return [("Best", [panel(i) for i in order[:shown]]), ("Worst", [panel(i) for i in order[::-1][:shown]])] if shown else []


def _page(report, folder, panels):
    parts = [f"<h1>Evaluation by protocol {html.escape(report.protocol['name'])}</h1>", "<table>"]
    parts += ["<tr><th></th><th>generated</th><th>real photos</th></tr>"]
    for name, value in report.scores.items():
        parts.append(f"<tr><td>{html.escape(name)}</td><td>{_number(value)}</td><td>{_number(report.real.get(name))}</td></tr>")
    parts.append("</table>")
    parts += [f"<p>{html.escape(note)}</p>" for note in report.notes]
    for title, rows in panels:
        parts.append(f"<h2>{title} by agreement with the label map</h2><p>label map, photo, generated</p>")
        for rank, (name, share, picture) in enumerate(rows):
            file = f"{title.lower()}_{rank}.png"
            save_png(folder / "pictures" / file, picture)
            caption = f"{html.escape(name)}: {100 * share:.1f} % of the pixels"
            parts.append(f'<figure><img src="pictures/{file}" alt=""><figcaption>{caption}</figcaption></figure>')
    head = f'<meta charset="utf-8"><title>Evaluation</title><style>{_STYLE}</style>'
    return "\n".join(['<!doctype html><html lang="en">', head, "<body>", *parts, "</body></html>"]) + "\n"


def _table(head, rows):
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def _number(value):
    if value is None or not math.isfinite(value):
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _finite(value):
    if isinstance(value, dict):
        return {name: _finite(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
