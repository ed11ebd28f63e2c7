"""Quantised inputs of linear layers, by the producers' own functions, inside an unchanged transformers forward pass.

LinearInputs intercepts torch.nn.functional.linear: a weight that the table knows gets its input quantised and
dequantised first. It also measures how far every value lies from a rounding boundary, per row of the batch, because an
engine whose sums differ in the last bits can round a near-tie the other way:
    NVFP4 element   |x / scale - boundary| / 6, scale the block's (6 is the largest code)
    block scale     |r - boundary| / boundary, r the value that becomes E4M3
    FP8 element     |x / scale - boundary| / max |x / scale| of the row
    router          (k-th - next logit) / max |logit| of the token
"""

import functools

import numpy as np
import torch
from compressed_tensors.quantization import QuantizationArgs
from compressed_tensors.quantization.lifecycle.forward import fake_quantize
from compressed_tensors.quantization.utils import compute_dynamic_scales_and_zp
from modelopt.torch.quantization.qtensor.fp8_tensor import FP8QTensor
from modelopt.torch.quantization.qtensor.nvfp4_tensor import NVFP4QTensor
from torch.overrides import TorchFunctionMode
from transformers import DynamicCache

BLOCK = 16
E2M1_BOUNDARIES = np.array([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0])
E4M3_MAX = 448.0


@functools.cache
def e4m3_boundaries():
    codes = torch.arange(127, dtype=torch.uint8).view(torch.float8_e4m3fn).double().numpy()
    return (codes[1:] + codes[:-1]) / 2.0


def distance(values, boundaries):
    """|value - nearest boundary|, and that boundary."""
    right = np.clip(np.searchsorted(boundaries, values), 1, len(boundaries) - 1)
    low, high = boundaries[right - 1], boundaries[right]
    near = np.where(values - low < high - values, low, high)
    return np.abs(values - near), near


def modelopt_nvfp4(x, input_scale):
    """NVFP4QTensor.quantize under a given second-level scale, then its dequantize, both in FP32."""
    tensor, scale, scale2 = NVFP4QTensor.quantize(x.clone(), BLOCK, None, input_scale)
    return tensor.dequantize(dtype=x.dtype, scale=scale, double_scale=scale2, block_sizes={-1: BLOCK}).to(x.dtype)


def compressed_args():
    return QuantizationArgs(num_bits=4, type="float", strategy="tensor_group", symmetric=True, group_size=BLOCK,
                            dynamic="local", scale_dtype=torch.float8_e4m3fn, zp_dtype=torch.float8_e4m3fn)


def compressed_nvfp4(x, divisor):
    """What forward_quantize of compressed-tensors calls for dynamic="local"."""
    args = compressed_args()
    scale, zero_point = compute_dynamic_scales_and_zp(x, args, None, global_scale=divisor)
    return fake_quantize(x, scale, zero_point, args, global_scale=divisor)


def modelopt_fp8(x, input_scale):
    """E4M3 under a static scale; values beyond 448 saturate, as in ModelOpt's fake quantisation."""
    limit = E4M3_MAX * input_scale
    tensor, scale = FP8QTensor.quantize(x.clamp(-limit, limit), input_scale)
    return tensor.dequantize(dtype=x.dtype, scale=scale).to(x.dtype)


def nvfp4_distances(x, multiplier):
    """x [T, K] -> per row the smallest element distance and the smallest block scale distance."""
    blocks = np.abs(x.double().numpy()).reshape(x.shape[0], -1, BLOCK)
    raw = blocks.max(-1) / (6.0 * multiplier)
    off, near = distance(raw, e4m3_boundaries())
    scale = torch.from_numpy(np.clip(raw, 2.0**-9, E4M3_MAX)).to(torch.float8_e4m3fn).double().numpy()
    element, _ = distance(blocks / (scale * multiplier)[..., None], E2M1_BOUNDARIES)
    # An all-zero block has no near-tie; a scale beyond the range saturates.
    off = np.where((raw > 0) & (raw < E4M3_MAX), off / near, 1.0)
    return (element / 6.0).min((-1, -2)), off.min(-1)


def fp8_distances(x, multiplier):
    values = np.abs(x.double().numpy()) / multiplier
    off, _ = distance(np.minimum(values, E4M3_MAX), e4m3_boundaries())
    return (off / values.max(-1, keepdims=True)).min(-1)


class Quantizer:
    """One linear's input: quantise function, stored scalar and what the scalar multiplies by."""

    def __init__(self, kind, scalar, sparse):
        self.kind, self.scalar, self.sparse = kind, scalar.reshape(()).float(), sparse
        self.multiplier = 1.0 / float(self.scalar) if kind == "compressed_nvfp4" else float(self.scalar)

    def __call__(self, x):
        if x.dtype == torch.float64:
            return self.in_double(x)
        run = {"modelopt_nvfp4": modelopt_nvfp4, "compressed_nvfp4": compressed_nvfp4, "modelopt_fp8": modelopt_fp8}
        return run[self.kind](x, self.scalar.reshape(1) if self.kind == "compressed_nvfp4" else self.scalar)

    def in_double(self, x):
        """The same rule in float64, to see which near-ties FP32 sums decide differently."""
        values = x.numpy()
        if self.kind == "modelopt_fp8":
            scaled = torch.from_numpy(np.clip(values / self.multiplier, -E4M3_MAX, E4M3_MAX))
            return scaled.float().to(torch.float8_e4m3fn).double() * self.multiplier
        blocks = values.reshape(*values.shape[:-1], -1, BLOCK)
        raw = np.abs(blocks).max(-1) / (6.0 * self.multiplier)
        scale = torch.from_numpy(np.clip(raw, 2.0**-9, E4M3_MAX)).float().to(torch.float8_e4m3fn).double().numpy()
        scale = scale[..., None] * self.multiplier
        codes = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])[
            np.searchsorted(E2M1_BOUNDARIES, np.abs(blocks) / scale)]
        return torch.from_numpy((np.sign(blocks) * codes * scale).reshape(values.shape))

    def distances(self, x):
        if self.kind == "modelopt_fp8":
            return {"fp8_element": fp8_distances(x, self.multiplier)}
        element, scale = nvfp4_distances(x, self.multiplier)
        return {"nvfp4_element": element, "nvfp4_block_scale": scale}


class LinearInputs(TorchFunctionMode):
    """quantizers: data_ptr of a weight -> Quantizer. routers: data_ptr -> k. measure: keep distances per row."""

    def __init__(self, quantizers, routers, measure=True):
        super().__init__()
        self.quantizers, self.routers, self.measure = quantizers, routers, measure
        self.smallest, self.routing, self.tokens = {}, [], None
        self.used = set()

    def note(self, name, values, rows, num_rows):
        kept = self.smallest.setdefault(name, np.full(num_rows, np.inf))
        np.minimum.at(kept, rows, values)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.where and len(args) == 1:      # the experts' choice of tokens
            found = func(*args)
            self.tokens = found[1].numpy()
            return found
        if func is not torch.nn.functional.linear:
            return func(*args, **kwargs)
        x, weight, *rest = args
        pointer = weight.data_ptr()
        if quantizer := self.quantizers.get(pointer):
            x = self.quantize(x, quantizer, pointer)
        out = func(x, weight, *rest, **kwargs)
        if k := self.routers.get(pointer):
            self.note_router(out, k)
        return out

    def quantize(self, x, quantizer, pointer):
        self.used.add(pointer)
        if self.measure:
            flat = x.reshape(-1, x.shape[-1])
            if not quantizer.sparse:
                self.num_rows = flat.shape[0]
            rows = self.tokens if quantizer.sparse else np.arange(flat.shape[0])
            for name, values in quantizer.distances(flat).items():
                self.note(name, values, rows, self.num_rows)
        return quantizer(x)

    def note_router(self, logits, k):
        top = torch.topk(logits.double(), min(k + 1, logits.shape[-1]), dim=-1)
        ordered = top.values.numpy()
        self.num_rows = len(ordered)
        self.routing.append(top.indices[:, :k].to(torch.int32).numpy())
        if self.measure:
            largest = logits.double().abs().max(-1).values.numpy()
            rows = np.arange(len(ordered))
            self.note("router_gap", (ordered[:, k - 1] - ordered[:, k]) / largest, rows, len(rows))
            self.note("router_order", (ordered[:, :-1] - ordered[:, 1:]).min(-1) / largest, rows, len(rows))


class Fp8Cache(DynamicCache):
    """Keys (after the rotation) and values kept in E4M3 under one scale per layer."""

    def __init__(self, scales, mode=None, **options):
        super().__init__(**options)
        self.scales, self.mode = scales, mode

    def update(self, key, value, layer, *args, **kwargs):
        kept = []
        for x, scale in zip((key, value), self.scales[layer]):
            quantizer = Quantizer("modelopt_fp8", torch.tensor(scale), False)
            if self.mode is not None and self.mode.measure:
                # One row per token: [B, heads, T, D] -> [B * T, heads * D].
                flat = x.transpose(1, 2).reshape(x.shape[0] * x.shape[2], -1)
                for name, values in quantizer.distances(flat).items():
                    self.mode.note("kv_" + name, values, np.arange(len(values)), len(values))
            kept.append(quantizer(x))
        return super().update(*kept, layer, *args, **kwargs)
