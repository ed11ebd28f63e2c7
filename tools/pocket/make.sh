#!/bin/sh
# Makes models/pocket*/ from nothing: tools/pocket/make.sh [train|quantize|evaluate]  (default: all three)
# PYTHON_TRAIN has requirements-train.txt and a GPU, PYTHON has ../fixtures/requirements.txt.
# The BF16 original goes to build/pocket-bf16, which is not committed.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
here="$root/tools/pocket"
python="${PYTHON:-$root/.venv/bin/python}"
python_train="${PYTHON_TRAIN:-python3}"
models="$root/models"
original="${POCKET_BF16:-$root/build/pocket-bf16}"
export PYTHONDONTWRITEBYTECODE=1
cd "$here"

train() {
  "$python_train" problems.py --count
  "$python_train" tokenizer.py "$models/pocket"
  "$python_train" problems.py --split held-out > "$models/pocket/problems.jsonl"
  "$python_train" problems.py --check "$models/pocket/problems.jsonl"
  "$python_train" train.py "$original" --tokenizer "$models/pocket" --held-out "$models/pocket/problems.jsonl"
}

quantize() {
  "$python" compare_transformers.py "$original" "$models/pocket/problems.jsonl"
  "$python" quantize.py "$original" "$models"
  for name in pocket pocket-w4a16-modelopt pocket-w4a16-compressed-tensors; do
    "$root/build/nvfp4" check "$models/$name"
  done
}

evaluate() {   # much faster where the GPU is
  problems="$models/pocket/problems.jsonl"
  "$python_train" evaluate.py "$original" "$problems"
  "$python_train" evaluate.py "$models/pocket" "$problems" --activations nvfp4
  "$python_train" evaluate.py "$models/pocket-w4a16-modelopt" "$problems"
  "$python_train" evaluate.py "$models/pocket-w4a16-compressed-tensors" "$problems"
}

case "${1:-all}" in
  train|quantize|evaluate) "$1" ;;
  all) train; quantize; evaluate ;;
  *) echo "usage: $0 [train|quantize|evaluate]" >&2; exit 2 ;;
esac
