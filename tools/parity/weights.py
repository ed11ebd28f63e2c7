"""Weights as a function of the tensor's name on disk and the element's index: no generator state, any language can repeat it.

Element i of tensor t: u = mix64(fnv1a64(t) + (i + 1) * 0x9E3779B97F4A7C15), mix64 the finaliser of splitmix64;
x = ((u >> 40) / 2^24 - 0.5) * 2, scaled by the rules below and rounded to BF16. Rules, s the scale of x:
    linear [N, K]       1.7 / sqrt(K) * gain; block (n, k / 16) times 0.25 to 1.5 (block_factors), so that
                        neighbouring block scales differ
    router              4 * 1.7 / sqrt(K), so that top-k margins are wide
    embedding           1
    norm                1 + 0.3 x; the final one of a tied model times 1, -1, 1, -1, ..., or every token predicts itself
    bias                0.2
Gains are unequal among q, k, v, among gate, up and among experts (gain_of): second-level scales differ. o_proj and
down_proj have the gain that fill() is given: it says how much a layer adds to the residual stream, and with that how
far the rounding of BF16, or a flipped code, carries.
"""

import functools
import re

import numpy as np
import torch

BLOCK = 16
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
GAINS = {"q_proj": 2.0, "k_proj": 0.75, "v_proj": 1.25, "gate_proj": 1.2, "up_proj": 0.6}
OUTPUTS = ("o_proj", "down_proj")


def fnv1a64(name):
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def hashes(name, count):
    with np.errstate(over="ignore"):
        z = np.uint64(fnv1a64(name)) + np.arange(1, count + 1, dtype=np.uint64) * GOLDEN
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def uniform(name, shape):
    """[-1, 1), 24 bits."""
    u = hashes(name, int(np.prod(shape))) >> np.uint64(40)
    return ((u.astype(np.float64) / 2.0**24 - 0.5) * 2.0).reshape(shape)


def gain_of(name, output_gain):
    expert = re.search(r"\.experts\.(\d+)\.", name)
    leaf = name.rsplit(".", 2)[-2]
    gain = output_gain if leaf in OUTPUTS else GAINS.get(leaf, 1.0)
    return gain * (1.0 + (int(expert[1]) / 32.0 if expert else 0.0))


def block_factors(name, rows, columns):
    return np.repeat(0.875 + 0.625 * uniform(name + ".block", (rows, columns // BLOCK)), BLOCK, axis=1)


def values_of(name, shape, output_gain):
    x = uniform(name, shape)
    if name.endswith(".bias"):
        x = 0.2 * x
    elif len(shape) == 1:
        x = 1.0 + 0.3 * x
    elif name.endswith("mlp.gate.weight"):
        x = x * (4.0 * 1.7 / np.sqrt(shape[1]))
    elif "embed_tokens" not in name:
        x = x * (1.7 / np.sqrt(shape[1]) * gain_of(name, output_gain)) * block_factors(name, *shape)
    return torch.from_numpy(x.astype(np.float32)).to(torch.bfloat16)


def fill(model, output_gain):
    """Overwrites every parameter; experts that transformers holds in one tensor are drawn under their names on disk."""
    model.config.architectures = [type(model).__name__]
    values = functools.partial(values_of, output_gain=output_gain)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name == "lm_head.weight" and model.config.tie_word_embeddings:
                continue
            module = name.rsplit(".", 1)[0]
            if name.endswith("experts.gate_up_proj"):
                half = (tensor.shape[1] // 2, tensor.shape[2])
                for e in range(tensor.shape[0]):
                    tensor[e] = torch.cat([values(f"{module}.{e}.{leaf}.weight", half)
                                           for leaf in ("gate_proj", "up_proj")])
            elif name.endswith("experts.down_proj"):
                for e in range(tensor.shape[0]):
                    tensor[e] = values(f"{module}.{e}.down_proj.weight", tuple(tensor.shape[1:]))
            else:
                tensor.copy_(values(name, tuple(tensor.shape)))
                if name == "model.norm.weight" and model.config.tie_word_embeddings:
                    tensor[1::2] *= -1.0
    return model.eval()
