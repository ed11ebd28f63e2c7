"""The list of parity checkpoints: what writes each, and which runs of transformers its goldens hold."""

from dataclasses import dataclass, field
from typing import Callable

import compressed_tensors_writer as compressed
import modelopt.torch.quantization as mtq
import modelopt_writer as modelopt
import plain_writer as plain

import families

MODELOPT_W4A4, COMPRESSED_W4A4, FP8 = "modelopt_nvfp4", "compressed_nvfp4", "modelopt_fp8"


@dataclass
class Mode:
    """One run. suffix: of its file names; kinds: linears whose inputs are quantised."""

    logits: str
    suffix: str = ""
    kinds: tuple = ()
    fp8_kv: bool = False
    note: str = "weights reconstructed, activations untouched"


@dataclass
class Parity:
    name: str
    scheme: str
    write: Callable     # directory -> None
    notes: list
    modes: list = field(default_factory=lambda: [Mode("logits_f32")])
    transformers_4: bool = False
    num_candidates: int = 24
    without: dict = field(default_factory=dict)     # label -> settings that must not give the same logits


def w4a4(kind):
    rule = {MODELOPT_W4A4: "NVFP4QTensor.quantize(x, 16, None, input_scale) and dequantize, FP32",
            COMPRESSED_W4A4: "compute_dynamic_scales_and_zp and fake_quantize under input_global_scale, FP32"}[kind]
    return [Mode("logits_w4a16"),
            Mode("logits_w4a4", "_w4a4", (kind,), note=f"each NVFP4 linear's input through {rule}")]


FP8_KV = Mode("logits_fp8_kv", "_fp8_kv", fp8_kv=True,
              note="activations untouched; keys (after rotation) and values clamped to 448 k_scale and 448 v_scale, "
                   "rounded to E4M3 by FP8QTensor")
FP8_ACTIVATIONS = Mode("logits_fp8_activations", "_fp8_activations", (FP8,),
                       note="inputs of the FP8 linears clamped to 448 input_scale and rounded to E4M3 by FP8QTensor")
NO_WINDOW = {"sliding_window null": dict(sliding_window=None)}
NO_SCALING = {"no rope scaling": dict(rope_parameters={"rope_type": "default", "rope_theta": 5e5})}
NO_BIAS = {"attention_bias false": dict(attention_bias=False)}
NORM_TRUE, NORM_FALSE = ({f"norm_topk_prob {str(v).lower()}": dict(norm_topk_prob=v)} for v in (True, False))
W4A4_GAIN = dict(output_gain=families.OUTPUT_GAIN_W4A4)
LINEAR = dict(targets=["Linear"], ignore=["lm_head"])
SPARSE = dict(targets=["Linear"], ignore=["lm_head", "re:.*mlp.gate$"])


def plain_checkpoints():
    yield Parity("plain_qwen3", "BF16", lambda d: plain.write(families.qwen3(
        hidden_size=128, intermediate_size=128, num_attention_heads=3, num_key_value_heads=1), d),
        ["tied embeddings", "GQA 3", "heads * head_dim 192, hidden 128"])
    yield Parity("plain_qwen3_moe", "BF16", lambda d: plain.write(families.qwen3_moe(
        hidden_size=64, intermediate_size=128, num_hidden_layers=4, decoder_sparse_step=2, norm_topk_prob=False, tie_word_embeddings=True,
        num_key_value_heads=1), d),
        ["decoder_sparse_step 2: layers 0 and 2 dense", "norm_topk_prob false", "tied embeddings", "GQA 4",
         "heads * head_dim 256, hidden 64", "number of experts under num_local_experts"], without=NORM_TRUE)
    yield Parity("plain_llama", "BF16", lambda d: plain.write(families.llama(
        hidden_size=128, intermediate_size=128, num_attention_heads=4, num_key_value_heads=2,
        tie_word_embeddings=True), d),
        ["llama3 rope scaling", "no head_dim: hidden / heads", "GQA 2", "tied embeddings"], transformers_4=True,
        without=NO_SCALING)
    yield Parity("plain_mistral_window", "BF16", lambda d: plain.write(families.mistral(
        hidden_size=128, intermediate_size=64, sliding_window=24), d),
        ["sliding_window 24", "head_dim 32 explicit, heads * head_dim 128", "GQA 4", "untied"], transformers_4=True,
        without=NO_WINDOW)


def modelopt_checkpoints():
    yield Parity("modelopt_w4a4_qwen3_moe", "ModelOpt NVFP4, FP8 KV", lambda d: modelopt.write(families.qwen3_moe(
        num_key_value_heads=1, mlp_only_layers=[1], **W4A4_GAIN), mtq.NVFP4_DEFAULT_CFG, d, kv=mtq.FP8_KV_CFG),
        ["mlp_only_layers [1]", "norm_topk_prob true", "GQA 4", "untied", "heads * head_dim 256, hidden 192",
         "k_scale and v_scale"], [*w4a4(MODELOPT_W4A4), FP8_KV], without=NORM_FALSE)
    yield Parity("modelopt_w4a16_qwen3_moe", "ModelOpt W4A16_NVFP4", lambda d: modelopt.write(families.qwen3_moe(
        num_experts=12, num_experts_per_tok=4, norm_topk_prob=False, num_hidden_layers=2, tie_word_embeddings=True),
        mtq.W4A16_NVFP4_CFG, d),
        ["12 experts, 4 per token", "norm_topk_prob false", "GQA 2", "tied embeddings"], transformers_4=True,
        without=NORM_TRUE)
    yield Parity("modelopt_mixed_qwen3_moe", "ModelOpt MIXED_PRECISION", lambda d: modelopt.write(
        families.qwen3_moe(num_attention_heads=2, num_experts=6), modelopt.mixed(
            ("self_attn", modelopt.FP8, modelopt.FP8), ("experts", modelopt.NVFP4, None),
            ("lm_head", modelopt.NVFP4, None)), d),
        ["attention FP8 with static input scales", "6 experts, 2 per token", "experts and lm_head W4A16", "GQA 1", "heads * head_dim 128, hidden 192", "norm_topk_prob true"],
        [Mode("logits_f32"), FP8_ACTIVATIONS], num_candidates=48, without=NORM_FALSE)
    yield Parity("modelopt_w4a4_qwen3", "ModelOpt NVFP4", lambda d: modelopt.write(
        families.qwen3(**W4A4_GAIN), mtq.NVFP4_DEFAULT_CFG, d),
        ["tied embeddings", "GQA 2", "heads * head_dim 256, hidden 192"], w4a4(MODELOPT_W4A4))
    yield Parity("modelopt_w4a4_llama", "ModelOpt NVFP4", lambda d: modelopt.write(
        families.llama(**W4A4_GAIN), mtq.NVFP4_DEFAULT_CFG, d),
        ["llama3 rope scaling", "GQA 1", "untied"], w4a4(MODELOPT_W4A4), transformers_4=True,
        without=NO_SCALING)
    yield Parity("modelopt_w4a16_mistral", "ModelOpt W4A16_NVFP4", lambda d: modelopt.write(
        families.mistral(hidden_size=320), mtq.W4A16_NVFP4_CFG, d),
        ["sliding_window null", "head_dim 32 explicit, heads * head_dim 128, hidden 320", "GQA 4", "untied"])


def compressed_checkpoints():
    yield Parity("compressed_w4a4_qwen3_moe", "compressed-tensors NVFP4", lambda d: compressed.write(
        families.qwen3_moe(num_experts_per_tok=3, mlp_only_layers=[0], **W4A4_GAIN), d, scheme="NVFP4", **SPARSE),
        ["mlp_only_layers [0]", "3 experts of 8 per token", "norm_topk_prob true", "GQA 2", "untied"],
        w4a4(COMPRESSED_W4A4), transformers_4=True, without=NORM_FALSE)
    yield Parity("compressed_w4a16_qwen3_bias", "compressed-tensors NVFP4A16", lambda d: compressed.write(
        families.qwen3(attention_bias=True, num_key_value_heads=4), d, scheme="NVFP4A16", calibrated=False, **LINEAR),
        ["attention_bias true: q, k, v, o", "GQA 1", "tied embeddings"], transformers_4=True,
        without=NO_BIAS)
    yield Parity("compressed_w4a16_llama", "compressed-tensors NVFP4A16", lambda d: compressed.write(
        families.llama(hidden_size=256, intermediate_size=192, num_attention_heads=4, num_key_value_heads=1), d,
        scheme="NVFP4A16", calibrated=False, **LINEAR),
        ["llama3 rope scaling", "GQA 4", "untied"], without=NO_SCALING)
    yield Parity("compressed_w4a4_mistral_window", "compressed-tensors NVFP4", lambda d: compressed.write(
        families.mistral(sliding_window=24, num_key_value_heads=2, num_attention_heads=4, head_dim=64,
                         **W4A4_GAIN), d, scheme="NVFP4", **LINEAR),
        ["sliding_window 24", "head_dim 64 explicit, heads * head_dim 256, hidden 192", "GQA 2", "untied"],
        w4a4(COMPRESSED_W4A4), without=NO_WINDOW)


def checkpoints():
    yield from plain_checkpoints()
    yield from modelopt_checkpoints()
    yield from compressed_checkpoints()
