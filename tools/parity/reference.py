"""transformers running a checkpoint's weights as its producer's library reconstructs them, FP32 and eager."""

import json
import pathlib
import re
import tempfile
from dataclasses import dataclass, field

import numpy as np
import torch
from golden import compressed_nvfp4, fp8_values, load_tensors, modelopt_nvfp4
from safetensors.torch import save_file
from torch.overrides import TorchFunctionMode
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

from activations import Fp8Cache, LinearInputs, Quantizer

COMPANION = re.compile(
    r"\.(weight_scale|weight_scale_2|weight_global_scale|input_scale|input_global_scale|k_scale|v_scale)$")


def reconstructed(directory):
    """Stored tensors -> (plain names -> FP32, module -> (kind, input scalar))."""
    tensors, _ = load_tensors(directory)
    plain, inputs = {}, {}
    for name, data in tensors.items():
        if COMPANION.search(name):
            continue
        module = name.rsplit(".", 1)[0]
        if name.endswith(".weight_packed"):
            plain[module + ".weight"] = compressed_nvfp4(
                data, tensors[module + ".weight_scale"], tensors[module + ".weight_global_scale"])
            kind = "compressed_nvfp4", tensors.get(module + ".input_global_scale")
        elif data.dtype == torch.uint8:
            plain[name] = modelopt_nvfp4(data, tensors[module + ".weight_scale"],
                                         tensors[module + ".weight_scale_2"], 16)
            kind = "modelopt_nvfp4", tensors.get(module + ".input_scale")
        elif data.dtype == torch.float8_e4m3fn:
            plain[name] = fp8_values(data, tensors[module + ".weight_scale"], "multiplier")
            kind = "modelopt_fp8", tensors.get(module + ".input_scale")
        else:
            plain[name] = data.float()
            continue
        if kind[1] is not None:
            inputs[module] = kind
    return plain, inputs, kv_scales(tensors)


def kv_scales(tensors):
    """[(k, v)] per layer, or nothing."""
    found = {}
    for name, value in tensors.items():
        if match := re.search(r"layers\.(\d+)\.self_attn\.(k|v)_proj\.(k|v)_scale$", name):
            found.setdefault(int(match[1]), {})[match[2]] = float(value)
    return [(found[i]["k"], found[i]["v"]) for i in sorted(found)]


def load(directory, **changes):
    """The checkpoint's own config.json without its quantisation, weights by transformers' own name mapping.

    changes: settings of the configuration that the run has differently.
    """
    plain, inputs, scales = reconstructed(directory)
    config = json.loads((directory / "config.json").read_text())
    config.pop("quantization_config", None)
    config.pop("torch_dtype", None)
    config["dtype"] = "float32"
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        (scratch / "config.json").write_text(json.dumps(config))
        save_file({n: t.contiguous() for n, t in plain.items()}, scratch / "model.safetensors",
                  metadata={"format": "pt"})
        settings = AutoConfig.from_pretrained(scratch)
        for key, value in changes.items():
            setattr(settings, key, value)
        model, report = AutoModelForCausalLM.from_pretrained(
            scratch, config=settings, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager",
            output_loading_info=True)
    if not changes and any(report[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys")):
        raise AssertionError(f"{directory}: {report}")
    return Reference(model.eval(), inputs, scales)


class InDouble(TorchFunctionMode):
    """Where transformers casts to FP32 on purpose (norms, softmax, rotation), a float64 run stays in float64."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if kwargs.get("dtype") is torch.float32:
            kwargs["dtype"] = torch.float64
        if func is torch.Tensor.to:
            args = tuple(torch.float64 if a is torch.float32 else a for a in args)
        if func is torch.Tensor.float:
            func = torch.Tensor.double
        return func(*args, **kwargs)


@dataclass
class Run:
    logits: np.ndarray
    hidden: np.ndarray = None
    routing: np.ndarray = None
    smallest: dict = field(default_factory=dict)


class Reference:
    def __init__(self, model, inputs, scales):
        self.model, self.inputs, self.kv = model, inputs, scales
        self.kinds = sorted({kind for kind, _ in inputs.values()})

    def table(self, kinds):
        """data_ptr -> Quantizer of the linears whose inputs the mode quantises; data_ptr -> k of the routers."""
        quantizers, routers = {}, {}
        state = self.model.state_dict()
        for module, (kind, scalar) in self.inputs.items():
            if kind not in kinds:
                continue
            expert = re.match(r"(.*\.experts)\.(\d+)\.(gate|up|down)_proj$", module)
            if expert:
                fused = "down_proj" if expert[3] == "down" else "gate_up_proj"
                weight = state[f"{expert[1]}.{fused}"][int(expert[2])]
            else:
                weight = state[module + ".weight"]
            made = Quantizer(kind, scalar, bool(expert))
            known = quantizers.setdefault(weight.data_ptr(), made)
            if known.multiplier != made.multiplier:
                raise AssertionError(f"{module}: gate and up have different input scales")
        for name, weight in state.items():
            if name.endswith("mlp.gate.weight"):
                routers[weight.data_ptr()] = self.model.config.num_experts_per_tok
        return quantizers, routers

    def mode(self, kinds, measure=True):
        return LinearInputs(*self.table(kinds), measure=measure)

    def cache(self, fp8_kv, mode=None):
        if fp8_kv:
            return Fp8Cache(self.kv, mode, config=self.model.config)
        return DynamicCache(config=self.model.config)

    def run(self, tokens, kinds=(), fp8_kv=False, measure=True):
        """tokens [T]; one pass over all positions."""
        hidden, hooks = [], []
        base = self.model.model
        hooks.append(base.embed_tokens.register_forward_hook(lambda m, a, out: hidden.append(out)))
        for layer in base.layers:
            hooks.append(layer.register_forward_hook(
                lambda m, a, out: hidden.append(out[0] if isinstance(out, tuple) else out)))
        mode = self.mode(kinds, measure)
        ids = torch.from_numpy(np.asarray(tokens, dtype=np.int64))[None]
        with torch.no_grad(), mode:
            logits = self.model(ids, past_key_values=self.cache(fp8_kv, mode), use_cache=True).logits[0]
        for hook in hooks:
            hook.remove()
        if missing := set(mode.quantizers) - mode.used:
            experts = {p for p in missing if mode.quantizers[p].sparse}    # an expert may see no token
            if missing - experts:
                raise AssertionError(f"{len(missing)} quantised inputs were never reached")
        dtype = np.float64 if logits.dtype == torch.float64 else np.float32
        as_array = lambda t: t.to(torch.float64 if dtype == np.float64 else torch.float32).numpy()
        return Run(as_array(logits), np.stack([as_array(h[0]) for h in hidden]),
                   np.stack(mode.routing) if mode.routing else None, mode.smallest)

    def run_double(self, tokens, kinds=(), fp8_kv=False):
        self.model.double()
        try:
            with InDouble():
                return self.run(tokens, kinds, fp8_kv, measure=False)
        finally:
            self.model.float()

    def greedy(self, prompt, count, kinds=(), fp8_kv=False):
        """count greedy tokens after the prompt, and the smallest top-2 margin over max |logit|."""
        mode, cache = self.mode(kinds, measure=False), self.cache(fp8_kv)
        ids, out, margin = torch.from_numpy(np.asarray(prompt, dtype=np.int64))[None], [], np.inf
        with torch.no_grad(), mode:
            for _ in range(count):
                logits = self.model(ids, past_key_values=cache, use_cache=True).logits[0, -1].double()
                top = torch.topk(logits, 2)
                margin = min(margin, float((top.values[0] - top.values[1]) / logits.abs().max()))
                out.append(int(top.indices[0]))
                ids = top.indices[:1][None]
        return np.array(out, dtype=np.int32), margin
