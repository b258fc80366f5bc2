"""``speech2vec-emotion export``: a run as one TorchScript file."""

from __future__ import annotations

from emotion.cli import options
from speech2vec.runtime import console
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.output import claim_output
from speech2vec.runtime.progress import set_up_logging


def export(
    run: options.RunArgument,
    output: console.OutputOption,
    quiet: console.QuietOption = False,
    force: console.ForceOption = False,
) -> None:
    """Write a run's members as one TorchScript file that gives the same probabilities.

    The file takes features [n_windows, n_features] as extracted and words [n_words] as rows of the vocabulary (or
    their vectors, of a run on segments). Its extra file run.json holds labels and the settings of the features,
    vocabulary.json the words: word i has row i + 2, row 1 is any other word.
    """
    from emotion.prediction.ensemble import export_torchscript
    from emotion.training.run import Run

    set_up_logging(quiet)
    if output.suffix not in (".pt", ".ts"):
        raise UserError(f"{output}: the exported file is TorchScript and ends in .pt or .ts")
    opened = Run.open(run)
    claim_output(output, force=force, inputs=[run])
    difference = export_torchscript(opened, output)
    print(f"{output}: outputs equal the run's within {difference:.1e}")
