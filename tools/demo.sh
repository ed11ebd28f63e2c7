#!/usr/bin/env bash
# What the command says about a checkpoint that ships with the sources: a tiny Qwen3-MoE, written by ModelOpt.
set -euo pipefail
cd "$(dirname "$0")/.."
model=tests/fixtures/modelopt_nvfp4_qwen3_moe
weight=model.layers.1.mlp.experts.0.gate_proj
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

run() {
  printf '\n$ %s\n' "$*"
  "$@"
}
run build/nvfp4 inspect "$model"
run build/nvfp4 inspect "$model" --tensor "$weight"
run build/nvfp4 check "$model" || [ $? -eq 1 ]
run build/nvfp4 dequantize "$model" "$weight" --out "$out/gate_proj.npy"
printf 'wrote %s bytes of float32\n' "$(stat -c %s "$out/gate_proj.npy")"
