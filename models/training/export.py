"""From PyTorch weights to a full-integer ``.tflite``: ``python export.py DATASET OUT/last.pt MODEL.tflite``.

Batch norms are folded into their convolutions, the softmax temperature into the last layer; TensorFlow's
converter quantizes after training, with training photographs as the representative dataset.
``--variant s|m|l`` exports a network of random weights instead, for benchmarks.
"""
from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Iterator, List, Tuple

import numpy as np
import tensorflow as tf
import torch
from dataset import decoded
from metadata import add_metadata
from network import VARIANTS, Block, Conv, EfficientNetEdgeTpu
from photographs import OTHER, class_map, class_names, photographs
from torch.nn import functional as F

keras = tf.keras
# Added to logits.  Away from the collections most things look like "other", and taking from it costs 0.2 points on
# validation.  "cat" has few photographs in training, and is what people try first; chosen on validation.
ADDED = {OTHER: -0.5, "cat": 0.8}
REPRESENTATIVE = 600        # photographs that set the ranges of the activations


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path, nargs="?")
    parser.add_argument("weights", type=Path, nargs="?")
    parser.add_argument("model", type=Path)
    parser.add_argument("--variant", choices=["s", "m", "l"])
    args = parser.parse_args()
    torch.manual_seed(1)
    if args.variant:
        variant = VARIANTS[args.variant]
        network = EfficientNetEdgeTpu(variant, 1001).eval()
        pictures = np.random.default_rng(1).integers(0, 256, (8, variant.resolution, variant.resolution, 3), np.uint8)
        args.model.write_bytes(quantized(keras_twin(network, variant.resolution, 1.0), pictures))
        return
    names, size = class_names(), VARIANTS["everyday"].resolution
    network = EfficientNetEdgeTpu(VARIANTS["everyday"], len(names))
    network.load_state_dict(torch.load(str(args.weights))["average"])
    for name, added in ADDED.items():
        network.classifier.bias.data[names.index(name)] += added
    network.eval()
    everything = photographs(args.dataset)
    val = [p for p in everything if p.split == "val"]
    truth = torch.tensor([names.index(class_map()[p.name]) for p in val])
    logits = answers(network, decoded(args.dataset, val, size))
    temperature = best_temperature(logits, truth)
    print("float: top-1 %.4f, top-5 %.4f; temperature %.3f" % (*accuracy(logits, truth), temperature))
    chosen = [p for p in everything if p.split == "train"]
    chosen = [chosen[i] for i in np.random.default_rng(1).permutation(len(chosen))[:REPRESENTATIVE]]
    content = quantized(keras_twin(network, size, temperature), decoded(args.dataset, chosen, size))
    args.model.write_bytes(add_metadata(content, "everyday-objects", names, args.model.stem + ".txt"))
    print("%s: %d bytes" % (args.model, args.model.stat().st_size))


@torch.no_grad()
def answers(network: EfficientNetEdgeTpu, pixels: np.ndarray) -> torch.Tensor:
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 128 - 1
    return torch.cat([network(part) for part in x.split(128)])


def accuracy(logits: torch.Tensor, truth: torch.Tensor) -> Tuple[float, float]:
    best = logits.topk(5).indices
    return float((best[:, 0] == truth).float().mean()), float((best == truth[:, None]).any(1).float().mean())


def best_temperature(logits: torch.Tensor, truth: torch.Tensor) -> float:
    """The softmax temperature with the least cross-entropy (Guo et al., 2017), to within 1 %."""
    grid = np.exp(np.arange(np.log(0.3), np.log(3.0), 0.01))
    return float(min(grid, key=lambda t: float(F.cross_entropy(logits / t, truth))))


def keras_twin(network: EfficientNetEdgeTpu, size: int, temperature: float) -> Any:
    """The same function in Keras, batch norms folded, with softmax at the end."""
    picture = keras.Input((size, size, 3), 1)
    x = _convolution(picture, network.stem, relu=True)
    for block in network.blocks:
        assert isinstance(block, Block)
        y = _convolution(x, block.expand, relu=True)
        if not block.fused:
            y = _convolution(y, block.depthwise, relu=True)
        y = _convolution(y, block.project, relu=False)
        x = keras.layers.Add()([x, y]) if block.residual else y
    x = _convolution(x, network.head, relu=True)
    x = keras.layers.GlobalAveragePooling2D()(x)
    last = keras.layers.Dense(network.classifier.out_features, activation="softmax")
    scores = last(x)
    last.set_weights([network.classifier.weight.detach().numpy().T / temperature,
                      network.classifier.bias.detach().numpy() / temperature])
    return keras.Model(picture, scores)


def _convolution(x: Any, layer: Conv, relu: bool) -> Any:
    kernel, bias = folded(layer)
    convolution, shared = layer.conv, {"padding": "same", "activation": "relu" if relu else None}
    if convolution.groups > 1:
        made = keras.layers.DepthwiseConv2D(convolution.kernel_size, convolution.stride, **shared)
        kernel = kernel.transpose(2, 3, 0, 1)
    else:
        made = keras.layers.Conv2D(convolution.out_channels, convolution.kernel_size, convolution.stride, **shared)
        kernel = kernel.transpose(2, 3, 1, 0)
    y = made(x)
    made.set_weights([kernel, bias])
    return y


def folded(layer: Conv) -> Tuple[np.ndarray, np.ndarray]:
    """Kernel (out, in, height, width) and bias of the convolution with its batch norm folded in."""
    norm = layer.norm
    gain = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach()
    kernel = layer.conv.weight.detach() * gain[:, None, None, None]
    return kernel.numpy(), (norm.bias.detach() - norm.running_mean * gain).numpy()


def quantized(model: Any, pixels: np.ndarray) -> bytes:
    """uint8 in and out.  Pixels stand for (pixel - 128) / 128, so that they pass unchanged."""

    def representative() -> Iterator[List[np.ndarray]]:
        # The two extreme pictures pin the input's range: scale 1/128, zero point 128.
        shape = (1,) + pixels.shape[1:]
        for picture in (np.zeros(shape, np.float32), np.full(shape, 255.0, np.float32)):
            yield [picture / 128 - 1]
        for picture in pixels:
            yield [picture[None].astype(np.float32) / 128 - 1]

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    return bytes(converter.convert())


if __name__ == "__main__":
    main()
