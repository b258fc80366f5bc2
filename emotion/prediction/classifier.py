"""A trained run as one object that classifies recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from emotion.prediction.onnx_export import OnnxExport, export_onnx
from emotion.prediction.predict import PredictionTable, predict
from emotion.prediction.recognisers import POCKETSPHINX
from emotion.prediction.recordings import recordings
from emotion.training.member import Member
from emotion.training.run import Run
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.output import check_output
from speech2vec.runtime.progress import log


@dataclass(frozen=True)
class Classifier:
    """A trained run, on a device.

    Parameters
    ----------
    run : Run
    device : torch.device
    """

    run: Run
    device: torch.device

    @cached_property
    def members(self) -> list[Member]:
        """The trained classifiers of all folds and seeds."""
        return self.run.load_members(self.device)

    def predict(
        self,
        audio: str | Path | Sequence[str | Path],
        *,
        text: str | None = None,
        chunk: str | float | None = None,
        channel: str | int | None = None,
        transcriber: str = POCKETSPHINX,
    ) -> PredictionTable:
        """Class probabilities of recordings, or of their chunks and channels.

        Parameters
        ----------
        audio : path or sequence of paths
            Audio files and folders.
        text : str or None
            Transcript of the only recording; otherwise from a .txt or .lab file beside it, or recognised.
        chunk : "vad", float (seconds) or None
            Split recordings at pauses, or into chunks of equal length.
        channel : int, "all" or None
            One channel (from 0), each separately, or their mean.
        transcriber : str
            What recognises words where a classifier needs them and there is no transcript: "pocketsphinx", or
            "whisper:FOLDER" with a model in CTranslate2's format.

        Raises
        ------
        UserError
            A path does not exist, an option is invalid, or the run is damaged.

        Examples
        --------
        >>> emotion.load("runs/ravdess").predict("call.wav", chunk="vad", channel="all")  # doctest: +SKIP
        """
        run = self.run
        if text is not None and not run.uses_text:
            log.warning("--text has no effect: the %s model uses audio only", run.model_name)
        if run.data_warning:
            log.warning("trained on %s: %s", run.corpus, run.data_warning)
        paths = [Path(path) for path in ([audio] if isinstance(audio, (str, Path)) else audio)]
        options = (None if option is None else str(option) for option in (chunk, channel))
        utterances, unusable = recordings(paths, text, *options)
        found = predict(run, self.members, utterances, transcriber)
        return PredictionTable(found.labels, found.predictions, unusable + found.problems, found.trained_on)

    def export(self, output: str | Path, *, force: bool = False) -> OnnxExport:
        """Write all networks as one ONNX file with the same probabilities; see `export_onnx`.

        Raises
        ------
        UserError
            `output` exists or does not end in .onnx, or the extra ``onnx`` is not installed.

        Examples
        --------
        >>> emotion.load("runs/ravdess").export("model.onnx")  # doctest: +SKIP
        """
        output = Path(output)
        if output.suffix != ".onnx":
            raise UserError(f"{output}: the name of the exported file must end in .onnx")
        check_output(output, force=force, inputs=[self.run.folder])
        return export_onnx(self.run, output)
