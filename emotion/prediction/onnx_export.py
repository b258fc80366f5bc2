"""Export a run as one ONNX file that gives the same probabilities, and verify it in ONNX Runtime."""

from __future__ import annotations

import copy
import json
import logging
import warnings
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from emotion.models.batches import pad
from emotion.models.recurrent import BiLSTM
from emotion.prediction.ensemble import Ensemble, load_ensemble
from emotion.training.run import Run
from speech2vec.runtime.display import Displayed, Table
from speech2vec.runtime.errors import UserError
from speech2vec.runtime.files import atomic_path
from speech2vec.runtime.seeds import generator

TOLERANCE = 1e-5  # maximum difference of a probability
_MODULES = ("onnx", "onnxscript", "onnxruntime")  # the extra `onnx`
_FLOAT = 1  # onnx.TensorProto.FLOAT
_OUTPUT = "probabilities"


@dataclass(frozen=True)
class OnnxExport(Displayed):
    """An exported run.

    Parameters
    ----------
    path : Path
    largest_difference : float
        Between a probability in ONNX Runtime and in torch, over random inputs of several lengths.
    """

    path: Path
    largest_difference: float

    def to_dict(self) -> dict[str, Any]:
        return {"path": str(self.path), "largest_difference": self.largest_difference}

    def display_parts(self) -> list[str | Table]:
        """The text of the report."""
        return [f"{self.path}: outputs equal the run's within {self.largest_difference:.1e}"]


class _OnnxBiLSTM(nn.Module):
    """A `BiLSTM` as the LSTM operator of ONNX, which takes the length of each sequence.

    torch.export would unroll torch's LSTM over a fixed number of steps, and cannot trace packed sequences.
    """

    weight_ih: Tensor
    weight_hh: Tensor
    bias: Tensor

    def __init__(self, layer: BiLSTM) -> None:
        super().__init__()
        self.hidden_size = layer.hidden_size
        forward, backward = layer.lstm.all_weights
        both = [torch.stack((a, b)) for a, b in zip(map(_iofc, forward), map(_iofc, backward), strict=True)]
        self.register_buffer("weight_ih", both[0])  # 2 4H F
        self.register_buffer("weight_hh", both[1])  # 2 4H H
        self.register_buffer("bias", torch.cat(both[2:], dim=1))  # 2 8H

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """As `BiLSTM.forward`, but only when traced for ONNX."""
        B, T, _ = x.shape
        H = self.hidden_size
        outputs, last, _ = torch.onnx.ops.symbolic_multi_out(
            "LSTM",
            (x.transpose(0, 1), self.weight_ih, self.weight_hh, self.bias, lengths.to(torch.int32)),
            {"hidden_size": H, "direction": "bidirectional"},
            dtypes=(_FLOAT,) * 3,
            shapes=((T, 2, B, H), (2, B, H), (2, B, H)),
        )
        return outputs.permute(2, 0, 1, 3).flatten(2), last.transpose(0, 1).flatten(1)


def _iofc(weight: Tensor) -> Tensor:
    """Gates from torch's order (i, f, g, o) to ONNX' (i, o, f, g)."""
    i, f, g, o = weight.detach().chunk(4)
    return torch.cat((i, o, f, g))


def export_onnx(run: Run, path: Path) -> OnnxExport:
    """Write a run as one ONNX file, and compare it with the run on random inputs of several lengths.

    Inputs are those of `Ensemble.forward` that the model uses, under the same names, with any number of utterances,
    windows and words; the output is ``probabilities``. The metadata hold, as JSON, ``model``, ``labels``,
    ``features`` (the settings), ``trained_on`` and, if words are rows, ``vocabulary``: word i has row i + 2, unknown
    words have row 1.

    Raises
    ------
    UserError
        The run's classifiers are not networks, the extra ``onnx`` is not installed, or a probability differs by more
        than 1e-5.
    """
    ensemble = load_ensemble(run)
    missing = [name for name in _MODULES if find_spec(name) is None]
    if missing:
        raise UserError(
            f"export needs {', '.join(missing)}, which is not installed: pip install 'speech2vec-emotion[onnx]'"
        )
    model = _to_onnx(ensemble, random_inputs(run, [12, 5, 9], [4, 0, 7]))
    import_module("onnx.helper").set_model_props(model, {name: json.dumps(v) for name, v in _metadata(run).items()})
    with atomic_path(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
        difference = _largest_difference(run, ensemble, temporary)
        if not difference <= TOLERANCE:
            raise UserError(f"{path} was not written: its outputs differ from the run's by {difference:.1e}")
    return OnnxExport(path, difference)


def _to_onnx(ensemble: Ensemble, inputs: dict[str, Tensor]) -> Any:
    """The ensemble as an ONNX model.

    The networks differ in their weights only, so one is traced, which takes seconds, and copied for each of them.
    """
    compose, helper, numpy_helper = (import_module(f"onnx.{name}") for name in ("compose", "helper", "numpy_helper"))
    networks = [_with_onnx_lstm(model) for model in ensemble.models]
    one = _trace(networks[0], inputs)
    nodes, initializers, outputs = [], [], []
    for number, network in enumerate(networks):
        prefix = f"model_{number}/"
        graph = compose.add_prefix(one, prefix, rename_inputs=False, rename_functions=False).graph
        weights = {prefix + name: value.numpy() for name, value in network.state_dict().items()}
        for tensor in graph.initializer:
            if tensor.name in weights:  # the others are constants
                tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
        nodes += graph.node
        initializers += graph.initializer
        outputs += [output.name for output in graph.output]
    nodes.append(helper.make_node("Mean", outputs, [_OUTPUT]))
    graph = helper.make_graph(nodes, "ensemble", one.graph.input, one.graph.output, initializers)
    return helper.make_model(graph, opset_imports=one.opset_import, functions=one.functions, ir_version=one.ir_version)


def _with_onnx_lstm(model: nn.Module) -> nn.Module:
    replaced = copy.deepcopy(model)
    for module in list(replaced.modules()):
        for name, child in module.named_children():
            if isinstance(child, BiLSTM):
                setattr(module, name, _OnnxBiLSTM(child))
    return replaced.eval()


def _trace(network: nn.Module, inputs: dict[str, Tensor]) -> Any:
    """One network with random weights as an ONNX model, with dynamic numbers of utterances, windows and words."""
    network, random = copy.deepcopy(network), torch.Generator().manual_seed(0)
    for weight in network.state_dict().values():
        weight.normal_(generator=random)  # the optimiser must not exploit that some weights are zero or equal
    utterances = torch.export.Dim("n_utterances")
    steps = {"features": torch.export.Dim("n_windows"), "words": torch.export.Dim("n_words")}
    dynamic = {name: {0: utterances, 1: steps[name]} if name in steps else {0: utterances} for name in inputs}
    for name in ("torch.onnx", "onnx_ir"):  # their warnings concern torch itself, or packages that are not needed
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            kwargs=inputs,
            dynamo=True,
            dynamic_shapes=dynamic,
            input_names=list(inputs),
            output_names=[_OUTPUT],
            optimize=False,
            verbose=False,
        )
    assert program is not None  # with dynamo
    model = program.model_proto
    # The optimiser folds constants. Weights are not constants while they are inputs.
    weights = [weight for weight in model.graph.initializer if weight.name in network.state_dict()]
    info = import_module("onnx.helper").make_tensor_value_info
    model.graph.input.extend(info(weight.name, weight.data_type, weight.dims) for weight in weights)
    model = import_module("onnxscript.optimizer").optimize(model)
    del model.graph.input[len(inputs) :]
    return model


def _metadata(run: Run) -> dict[str, Any]:
    metadata = {"model": run.model_name, "labels": run.labels, "features": run.info["features"]}
    metadata["trained_on"] = run.corpus
    if run.vocabulary is not None:
        metadata["vocabulary"] = run.vocabulary.words
    return metadata


def random_inputs(run: Run, n_windows: list[int], n_words: list[int], seed: int = 0) -> dict[str, Tensor]:
    """Random inputs of a run's model, by name: one utterance for each number of windows and words."""
    rng = generator(seed)
    inputs: dict[str, Tensor] = {}
    if run.uses_audio:
        scaler = run.load_member(*run.fold_seeds()[0]).scaler
        mean, deviation = (0.0, 1.0) if scaler is None else (scaler.mean, scaler.deviation)
        drawn = [rng.standard_normal((n, run.info["n_features"]), dtype=np.float32) for n in n_windows]
        inputs["features"], inputs["n_windows"] = pad([sound * deviation + mean for sound in drawn])
    if run.vocabulary is not None:
        inputs["words"], inputs["n_words"] = pad([rng.integers(1, len(run.vocabulary.words) + 2, n) for n in n_words])
    elif run.uses_text:
        size = run.info["vector_size"]
        inputs["words"], inputs["n_words"] = pad([rng.standard_normal((n, size), dtype=np.float32) for n in n_words])
    return inputs


def _largest_difference(run: Run, ensemble: Ensemble, path: Path) -> float:
    session = import_module("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    largest = 0.0
    for n_windows, n_words in (([1], [0]), ([7], [1]), ([45, 301, 2], [12, 140, 0])):
        inputs = random_inputs(run, n_windows, n_words, seed=1)
        (found,) = session.run([_OUTPUT], {name: value.numpy() for name, value in inputs.items()})
        with torch.inference_mode():
            largest = max(largest, float(np.abs(found - ensemble(**inputs).numpy()).max()))
    return largest
