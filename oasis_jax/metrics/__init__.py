"""Scores of generated images: one metric per file, the protocols that fix what a score depends on, and published networks in `nets`."""
