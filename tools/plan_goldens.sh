#!/bin/sh
# Writes the kernels that serve each published checkpoint (tests/golden/plan/*.layers) on each generation of GPUs, for
# people to review: tools/plan_goldens.sh build/nvfp4
set -eu
command=$1
folder=$(dirname "$0")/../tests/golden/plan
for layers in "$folder"/*.layers; do
  out=${layers%.layers}.txt
  : > "$out"
  for device in sm80 sm86 sm89 sm90 sm120 sm121; do
    echo "== $device" >> "$out"
    "$command" plan --layers "$layers" --device $device --short >> "$out" || [ $? -eq 1 ]
  done
done
