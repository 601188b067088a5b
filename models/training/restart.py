"""The weights of a ``.tflite`` made by ``export.py``, back in the PyTorch network, to go on training from them.

    python -c "import torch; from restart import *; torch.save(restarted('FILE', PICTURES).state_dict(), 'start.pt')"

Needs ai-edge-litert.  Rounding is not undone; the network answers as the file does, in float.
"""
from __future__ import annotations

from typing import Any, List, Tuple

import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from network import VARIANTS, Conv, EfficientNetEdgeTpu
from torch import nn

_LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def restarted(path: str, pictures: torch.Tensor, temperature: float = 0.791) -> EfficientNetEdgeTpu:
    """
    :param pictures: (some hundreds, 3, size, size) of training: their statistics make the batch norms
    :param temperature: what ``export.py`` folded into the last layer; its line in ``run.log``
    """
    layers = weights(path)
    (_, kernel, bias) = layers.pop()
    network = EfficientNetEdgeTpu(VARIANTS["everyday"], len(bias)).eval()
    network.classifier.weight.data.copy_(kernel * temperature)
    network.classifier.bias.data.copy_(bias * temperature)
    convolutions = [module for module in network.modules() if isinstance(module, Conv)]
    assert len(convolutions) == len(layers)
    hooks = []
    for convolution, (kind, kernel, bias) in zip(convolutions, layers):
        convolution.conv.weight.data.copy_(
            kernel.permute(3, 0, 1, 2) if kind == "DEPTHWISE_CONV_2D" else kernel.permute(0, 3, 1, 2))
        hooks.append(convolution.norm.register_forward_pre_hook(_norm_of(bias)))
    with torch.no_grad():
        network(pictures)
    for hook in hooks:
        hook.remove()
    return network


def _norm_of(bias: torch.Tensor) -> Any:
    """A batch norm with the statistics of what it sees, and the gain and shift that undo it, but for the bias."""
    def fill(norm: nn.BatchNorm2d, arguments: Tuple[torch.Tensor]) -> None:
        mean, variance = arguments[0].mean((0, 2, 3)), arguments[0].var((0, 2, 3))
        assert norm.running_mean is not None and norm.running_var is not None
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.data.copy_(torch.sqrt(variance + norm.eps))
        norm.bias.data.copy_(mean + bias)
    return fill


def weights(path: str) -> List[Tuple[str, torch.Tensor, torch.Tensor]]:
    """Operator, kernel and bias of each layer, front to back."""
    interpreter = Interpreter(path, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    details = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}

    def real(index: int) -> torch.Tensor:
        parameters = details[index]["quantization_parameters"]
        stored = interpreter.get_tensor(index).astype(np.float32)
        shape = [1] * stored.ndim
        shape[parameters["quantized_dimension"]] = -1
        return torch.from_numpy((stored - parameters["zero_points"].reshape(shape)).astype(np.float32)
                                * parameters["scales"].reshape(shape))

    return [(operator["op_name"], real(int(operator["inputs"][1])), real(int(operator["inputs"][2])))
            for operator in interpreter._get_ops_details() if operator["op_name"] in _LAYERS]
