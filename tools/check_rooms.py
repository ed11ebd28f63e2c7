#!/usr/bin/env python3
"""Fails when a room of src/ includes one that it may not see, or when a public header shows an internal one.

A room may include itself, include/nvfp4 and the rooms before it in ROOMS. `python3 tools/check_rooms.py --self-test`
proves that the check can fail.
"""
import pathlib
import re
import sys

# From the bottom up. Kernel targets see the contract, the shared CUDA code and the facts below, never one another.
ROOMS = [
    "base", "device", "formats", "layouts", "tensor",
    "kernels/contract", "kernels/cpu_shared", "kernels/reference", "kernels/cpu_portable", "kernels/cpu_avx2",
    "kernels/cpu_avx512", "kernels/cuda_shared",
    "kernels/cuda_sm80", "kernels/cuda_sm90", "kernels/cuda_sm120", "kernels/catalogue",
    "checkpoint", "plan", "prepare", "layers", "models", "text", "engine", "serve", "apps",
]
KERNEL_TARGETS = {r for r in ROOMS if r.startswith("kernels/") and r.rsplit("/", 1)[1] not in ("contract", "cpu_shared", "cuda_shared", "catalogue")}
CUDA_RUNTIME_ROOMS = {"device"} | {r for r in ROOMS if r.startswith("kernels/cuda_")}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
SOURCES = {".h", ".cc", ".cuh", ".cu"}


def room_of(path: str):
    """The room that a path relative to src/ lies in, or None."""
    found = [room for room in ROOMS if path.startswith(room + "/") or path.startswith(room + ".")]
    return max(found, key=len, default=None)


def may_see(room: str, other: str) -> bool:
    if room == other:
        return True
    if room in KERNEL_TARGETS and other in KERNEL_TARGETS:
        return False
    return ROOMS.index(other) < ROOMS.index(room)


def violations(files):
    """files: (path relative to the repository, text) -> messages."""
    for path, text in files:
        public = path.startswith("include/")
        room = None if public else room_of(path.removeprefix("src/"))
        if not public and room is None:
            yield f"{path}: lies in no known room"
            continue
        for quote, header in INCLUDE.findall(text):
            if header.startswith(("cuda", "cooperative_groups")) and room not in CUDA_RUNTIME_ROOMS:
                yield f"{path}: includes <{header}>; only {', '.join(sorted(CUDA_RUNTIME_ROOMS))} may see CUDA"
            if quote == "<" or header.startswith("nvfp4/"):
                continue
            if path.endswith("_test.cc") and header.startswith("support/"):
                continue  # tests/support
            other = room_of(header)
            if public:
                yield f"{path}: a public header includes {header}"
            elif other is None:
                yield f'{path}: "{header}" is not written as "room/file.h"'
            elif not may_see(room, other):
                yield f"{path}: the room {room} may not include {header}"
        if room != "apps" and "getenv" in text:
            yield f"{path}: reads the environment; only apps may"


def repository_files(root: pathlib.Path):
    for folder in ("include", "src"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in SOURCES:
                yield path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")


def self_test() -> int:
    bad = {
        "src/formats/a.h": '#include "checkpoint/describe.h"\n',
        "src/kernels/cpu_avx2/a.cc": '#include "kernels/cpu_avx512/b.h"\n',
        "src/checkpoint/a.cc": "#include <cuda_runtime.h>\n",
        "src/base/a.cc": 'char* x = getenv("X");\n',
        "src/elsewhere/a.cc": "\n",
        "include/nvfp4/a.h": '#include "base/file.h"\n',
    }
    good = {
        "src/apps/a.cc": '#include "checkpoint/describe.h"\n#include <vector>\nchar* x = getenv("X");\n',
        "src/kernels/cpu_avx2/a.cc": '#include "kernels/contract/linear.h"\n#include "nvfp4/tensor.h"\n',
        "src/kernels/cuda_sm90/a.cu": '#include <cuda_runtime.h>\n#include "kernels/cuda_shared/ptx.h"\n',
    }
    missed = [path for path, text in bad.items() if not list(violations([(path, text)]))]
    wrong = [message for path, text in good.items() for message in violations([(path, text)])]
    for path in missed:
        print(f"not caught: {path}")
    for message in wrong:
        print(f"wrongly caught: {message}")
    return 1 if missed or wrong else 0


def main() -> int:
    if "--self-test" in sys.argv[1:]:
        return self_test()
    root = pathlib.Path(__file__).resolve().parent.parent
    found = list(violations(repository_files(root)))
    for message in found:
        print(message)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
