#!/usr/bin/env bash
# Installs a build into a temporary prefix and builds the consumer against it: by find_package, then by pkg-config.
set -euo pipefail
build=$1
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cmake --install "$build" --prefix "$scratch/prefix" >/dev/null

cmake -S "$here" -B "$scratch/consumer" -DCMAKE_PREFIX_PATH="$scratch/prefix" >/dev/null
cmake --build "$scratch/consumer" >/dev/null
model=$here/../fixtures/modelopt_nvfp4_qwen3_moe
weight=model.layers.0.self_attn.q_proj
first=$("$scratch/consumer/consumer" "$model" "$weight")
echo "$first"

# The pkg-config file holds the prefix of the build; the test looks through the temporary one.
export PKG_CONFIG_PATH=$(dirname "$(find "$scratch/prefix" -name nvfp4.pc)")
read -ra flags < <(pkg-config --static --define-variable=prefix="$scratch/prefix" --cflags --libs nvfp4)
g++ -std=c++20 "$here/consumer.cc" -o "$scratch/by_pkg_config" "${flags[@]}"
[ "$("$scratch/by_pkg_config" "$model" "$weight")" = "$first" ]
"$scratch/prefix/bin/nvfp4" --version
