"""Reads a checkpoint of the model: BF16, ModelOpt NVFP4 or compressed-tensors NVFP4, as FP32 weights."""

import json
import pathlib

import torch
from safetensors import safe_open

from fake_quant import BLOCK

E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])


def unpack(packed):
    """[N, K / 2] bytes, low nibble first -> [N, K] values."""
    codes = torch.stack((packed & 15, packed >> 4), -1).flatten(-2)
    return E2M1[codes.long()]


def dequantize(packed, scale, scale2):
    blocks = unpack(packed).unflatten(-1, (-1, BLOCK))
    return (blocks * (scale.float() * scale2).unsqueeze(-1)).flatten(-2)


def load(directory):
    """(config, weights by module name, input scales by module name)."""
    directory = pathlib.Path(directory)
    config = json.loads((directory / "config.json").read_text())
    with safe_open(directory / "model.safetensors", "pt") as f:
        stored = {n: f.get_tensor(n) for n in f.keys()}
    weights, input_scales = {}, {}
    for name, value in stored.items():
        base, leaf = name.rsplit(".", 1)
        if leaf == "weight" and value.dtype == torch.uint8:
            weights[base] = dequantize(value, stored[base + ".weight_scale"], stored[base + ".weight_scale_2"])
        elif leaf == "weight_packed":
            weights[base] = dequantize(value, stored[base + ".weight_scale"], 1 / stored[base + ".weight_global_scale"])
        elif leaf == "weight":
            weights[base] = value.float()
        elif leaf == "input_scale":
            input_scales[base] = value.float()
        elif leaf == "input_global_scale":
            input_scales[base] = 1 / value.float()
    return config, weights, input_scales
