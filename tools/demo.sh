#!/usr/bin/env bash
# The embedded model answers word problems that it was not trained on: text as it comes, kernels, tokens per second.
set -euo pipefail
cd "$(dirname "$0")/.."
model=models/pocket
problems=$model/problems.jsonl

field() { sed -nE "$1s/.*\"$2\": \"(([^\"\\\\]|\\\\.)*)\".*/\\1/p" "$problems"; }

for line in 1 7; do
  question=$(field "$line" question)
  printf '\nproblem: %s\nexpected: %s\n\n' "$question" "$(field "$line" answer)"
  build/nvfp4 run "$model" --prompt-format $'Question: {prompt}\nAnswer:' --prompt "$question"
done
printf '\n50 of its 1319 problems:\n'
build/nvfp4 eval "$model" --problems "$problems" --limit 50 --quiet
