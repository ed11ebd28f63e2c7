"""The model as it is trained: Qwen3-MoE whose experts are one wide MLP.

All experts of a layer are computed for every token and weighted by the router
(zero outside the top k): at this width that is faster than any dispatch.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from fake_quant import straight_through
from shape import SHAPE


def rms(x, weight, eps):
    y = x.float()
    return (y * torch.rsqrt(y.square().mean(-1, keepdim=True) + eps)).to(x.dtype) * weight.to(x.dtype)


def rotary_tables(shape, length, device):
    half = shape.head_dim // 2
    frequency = shape.rope_theta ** (-torch.arange(half, device=device).float() / half)
    angle = torch.arange(length, device=device).float()[:, None] * frequency
    return angle.cos(), angle.sin()


def rotate(x, cos, sin):
    """x: [B, heads, T, D]; half-split rotation."""
    a, b = x.float().chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1).to(x.dtype)


class Layer(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.shape = s
        q_size, kv_size = s.num_heads * s.head_dim, s.num_kv_heads * s.head_dim
        std, out_std = 0.02, 0.02 / math.sqrt(2 * s.num_layers)

        def matrix(*dims, scale=std):
            return nn.Parameter(torch.randn(*dims) * scale)

        self.input_norm = nn.Parameter(torch.ones(s.hidden))
        self.qkv = matrix(q_size + 2 * kv_size, s.hidden)
        self.q_norm, self.k_norm = (nn.Parameter(torch.ones(s.head_dim)) for _ in range(2))
        self.out = matrix(s.hidden, q_size, scale=out_std)
        self.post_norm = nn.Parameter(torch.ones(s.hidden))
        self.router = matrix(s.num_experts, s.hidden)
        self.gate_up = matrix(s.num_experts, 2, s.expert_width, s.hidden)
        self.down = matrix(s.num_experts, s.hidden, s.expert_width, scale=out_std)

    def attention(self, x, cos, sin, quantized):
        s, (batch, length, _) = self.shape, x.shape
        weight, out = self.qkv, self.out
        if quantized:
            x, weight, out = straight_through(x), straight_through(weight), straight_through(out)
        q, k, v = F.linear(x, weight).unflatten(-1, (-1, s.head_dim)).transpose(1, 2).split(
            (s.num_heads, s.num_kv_heads, s.num_kv_heads), 1)
        q = rotate(rms(q, self.q_norm, s.eps), cos, sin)
        k = rotate(rms(k, self.k_norm, s.eps), cos, sin)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        y = y.transpose(1, 2).reshape(batch, length, -1)
        return F.linear(straight_through(y) if quantized else y, out)

    def route(self, x, valid):
        """Weights [.., E] with zeros outside the top k, and the balance loss."""
        s = self.shape
        probabilities = F.softmax(F.linear(x, self.router).float(), -1)
        with torch.no_grad():
            chosen = probabilities.topk(s.num_active, -1).indices
            mask = (chosen.unsqueeze(-1) == torch.arange(s.num_experts, device=x.device)).any(-2).float()
        weights = probabilities * mask
        weights = weights / weights.sum(-1, keepdim=True)
        num_valid = valid.sum()
        load = (mask * valid).sum((0, 1)) / (num_valid * s.num_active)
        share = (probabilities * valid).sum((0, 1)) / num_valid
        return weights, s.num_experts * (load * share).sum()

    def experts(self, x, weights, quantized):
        s = self.shape
        gate_up, down = self.gate_up, self.down
        if quantized:
            x = straight_through(x)
            gate_up, down = straight_through(gate_up, (1, 2, 3)), straight_through(down, (1, 2))
        gate_up = gate_up.transpose(0, 1).reshape(-1, s.hidden)
        gate, up = F.linear(x, gate_up).chunk(2, -1)
        y = F.silu(gate) * up
        if quantized:
            y = straight_through(y)
        y = y.unflatten(-1, (s.num_experts, -1)) * weights.unsqueeze(-1).to(y.dtype)
        return F.linear(y.flatten(-2), down.transpose(0, 1).reshape(s.hidden, -1))

    def forward(self, x, cos, sin, valid, quantized):
        x = x + self.attention(rms(x, self.input_norm, self.shape.eps), cos, sin, quantized)
        y = rms(x, self.post_norm, self.shape.eps)
        weights, balance = self.route(y, valid)
        return x + self.experts(y, weights, quantized), balance


class Network(nn.Module):
    def __init__(self, shape=SHAPE):
        super().__init__()
        self.shape = shape
        self.embed = nn.Parameter(torch.randn(shape.vocab, shape.hidden) * 0.02)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.num_layers))
        self.norm = nn.Parameter(torch.ones(shape.hidden))
        self.head = nn.Parameter(torch.randn(shape.vocab, shape.hidden) * 0.02)

    def forward(self, ids, valid, quantized=False):
        """ids: [B, T]; valid: [B, T, 1]. Final hidden states and the mean balance loss."""
        cos, sin = rotary_tables(self.shape, ids.shape[1], ids.device)
        x, balance = F.embedding(ids, self.embed).to(torch.bfloat16 if ids.is_cuda else torch.float32), 0.0
        for layer in self.layers:
            x, layer_balance = layer(x, cos, sin, valid, quantized)
            balance = balance + layer_balance
        return rms(x, self.norm, self.shape.eps), balance / len(self.layers)

    def tensors(self):
        """Name and tensor as a Qwen3-MoE checkpoint stores them."""
        s = self.shape
        q_size, kv_size = s.num_heads * s.head_dim, s.num_kv_heads * s.head_dim
        yield "model.embed_tokens.weight", self.embed
        for index, layer in enumerate(self.layers):
            base = f"model.layers.{index}."
            yield base + "input_layernorm.weight", layer.input_norm
            parts = layer.qkv.split((q_size, kv_size, kv_size))
            for name, part in zip(("q_proj", "k_proj", "v_proj", "o_proj"), (*parts, layer.out)):
                yield f"{base}self_attn.{name}.weight", part
            yield base + "self_attn.q_norm.weight", layer.q_norm
            yield base + "self_attn.k_norm.weight", layer.k_norm
            yield base + "post_attention_layernorm.weight", layer.post_norm
            yield base + "mlp.gate.weight", layer.router
            for e in range(s.num_experts):
                for name, part in (("gate_proj", layer.gate_up[e, 0]), ("up_proj", layer.gate_up[e, 1]),
                                   ("down_proj", layer.down[e])):
                    yield f"{base}mlp.experts.{e}.{name}.weight", part
        yield "model.norm.weight", self.norm
        yield "lm_head.weight", self.head
