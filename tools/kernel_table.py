#!/usr/bin/env python3
"""What the compiler made of the CUDA kernels: registers, spills, shared memory, instructions of the main loop.

    tools/kernel_table.py [--arch sm_120a] [--match NAME] [--json] [FILE...]
    tools/kernel_table.py --check [FILE...]

FILE: archives, objects or binaries; without any, those of build/. A row for each kernel and architecture. The main
loop is the inner one with the most matrix instructions; "per product" divides its instructions by theirs.
--check: no table; exit code 1 when a kernel spills registers to local memory, waits for each of its asynchronous
products (what the compiler does when registers do not suffice), or lacks the instructions that it is for.
Needs cuobjdump and nvdisasm, of the CUDA toolkit or as Python packages; exit code 77 without them.
"""
import argparse
import collections
import glob
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig

MATRIX = re.compile(r"^(HMMA|HGMMA|OMMA|QMMA|IMMA|QGMMA)\b")
# Of the archives so called, an architecture and kernels whose name matches, of which there is one at least: the machine
# code has this instruction.
REQUIRED = [
    ("cuda_sm120", arch, kernels, instruction) for arch in ("sm_120a", "sm_121a")
    for kernels, instruction in ((r"^fp4_kernel", r"OMMA\.SF.*E2M1"), (r"^fp4_kernel.*ExpertUp", r"F2FP.*E2M1"))
] + [
    ("cuda_shared", arch, r"^quantize_to_codes", r"F2FP.*E2M1") for arch in ("sm_120a", "sm_121a")
] + [("cuda_sm90", "sm_90a", r"^wgmma_kernel", r"HGMMA")]
PREDICATE = re.compile(r"^@!?U?P\d+\s+")
LOCAL_MEMORY = re.compile(r"\b(STL|LDL)\b")
# In the epilogue of W4A4 without a gate, not in the main loop.
MAY_SPILL = re.compile(r"wgmma_kernel<ExpertUp<3, true>")

Instruction = collections.namedtuple("Instruction", "address text")


def tool_folder():
    """Where cuobjdump and the nvdisasm that it calls are, or None."""
    nvcc = shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    packages = pathlib.Path(sysconfig.get_paths()["purelib"], "nvidia").glob("*/bin")
    for folder in [pathlib.Path(nvcc).resolve().parent, *packages, *os.get_exec_path()]:
        if all(pathlib.Path(folder, name).exists() for name in ("cuobjdump", "nvdisasm")):
            return str(folder)
    return None


def output_of(folder, *command):
    environment = {**os.environ, "PATH": folder + os.pathsep + os.environ["PATH"]}
    done = subprocess.run([f"{folder}/cuobjdump", *command], capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        sys.exit(f"kernel_table: {' '.join(command)}: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout


def demangled(names):
    filter_ = shutil.which("cu++filt") or shutil.which("c++filt")
    if not names or filter_ is None:
        return {name: name for name in names}
    lines = subprocess.run([filter_], input="\n".join(names), check=True, capture_output=True, text=True).stdout
    return dict(zip(names, lines.splitlines()))


def short_name(name):
    """Namespaces and parameters left out, template arguments kept."""
    depth, end = 0, len(name)
    for i, character in enumerate(name):
        depth += {"<": 1, ">": -1}.get(character, 0)
        if character == "(" and depth == 0 and not name.startswith("(anonymous", i):
            end = i
            break
    name = re.sub(r"^void ", "", name[:end])
    name = re.sub(r"\(anonymous namespace\)::|nvfp4::kernels::(cuda_\w+::)?|nvfp4::", "", name)
    return re.sub(r"\((?:unsigned int|int|bool|[\w:]+)\)", "", name)


def resources(tool, options):
    """(architecture, kernel) -> registers, stack and shared bytes."""
    found, architecture, function = {}, None, None
    for line in output_of(tool, *options, "-res-usage").splitlines():
        if match := re.match(r"arch = (\w+)", line):
            architecture = match[1]
        elif match := re.match(r"\s*Function (\S+):", line):
            function = match[1]
        elif function and (match := re.search(r"REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)", line)):
            registers, stack, shared, local = map(int, match.groups())
            found[architecture, function] = {"registers": registers, "stack_bytes": stack + local,
                                             "static_shared_bytes": shared}
            function = None
    return found


def machine_code(tool, options):
    """(architecture, kernel) -> instructions."""
    found, architecture, code = {}, None, None
    for line in output_of(tool, *options, "-sass").splitlines():  # millions
        if line.startswith("        /*"):
            if code is not None and (end := line.find(";")) > 0:
                address, _, text = line[10:end].partition("*/")
                code.append(Instruction(int(address, 16), text.strip()))
        elif line.startswith("arch = "):
            architecture, code = re.match(r"arch = (\w+)", line)[1], None
        elif "Function :" in line and (match := re.match(r"\s*Function : (\S+)", line)):
            code = found.setdefault((architecture, match[1]), [])
    return found


def opcode(text):
    return PREDICATE.sub("", text) if text.startswith("@") else text


def main_loop(code):
    """(instructions, matrix instructions) of the loop with the most matrix instructions and no other such loop in it."""
    place = {instruction.address: i for i, instruction in enumerate(code)}
    total = [0]
    for instruction in code:
        total.append(total[-1] + bool(MATRIX.match(opcode(instruction.text))))
    loops = set()
    for end, instruction in enumerate(code):
        if "BRA" not in instruction.text:
            continue
        match = re.match(r"BRA\S*\s+(?:!?U?P\d+,\s*)?(0x[0-9a-f]+)", opcode(instruction.text))
        begin = place.get(int(match[1], 16)) if match else None
        if begin is not None and begin <= end and total[end + 1] > total[begin]:
            loops.add((begin, end))
    inner = [(total[end + 1] - total[begin], begin - end - 1) for begin, end in loops
             if not any((b, e) != (begin, end) and begin <= b and e <= end for b, e in loops)]
    products, length = max(inner, default=(0, 0))
    return -length, products


def waits_for_each(code):
    """Whether every product of a warpgroup (HGMMA) ends a group of its own."""
    products = [i.text for i in code if "HGMMA" in i.text and opcode(i.text).startswith("HGMMA")]
    return bool(products) and all("gsb0" in text for text in products)


def suspects(used, path):
    """Architectures whose machine code --check reads: those with a kernel that has local memory, which spilling takes,
    and those of which it wants certain instructions."""
    with_stack = {arch for (arch, _), numbers in used.items() if numbers["stack_bytes"]}
    wanted = {arch for archive, arch, _, _ in REQUIRED if archive in pathlib.Path(path).name}
    return sorted((with_stack | wanted) & {arch for arch, _ in used})


def rows_of(tool, path, architecture, pattern, check):
    options = [*(["-arch", architecture] if architecture else []), path]
    used = resources(tool, options)
    code = {}
    for chosen in [["-arch", arch, path] for arch in suspects(used, path)] if check else [options]:
        code.update(machine_code(tool, chosen))
    names = demangled(sorted({name for _, name in used}))
    for (arch, name), numbers in sorted(used.items(), key=lambda item: (item[0][0], names[item[0][1]])):
        short = short_name(names[name])
        if (architecture and arch != architecture) or (pattern and not re.search(pattern, short)):
            continue
        instructions = code.get((arch, name), [])
        length, matrix = main_loop(instructions)
        yield {"kernel": short, "arch": arch, **numbers, "instructions": len(instructions),
               "local_memory_instructions": sum(bool(LOCAL_MEMORY.search(i.text)) for i in instructions),
               "loop_instructions": length, "loop_products": matrix, "waits_for_each": waits_for_each(instructions),
               "archive": pathlib.Path(path).name,
               "has": [want for _, of_arch, of_name, want in REQUIRED if of_arch == arch and re.search(of_name, short)
                       and any(re.search(want, i.text) for i in instructions)]}


def complaints(rows):
    for row in rows:
        if row["local_memory_instructions"] and not MAY_SPILL.search(row["kernel"]):
            yield f"{row['arch']} {row['kernel']}: {row['local_memory_instructions']} instructions for local memory"
        if row["waits_for_each"]:
            yield f"{row['arch']} {row['kernel']}: waits for each product; it needs fewer registers"
    for archive, arch, of_name, want in REQUIRED:
        of_archive = [row for row in rows if archive in row["archive"] and row["arch"] == arch]
        concerned = [row for row in of_archive if re.search(of_name, row["kernel"])]
        if of_archive and not concerned:
            yield f"{arch}: no kernel {of_name} in {of_archive[0]['archive']}"
        for row in concerned:
            if want not in row["has"]:
                yield f"{arch} {row['kernel']}: no instruction {want}"


def print_table(rows):
    print(f"{'arch':8} {'registers':>9} {'stack':>5} {'shared':>6} {'code':>6} {'loop':>5} {'products':>8} "
          f"{'per product':>11}  kernel")
    for row in rows:
        per = row["loop_instructions"] / row["loop_products"] if row["loop_products"] else 0
        print(f"{row['arch']:8} {row['registers']:9} {row['stack_bytes']:5} {row['static_shared_bytes']:6} "
              f"{row['instructions']:6} {row['loop_instructions'] if per else '-':>5} {row['loop_products'] or '-':>8} "
              f"{f'{per:.1f}' if per else '-':>11}  {row['kernel']}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", metavar="FILE")
    parser.add_argument("--arch")
    parser.add_argument("--match")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    tool = tool_folder()
    if tool is None:
        print("kernel_table: cuobjdump and nvdisasm were not found; they are part of the CUDA toolkit, and Python "
              "packages: nvidia-cuda-cuobjdump, nvidia-cuda-nvdisasm", file=sys.stderr)
        return 77
    root = pathlib.Path(__file__).resolve().parent.parent
    archives = glob.glob(str(root / "build/src/libnvfp4_kernels_cuda_*.a"))
    files = arguments.files or sorted(path for path in archives if not path.endswith("_host.a"))
    if not files:
        print("kernel_table: no kernels in build/; build with CUDA first, or name files", file=sys.stderr)
        return 2
    rows = [row for path in files for row in rows_of(tool, path, arguments.arch, arguments.match, arguments.check)]
    if arguments.check:
        print(f"kernel_table: {len(rows)} kernels in {len(files)} archives")
    elif arguments.json:
        print(json.dumps(rows, indent=2))
    else:
        print_table(rows)
    problems = list(complaints(rows)) if arguments.check else []
    for problem in problems:
        print(f"kernel_table: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
