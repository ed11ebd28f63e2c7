"""NVFP4 rounding in PyTorch: what the codes and scales of a tensor reconstruct to.

Blocks of 16 along the last axis; block scale E4M3, one FP32 scale above it.
"""

import torch

BLOCK = 16
E2M1_MAX, E4M3_MAX = 6.0, 448.0


def round_e2m1(x):
    """Nearest, ties to even code; |x| <= 6 after the clamp."""
    size = x.abs().clamp(max=E2M1_MAX)
    step = torch.where(size < 2, 0.5, torch.where(size < 4, 1.0, 2.0))
    return torch.copysign(torch.round(size / step) * step, x)


def nvfp4(x, scale2):
    """x: [.., K]; scale2: FP32, broadcasts against [.., K / 16]."""
    blocks = x.float().unflatten(-1, (-1, BLOCK))
    scale = (blocks.abs().amax(-1) / (E2M1_MAX * scale2)).clamp(max=E4M3_MAX)
    scale = (scale.to(torch.float8_e4m3fn).float() * scale2).unsqueeze(-1)
    inverse = torch.where(scale > 0, 1.0 / scale, 0.0)
    return (round_e2m1(blocks * inverse) * scale).flatten(-2)


def scale2_of(x, axes=None):
    amax = x.abs().amax() if axes is None else x.abs().amax(axes, keepdim=True)
    return amax.float().clamp(min=1e-12) / (E2M1_MAX * E4M3_MAX)


def straight_through(x, axes=None):
    """Forward: the rounded values; backward: as if nothing was rounded."""
    with torch.no_grad():
        delta = nvfp4(x, scale2_of(x, axes)) - x.float()
    return x + delta.to(x.dtype)
