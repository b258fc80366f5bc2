"""``speech2vec-emotion export``: a run as one ONNX file."""

from __future__ import annotations

import emotion
from emotion.cli import options
from speech2vec.runtime import console
from speech2vec.runtime.progress import set_up_logging


def export(
    run: options.RunArgument,
    output: console.OutputOption,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
) -> None:
    """Write all networks of a run as one ONNX file that gives the same probabilities.

    Its inputs are batches of padded features [utterances, windows, features] as extracted and their lengths, and of
    word rows (or vectors, for runs on segments) and their lengths, as far as the model uses them. Its metadata hold
    labels, feature settings and vocabulary as JSON. Needs the extra 'onnx'.
    """
    set_up_logging(quiet)
    print(emotion.load(run, device="cpu").export(output, force=force))
