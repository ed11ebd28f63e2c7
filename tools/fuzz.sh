#!/usr/bin/env bash
# Runs every fuzz target of build-asan for MINUTES, one after the other, from its seed corpus and what earlier runs found.
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=${1:?MINUTES}
for target in build-asan/fuzz/*_fuzz; do
  name=$(basename "$target" _fuzz)
  mkdir -p "build-asan/fuzz/corpus/$name"
  echo "$name: $minutes minutes"
  "$target" -max_total_time=$((minutes * 60)) -rss_limit_mb=512 -timeout=5 -max_len=65536 -fork="$(nproc)" \
    -artifact_prefix="build-asan/fuzz/$name-" "build-asan/fuzz/corpus/$name" "fuzz/corpus/$name"
done
