"""Runs a checkpoint of the model: one matrix per projection and expert, greedy decoding with a cache.

Separate from network.py on purpose: this is the model as a reader of the file sees it.
"""

import torch
import torch.nn.functional as F

import checkpoint
import shape
from fake_quant import nvfp4


class Cache:
    """Keys and values [B, kv heads, T, D] of every layer; each row has its own length."""

    def __init__(self, config, batch, length, device, dtype):
        dims = (batch, config["num_key_value_heads"], length, config["head_dim"])
        self.keys = [torch.zeros(dims, device=device, dtype=dtype) for _ in range(config["num_hidden_layers"])]
        self.values = [torch.zeros(dims, device=device, dtype=dtype) for _ in range(config["num_hidden_layers"])]


class Model:
    def __init__(self, directory, device="cpu", dtype=torch.float32, activations="16bit"):
        """activations: "16bit" leaves the inputs of the linear layers, "nvfp4" rounds those that have a scale."""
        self.config, weights, scales = checkpoint.load(directory)
        # transformers 5 writes the second name.
        self.num_experts = self.config.get("num_experts") or self.config["num_local_experts"]
        self.weights = {n: w.to(device, dtype) for n, w in weights.items()}
        self.scales = {n: s.to(device) for n, s in scales.items()} if activations == "nvfp4" else {}
        if activations == "nvfp4" and not self.scales:
            raise ValueError(f"{directory}: no input scales; only the W4A4 checkpoint has them")
        self.device, self.dtype = torch.device(device), dtype
        rope = self.config.get("rope_theta") or self.config["rope_parameters"]["rope_theta"]
        half = self.config["head_dim"] // 2
        self.frequency = rope ** (-torch.arange(half, device=device).float() / half)

    def linear(self, name, x):
        if name in self.scales:
            x = nvfp4(x, self.scales[name]).to(self.dtype)
        return F.linear(x, self.weights[name])

    def rms(self, name, x):
        y = x.float()
        y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + self.config["rms_norm_eps"])
        return y.to(self.dtype) * self.weights[name]

    def rotate(self, x, positions):
        """x: [B, heads, T, D]; positions: [B, T]."""
        angle = positions[:, None, :, None].float() * self.frequency
        cos, sin = angle.cos().to(self.dtype), angle.sin().to(self.dtype)
        a, b = x.chunk(2, -1)
        return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)

    def attention(self, layer, x, positions, cache):
        base = f"model.layers.{layer}.self_attn."
        q, k, v = (self.linear(base + n, x).unflatten(-1, (-1, self.config["head_dim"])).transpose(1, 2)
                   for n in ("q_proj", "k_proj", "v_proj"))
        q = self.rotate(self.rms(base + "q_norm", q), positions)
        k = self.rotate(self.rms(base + "k_norm", k), positions)
        keys, values = cache.keys[layer], cache.values[layer]
        rows = torch.arange(x.shape[0], device=self.device)[:, None]
        keys[rows, :, positions] = k.transpose(1, 2)
        values[rows, :, positions] = v.transpose(1, 2)
        seen = torch.arange(keys.shape[2], device=self.device) <= positions[:, None, :, None]
        y = F.scaled_dot_product_attention(q, keys, values, attn_mask=seen, enable_gqa=True)
        return self.linear(base + "o_proj", y.transpose(1, 2).flatten(2))

    def experts(self, layer, x):
        base, dims = f"model.layers.{layer}.mlp.", x.shape
        x = x.reshape(-1, dims[-1])
        probabilities = F.softmax(self.linear(base + "gate", x).float(), -1)
        weights, chosen = probabilities.topk(self.config["num_experts_per_tok"], -1)
        weights = (weights / weights.sum(-1, keepdim=True)).to(self.dtype)
        out = torch.zeros_like(x)
        for e in range(self.num_experts):
            tokens, place = (chosen == e).nonzero(as_tuple=True)
            name, part = f"{base}experts.{e}.", x[tokens]
            hidden = F.silu(self.linear(name + "gate_proj", part)) * self.linear(name + "up_proj", part)
            out.index_add_(0, tokens, self.linear(name + "down_proj", hidden) * weights[tokens, place, None])
        return out.reshape(dims)

    def logits(self, ids, positions, cache, last=None):
        """ids, positions: [B, T]; last: [B], the only position of each row whose logits are wanted."""
        x = F.embedding(ids, self.weights["model.embed_tokens"])
        for layer in range(self.config["num_hidden_layers"]):
            base = f"model.layers.{layer}."
            x = x + self.attention(layer, self.rms(base + "input_layernorm", x), positions, cache)
            x = x + self.experts(layer, self.rms(base + "post_attention_layernorm", x))
        if last is not None:
            x = x[torch.arange(len(x), device=self.device), last][:, None]
        return self.linear("lm_head", self.rms("model.norm", x)).float()

    @torch.no_grad()
    def greedy(self, prompts, max_new=shape.MAX_NEW):
        """prompts: lists of token ids; the continuations, up to the end-of-text token."""
        eos, batch = self.config["eos_token_id"], len(prompts)
        lengths = torch.tensor([len(p) for p in prompts], device=self.device)
        width = int(lengths.max())
        ids = torch.full((batch, width), self.config["pad_token_id"])
        for row, prompt in enumerate(prompts):
            ids[row, :len(prompt)] = torch.tensor(prompt)
        cache = Cache(self.config, batch, width + max_new, self.device, self.dtype)
        positions = torch.arange(width, device=self.device).expand(batch, -1)
        logits = self.logits(ids.to(self.device), positions, cache, lengths - 1)
        out, done = [], torch.zeros(batch, dtype=torch.bool, device=self.device)
        for number in range(max_new):
            token = logits[:, 0].argmax(-1)
            out.append(token)
            done |= token == eos
            if done.all():
                break
            logits = self.logits(token[:, None], lengths[:, None] + number, cache)
        rows = torch.stack(out, 1).tolist()
        return [r[:r.index(eos)] if eos in r else r for r in rows]
