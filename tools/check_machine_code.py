#!/usr/bin/env python3
"""Fails when the kernels for SM120 are not what they are meant to be in machine code; prints a table of them.

    tools/check_machine_code.py BUILD            the build directory, after `cmake --build BUILD --target cuda_kernels`
    tools/check_machine_code.py --self-test      proves that the check can fail

Of every kernel of src/kernels/cuda_sm120: the block-scaled FP4 product (OMMA with E2M1 operands and UE4M3 scales) is
there, nothing is spilled to local memory; where it rounds to E2M1, and in the quantiser, the hardware's conversion is
there. The table has registers, spills, shared memory and blocks on a multiprocessor of each. Needs cuobjdump (CUDA's,
on PATH, under CUDA_HOME or /usr/local/cuda, or --tools DIR); says so and exits 77 without it.
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

PRODUCT = re.compile(r"\bOMMA\.SF\.16864\.F32\.E2M1\.E2M1\.UE4M3\.4X\b")
CONVERSION = re.compile(r"\bF2FP\.SATFINITE\.E2M1\.F32\b")
SPILL = re.compile(r"\b(STL|LDL)\b")
REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
REGISTERS_PER_SM = 65536
RESERVED_SHARED = 1024
SHARED_PER_SM = 102400


class Kernel:
    def __init__(self, name: str):
        self.name = name
        self.products = self.conversions = self.spills = 0
        self.registers = self.static_shared = None

    def problems(self):
        if "fp4_kernel<" in self.name and self.products == 0:
            yield "has no block-scaled FP4 product (OMMA)"
        if ("ExpertUp" in self.name or "quantize_to_codes" in self.name) and self.conversions == 0:
            yield "has no conversion to E2M1 (F2FP.SATFINITE.E2M1)"
        if self.spills != 0:
            yield f"has {self.spills} accesses of local memory (spills)"


def read_functions(listing: str):
    """Text of `cuobjdump -sass` -> kernels by mangled name."""
    kernels, current = {}, None
    for line in listing.splitlines():
        found = re.search(r"Function : (\S+)", line)
        if found:
            current = kernels.setdefault(found.group(1), Kernel(found.group(1)))
        elif current is not None:
            current.products += bool(PRODUCT.search(line))
            current.conversions += bool(CONVERSION.search(line))
            current.spills += bool(SPILL.search(line))
    return kernels


def add_usage(kernels, listing: str):
    """Text of `cuobjdump -res-usage`."""
    name = None
    for line in listing.splitlines():
        found = re.search(r"Function (\S+):", line)
        if found:
            name = found.group(1)
        usage = re.search(r"REG:(\d+).*SHARED:(\d+)", line)
        if usage and name in kernels:
            kernels[name].registers = int(usage.group(1))
            kernels[name].static_shared = int(usage.group(2))


def find_tool(name: str, directory):
    places = [directory] if directory else []
    places += [os.path.join(os.environ[v], "bin") for v in ("CUDA_HOME", "CUDA_PATH") if v in os.environ]
    places.append("/usr/local/cuda/bin")
    return next((p for p in map(lambda d: shutil.which(name, path=d), places) if p), None) or shutil.which(name)


def run(*command) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def demangle(names):
    tool = shutil.which("c++filt")
    if not tool or not names:
        return {name: name for name in names}
    plain = subprocess.run([tool], input="\n".join(names), check=True, capture_output=True, text=True).stdout
    return dict(zip(names, plain.splitlines()))


def shapes():
    """Threads, bytes of shared memory and blocks on a multiprocessor of each shape, as the header computes them."""
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if not compiler:
        return []
    program = ('#include <cstdio>\n#include "kernels/cuda_sm120/fp4_shapes.h"\n'
               "int main() { for (const auto& s : nvfp4::kernels::cuda_sm120::kFp4Shapes)\n"
               'std::printf("%u %u %u %u %u\\n", s.rows(), s.tokens(), s.threads(), s.shared_bytes(), '
               "s.blocks_per_sm); }\n")
    with tempfile.TemporaryDirectory() as folder:
        source, binary = os.path.join(folder, "shapes.cc"), os.path.join(folder, "shapes")
        pathlib.Path(source).write_text(program)
        run(compiler, "-std=c++20", f"-I{REPOSITORY}/src", f"-I{REPOSITORY}/include", source, "-o", binary)
        return [tuple(map(int, line.split())) for line in run(binary).splitlines()]


def blocks_per_sm(threads: int, registers: int, shared: int) -> int:
    warps = threads // 32
    of_warp = (registers * 32 + 255) // 256 * 256
    by_registers = REGISTERS_PER_SM // 4 // of_warp * 4 // warps
    return min(by_registers, SHARED_PER_SM // (shared + RESERVED_SHARED), 1536 // threads)


def short(name: str) -> str:
    name = re.sub(r"\(anonymous namespace\)::|nvfp4::kernels::(cuda_sm120::)?|^void ", "", name)
    return name[: name.index("(")] if "(" in name else name


def print_table(kernels, all_shapes):
    print(f"{'kernel':52} {'registers':>9} {'spills':>6} {'products':>8} {'to E2M1':>7} {'threads':>7} {'shared':>7} "
          f"{'blocks/SM':>9}")
    for kernel in sorted(kernels, key=lambda k: k.name):
        name = short(kernel.name)
        shape = re.search(r"fp4_kernel<(\d+)u", name)
        threads = shared = blocks = ""
        if shape and int(shape.group(1)) < len(all_shapes):
            _, _, threads, shared, _ = all_shapes[int(shape.group(1))]
            if kernel.registers:
                blocks = blocks_per_sm(threads, kernel.registers, shared)
        print(f"{name:52.52} {kernel.registers or '':>9} {kernel.spills:>6} {kernel.products:>8} "
              f"{kernel.conversions:>7} {threads:>7} {shared:>7} {blocks:>9}")


def objects_of(build: pathlib.Path):
    rooms = {"cuda_sm120": "*.cu.o", "cuda_shared": "quantize_codes.cu.o"}
    for room, pattern in rooms.items():
        yield from sorted((build / f"src/CMakeFiles/nvfp4_kernels_{room}.dir").rglob(pattern))


def check(build: pathlib.Path, tools) -> int:
    cuobjdump = find_tool("cuobjdump", tools)
    if not cuobjdump or not find_tool("nvdisasm", tools):
        print("cuobjdump and nvdisasm were not found: nothing was checked")
        return 77
    objects = list(objects_of(build))
    if not any("cuda_sm120" in str(path) for path in objects):
        print(f"{build} has no objects of src/kernels/cuda_sm120: build the target cuda_kernels first")
        return 77
    os.environ["PATH"] = os.path.dirname(cuobjdump) + os.pathsep + os.environ["PATH"]
    kernels = {}
    for path in objects:
        found = read_functions(run(cuobjdump, "-sass", "-arch", "sm_120a", str(path)))
        add_usage(found, run(cuobjdump, "-res-usage", "-arch", "sm_120a", str(path)))
        kernels.update(found)
        architectures = run(cuobjdump, "-lelf", str(path))
        if "sm_121" not in architectures:
            print(f"{path.name} has no code for sm_121a")
            return 1
    names = demangle(list(kernels))
    for mangled, kernel in kernels.items():
        kernel.name = names[mangled]
    print_table(kernels.values(), shapes())
    problems = [f"{short(k.name)} {problem}" for k in kernels.values() for problem in k.problems()]
    if not any("fp4_kernel<" in k.name for k in kernels.values()):
        problems.append("there is no kernel that multiplies FP4 numbers")
    print("\n".join(problems))
    return 1 if problems else 0


def self_test() -> int:
    product = "OMMA.SF.16864.F32.E2M1.E2M1.UE4M3.4X R12, R4, R8, RZ, R0, R11, URZ"
    conversion = "F2FP.SATFINITE.E2M1.F32.PACK_AB_MERGE_C R10, R7, R6, RZ"
    listing = (f"Function : fp4_kernel<0u,ExpertUp<true>>\n /*0*/ {product} ;\n /*1*/ {conversion} ;\n"
               f"Function : fp4_kernel<1u,LinearSink>\n /*0*/ HMMA.16816.F32 R1 ;\n /*1*/ STL [R1], R2 ;\n"
               f"Function : fp4_kernel<2u,ExpertUp<true>>\n /*0*/ {product} ;\n")
    kernels = read_functions(listing)
    add_usage(kernels, " Function fp4_kernel<1u,LinearSink>:\n  REG:80 STACK:8 SHARED:1024 LOCAL:0\n")
    found = [len(list(kernel.problems())) for kernel in kernels.values()]
    if found != [0, 2, 1] or kernels["fp4_kernel<1u,LinearSink>"].registers != 80:
        print(f"self-test: {found} problems instead of [0, 2, 1]")
        return 1
    if blocks_per_sm(288, 168, 75000) != 1 or blocks_per_sm(160, 80, 46000) != 2 or blocks_per_sm(160, 255, 1000) != 1:
        print("self-test: wrong number of blocks")
        return 1
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", nargs="?", type=pathlib.Path)
    parser.add_argument("--tools", help="folder of cuobjdump and nvdisasm")
    parser.add_argument("--self-test", action="store_true")
    options = parser.parse_args()
    if options.self_test:
        return self_test()
    if options.build is None:
        parser.error("a build directory is needed")
    return check(options.build, options.tools)


if __name__ == "__main__":
    sys.exit(main())
