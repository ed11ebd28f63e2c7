"""The tiny models: configurations of transformers 5, and the spelling of transformers 4 of a written config.json."""

import json

import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

import weights

COMMON = dict(vocab_size=256, max_position_embeddings=512, bos_token_id=1, eos_token_id=2,
              pad_token_id=None, use_cache=True)


OUTPUT_GAIN = 0.5
OUTPUT_GAIN_MOE = 0.25      # another expert under the rounding of BF16 carries far
OUTPUT_GAIN_W4A4 = 0.06     # a 4-bit code flips under the rounding of BF16 here and there


def make(model_class, config_class, settings, over):
    settings = {**COMMON, "output_gain": OUTPUT_GAIN, **settings, **over}
    gain = settings.pop("output_gain")
    config = config_class(**settings, dtype=torch.bfloat16)
    return weights.fill(model_class(config).to(torch.bfloat16), gain)


def rope(theta, **scaling):
    return dict(rope_parameters={"rope_type": "default", "rope_theta": theta, **scaling})


def qwen3_moe(**over):
    return make(Qwen3MoeForCausalLM, Qwen3MoeConfig, dict(
        output_gain=OUTPUT_GAIN_MOE, hidden_size=192, intermediate_size=192, moe_intermediate_size=64, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2, head_dim=64, num_experts=8, num_experts_per_tok=2,
        norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[], rms_norm_eps=1e-6,
        tie_word_embeddings=False, **rope(1e6)), over)


def qwen3(**over):
    return make(Qwen3ForCausalLM, Qwen3Config, dict(
        hidden_size=192, intermediate_size=192, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=64, rms_norm_eps=1e-6, tie_word_embeddings=True, **rope(1e6)), over)


def llama(**over):
    """Wavelengths below 16, from 16 to 64 and above 64: all three branches of llama3 scaling."""
    return make(LlamaForCausalLM, LlamaConfig, dict(
        hidden_size=192, intermediate_size=320, num_hidden_layers=3, num_attention_heads=3,
        num_key_value_heads=3, rms_norm_eps=1e-5, tie_word_embeddings=False,
        **rope(5e5, rope_type="llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
               original_max_position_embeddings=64)), over)


def mistral(**over):
    return make(MistralForCausalLM, MistralConfig, dict(
        hidden_size=192, intermediate_size=192, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=1, head_dim=32, rms_norm_eps=1e-5, sliding_window=None,
        tie_word_embeddings=False, **rope(1e4)), over)


def spell_as_transformers_4(directory):
    """rope_theta, rope_scaling, torch_dtype and num_experts instead of rope_parameters, dtype and num_local_experts.

    A head_dim that hidden_size / num_attention_heads gives is left out of Llama's, as in its older files.
    """
    path = directory / "config.json"
    config = json.loads(path.read_text())
    rope_parameters = config.pop("rope_parameters")
    config["rope_theta"] = rope_parameters.pop("rope_theta")
    config["rope_scaling"] = None if rope_parameters["rope_type"] == "default" else rope_parameters
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.57.1"
    if "num_local_experts" in config:
        config["num_experts"] = config.pop("num_local_experts")
    if config["model_type"] in ("mistral", "llama"):
        config.pop("layer_types", None)
    if config["model_type"] == "llama" and config["head_dim"] * config["num_attention_heads"] == config["hidden_size"]:
        config.pop("head_dim")
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
