"""The shape of the model, its Hugging Face configuration and its tensor names."""

import json
from dataclasses import dataclass

import tokenizer


@dataclass(frozen=True)
class Shape:
    hidden: int = 256
    num_layers: int = 8
    num_heads: int = 8
    num_kv_heads: int = 2
    head_dim: int = 64
    num_experts: int = 16
    num_active: int = 4
    expert_width: int = 64
    vocab: int = tokenizer.VOCAB_SIZE
    max_positions: int = 512
    rope_theta: float = 10_000.0
    eps: float = 1e-6


SHAPE = Shape()
EOS_ID, PAD_ID = 0, 1
MAX_NEW = 160      # tokens; the longest worked answers have about 130


def config(shape=SHAPE):
    return {
        "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe",
        "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": None, "decoder_sparse_step": 1,
        "eos_token_id": EOS_ID, "head_dim": shape.head_dim, "hidden_act": "silu", "hidden_size": shape.hidden,
        "initializer_range": 0.02, "intermediate_size": shape.num_active * shape.expert_width,
        "max_position_embeddings": shape.max_positions, "mlp_only_layers": [],
        "moe_intermediate_size": shape.expert_width, "norm_topk_prob": True,
        "num_attention_heads": shape.num_heads, "num_experts": shape.num_experts,
        "num_experts_per_tok": shape.num_active, "num_hidden_layers": shape.num_layers,
        "num_key_value_heads": shape.num_kv_heads, "output_router_logits": False, "pad_token_id": PAD_ID,
        "rms_norm_eps": shape.eps, "rope_scaling": None, "rope_theta": shape.rope_theta,
        "router_aux_loss_coef": 0.001, "sliding_window": None, "tie_word_embeddings": False,
        "torch_dtype": "bfloat16", "use_cache": True, "use_sliding_window": False, "vocab_size": shape.vocab}


def generation_config():
    return {"do_sample": False, "eos_token_id": EOS_ID, "max_new_tokens": MAX_NEW, "pad_token_id": PAD_ID}


def write_configs(directory, shape=SHAPE):
    for name, text in (("config.json", config(shape)), ("generation_config.json", generation_config())):
        (directory / name).write_text(json.dumps(text, indent=2) + "\n")
