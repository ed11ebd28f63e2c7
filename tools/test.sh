#!/usr/bin/env bash
# Everything that CI checks: formatting, all tests in a release build, the same under ASan and UBSan with a short run of
# every fuzz target, the threaded tests under TSan. CUDA kernels are compiled where nvcc is.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/setup.sh test

if ! cmp -s tests/requirements.txt .venv/tests-requirements.txt; then
  python3 -m venv .venv
  .venv/bin/pip install -q -r tests/requirements.txt
  cp tests/requirements.txt .venv/tests-requirements.txt
fi

git ls-files -z '*.h' '*.cc' '*.cu' '*.cuh' | xargs -0 clang-format-19 --dry-run -Werror

for preset in release asan tsan; do  # sources together: less work for a whole build
  cmake --preset "$preset" -DNVFP4_TOGETHER=ON -DPython3_EXECUTABLE="$PWD/.venv/bin/python" >/dev/null
  cmake --build --preset "$preset"
done
for preset in tsan asan release; do
  ctest --preset "$preset" -j2 --no-tests=error
done
