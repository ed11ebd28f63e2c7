#!/bin/sh
# Rebuilds tests/fixtures/parity (all, or the named ones): tools/parity/build.sh [NAME ...]
# Shares .venv/ and the pinned versions with tools/fixtures/build.sh; needs no GPU.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
requirements="$root/tools/fixtures/requirements.txt"
python="$root/.venv/bin/python"
stamp="$root/.venv/requirements.txt"
if ! cmp -s "$requirements" "$stamp"; then
  "${PYTHON:-python3}" -m venv "$root/.venv"
  "$python" -m pip install --quiet -r "$requirements"
  cp "$requirements" "$stamp"
fi
export HF_HUB_OFFLINE=1
cd "$root/tools/parity"
PYTHONDONTWRITEBYTECODE=1 "$python" build.py "$root/tests/fixtures/parity" "$@"
