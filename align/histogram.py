"""The histogram of a comparison. Apart from `align.comparison`, as importing matplotlib takes a third of a second."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from align.comparison import Comparison
from speech2vec.runtime.files import atomic_path


def draw_differences(comparison: Comparison, path: Path) -> None:
    """Draw the histogram of the boundary differences (first minus second) to a PNG file."""
    milliseconds = np.clip(comparison.differences * 1000, -205, 205)
    with matplotlib.rc_context({"font.size": 9}):
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        axes = figure.add_subplot()
        axes.hist(milliseconds, bins=np.arange(-205, 206, 10).tolist(), color="#4477aa")
        axes.axvline(0, color="black", linewidth=0.8)
        axes.set_xlabel(
            f"{comparison.first.name} minus {comparison.second.name}, milliseconds (the outermost bars hold all beyond)"
        )
        axes.set_ylabel("word boundaries")
        axes.set_title(
            f"{comparison.n_words:,} words: median {comparison.median * 1000:.1f} ms, "
            f"{comparison.share_within(0.05):.1%} within 50 ms"
        )
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format="png", dpi=150)
