"""Reports of evaluations: scores with the protocol that they belong to, as JSON, as Markdown tables, and as an HTML page."""
import dataclasses
import html
import json
import math
from typing import Any

import numpy as np
from etils import epath

from oasis_jax.data.survey import shortened
from oasis_jax.files import write_whole
from oasis_jax.pictures import colour_label_map, grid, save_png

_STYLE = "body{font-family:sans-serif;max-width:60em;margin:2em auto}td,th{padding:.2em 1em;text-align:left}"
TITLES = {"segmented": "By class of the segmenter", "per_class": "By class of the label maps", "data": "What the data hold"}
PANELS = 8  # best and worst images on the page


@dataclasses.dataclass(frozen=True)
class Report:
    """Scores of one set of images.

    Attributes:
        protocol: fields of the Protocol, with the size of the images and what the segmenter ignores.
        weights: sha256 of the weights of each network.
        subject: what was evaluated: a checkpoint and its step, or a folder.
        images: number of generated images and of real photos.
        scores: {name: number}; NaN if undefined.
        real: scores of real photos by the same networks: the ceiling.
        tables: {name of TITLES: [{"class", column, ...}]}.
        per_image: {name: (images,)}, scores of the generated images one by one.
        notes: what a reader must know about the scores.
        data_notes: what a reader should know about the files of the evaluated split.
    """

    protocol: dict[str, Any]
    weights: dict[str, str]
    subject: dict[str, Any]
    images: dict[str, int]
    scores: dict[str, float]
    real: dict[str, float]
    tables: dict[str, list[dict[str, Any]]]
    per_image: dict[str, Any]
    notes: list[str]
    data_notes: tuple[str, ...] = ()

    def with_data(self, survey):
        """Returns the report with a description of the evaluated split, from its `data.survey.Survey`."""
        notes = (f"{survey.split}: {survey.num_examples} examples", *survey.remarks)
        return dataclasses.replace(self, tables=self.tables | {"data": survey.rows}, data_notes=notes)

    def as_json(self):
        """JSON text; numbers that are not finite are null. Scores per image are omitted."""
        fields = vars(self) | {name: self.tables.get(name, []) for name in TITLES}
        del fields["tables"], fields["per_image"]
        return valid_json(fields, indent=2, sort_keys=True) + "\n"

    def as_markdown(self):
        """Markdown tables."""
        lines = [f"# Evaluation by protocol {self.protocol['name']}", ""]
        lines += _table(["", "generated", "real photos"], [[n, _number(v), _number(self.real.get(n))] for n, v in self.scores.items()])
        lines += ["", *(f"* {note}" for note in self.notes)] if self.notes else []
        for name, title in TITLES.items():
            if (rows := self.tables.get(name)) or (name == "data" and self.data_notes):
                lines += ["", f"## {title}", ""]
                lines += _table(*_cells(shortened(rows) if name == "data" else rows)) if rows else []
                if name == "data":
                    lines += [""] * bool(rows) + [f"* {note}" for note in self.data_notes]
        facts = {**self.subject, **{f"{name} images": count for name, count in self.images.items()}}
        facts |= {name: value for name, value in self.protocol.items() if value not in (None, "")}
        facts |= {f"sha256 of {name}": digest for name, digest in self.weights.items()}
        lines += ["", "## Protocol", "", *_table(["", ""], [[name, str(value)] for name, value in facts.items()])]
        return "\n".join(lines) + "\n"


def combine(findings, rows):
    """Combines findings into the fields scores, real, tables, per_image and notes of a Report.

    Args:
        findings: list of `metrics.metric.Finding`, in the order of the report.
        rows: {table: names of its rows}.
    """
    scores, real, columns, per_image, notes = {}, {}, {name: {} for name in rows}, {}, []
    for finding in findings:
        scores |= finding.scores
        real |= finding.ceiling
        per_image |= finding.per_image
        notes += finding.notes
        for table, found in finding.tables.items():
            columns[table] |= found
    tables = {
        table: [{"class": name} | {column: float(values[i]) for column, values in columns[table].items()} for i, name in enumerate(names)]
        for table, names in rows.items()
    }
    return {"scores": scores, "real": real, "tables": tables, "per_image": per_image, "notes": notes}


def write_report(folder, report, panels=()):
    """Writes report.json, report.md and report.html, with the pictures of panels.

    Args:
        folder: folder to write to; created if needed.
        report: Report.
        panels: result of `best_and_worst`.
    """
    folder = epath.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"report.md": report.as_markdown(), "report.html": _page(report, folder, panels), "report.json": report.as_json()}
    for name, text in texts.items():
        write_whole(folder / name, text.encode(errors="backslashreplace"))  # file names can contain bytes that are not valid text


def best_and_worst(generated, photos, report):
    """The generated images with the highest and the lowest scores, by the first per-image score of a report.

    Args:
        generated, photos: sources; image j of `generated` belongs to example j % len(photos.names).
        report: Report, with label maps.

    Returns:
        [(title, [(name, score, uint8 picture of label map, photo and image side by side)])]; empty if there is no per-image score.
    """
    if not report.per_image:
        return []
    numbers = np.asarray(next(iter(report.per_image.values())))
    known = np.flatnonzero(np.isfinite(numbers))
    order = known[np.argsort(-numbers[known], kind="stable")]
    shown = min(PANELS, len(order) // 2)
    num_classes = photos.examples.split.rule.num_classes

    def panel(index):
        example = int(index) % len(photos.names)
        label_map = photos.examples.label_map(example)
        picture = grid([[colour_label_map(label_map, num_classes), photos.image(example), generated.image(int(index))]])
        return generated.names[index], float(numbers[index]), picture

    return [("Best", [panel(i) for i in order[:shown]]), ("Worst", [panel(i) for i in order[::-1][:shown]])] if shown else []


def _page(report, folder, panels):
    parts = [f"<h1>Evaluation by protocol {html.escape(report.protocol['name'])}</h1>"]
    scores = [[name, _number(value), _number(report.real.get(name))] for name, value in report.scores.items()]
    parts += _html_table(["", "generated", "real photos"], scores)
    parts += [f"<p>{html.escape(note)}</p>" for note in report.notes]
    for title, rows in panels:
        parts.append(f"<h2>{title} by agreement with the label map</h2><p>label map, photo, generated</p>")
        for rank, (name, share, picture) in enumerate(rows):
            file = f"{title.lower()}_{rank}.png"
            save_png(folder / "pictures" / file, picture)
            caption = f"{html.escape(name)}: {100 * share:.1f} % of the pixels"
            parts.append(f'<figure><img src="pictures/{file}" alt=""><figcaption>{caption}</figcaption></figure>')
    if report.data_notes:
        parts.append(f"<h2>{TITLES['data']}</h2>")
        if rows := report.tables["data"]:
            parts += _html_table(*_cells(shortened(rows)))
        parts += ["<ul>", *(f"<li>{html.escape(note)}</li>" for note in report.data_notes), "</ul>"]
    head = f'<meta charset="utf-8"><title>Evaluation</title><style>{_STYLE}</style>'
    return "\n".join(['<!doctype html><html lang="en">', head, "<body>", *parts, "</body></html>"]) + "\n"


def _cells(rows):
    """Head and cells of a table of dicts; None is a row of dots."""
    head = list(rows[0])
    return head, [["..."] * len(head) if row is None else [_number(row[column]) for column in head] for row in rows]


def _html_table(head, rows):
    lines = ["".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row) for tag, each in (("th", [head]), ("td", rows)) for row in each]
    return ["<table>", *(f"<tr>{line}</tr>" for line in lines), "</table>"]


def _table(head, rows):
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def _number(value):
    if isinstance(value, str):
        return value
    if value is None or not math.isfinite(value):
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def valid_json(value, **options):
    """JSON text of a value; numbers that are not finite, which JSON lacks, are null. `options` are those of json.dumps."""
    return json.dumps(_finite(value), allow_nan=False, **options)


def _finite(value):
    if isinstance(value, dict):
        return {name: _finite(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
