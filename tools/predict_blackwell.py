#!/usr/bin/env python3
"""Predicted times of the kernels on GPUs with FP4 tensor cores, from the compiler's own numbers.

    tools/predict_blackwell.py [--write] [BUILD]

Reads registers and main loops from the archives in BUILD (build/) by tools/kernel_table.py, the shapes of blocks from
the sources, and prints the tables of docs/blackwell.md; --write puts them there. A kernel takes the longer of

    memory   bytes that come from memory / (share of the bandwidth that copies reach)
    compute  rounds of blocks * (instructions to issue, or products of the tensor cores, whichever takes longer)

and a fixed time for beginning after the kernel ahead of it.
"""
import dataclasses
import json
import math
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- tables by tools/predict_blackwell.py -->", "<!-- end of tables -->"


@dataclasses.dataclass(frozen=True)
class Card:
    """Published figures; products: multiply-adds in a cycle of a multiprocessor, dense, summed in float32."""
    name: str
    num_sms: int
    ghz: float
    gb_per_s: float
    fp4_products: int
    bf16_products: int


CARDS = [Card("RTX 5090", 170, 2.41, 1792, 2048, 256), Card("RTX PRO 6000", 188, 2.62, 1792, 2048, 512),
         Card("GB10", 48, 2.5, 273, 2048, 512)]


@dataclasses.dataclass(frozen=True)
class Experts:
    name: str
    hidden: int
    intermediate: int
    num_experts: int
    top_k: int
    gated: bool


MODELS = [Experts("Qwen3-30B-A3B", 2048, 768, 128, 8, True), Experts("Qwen3.6-35B-A3B", 2048, 512, 256, 8, True),
          Experts("Nemotron 3 Nano", 2688, 1856, 128, 6, False),
          Experts("Nemotron 3 Super (latent)", 1024, 2688, 512, 22, False)]
LAYERS = [("qkv of Qwen3-30B", 5120, 2048), ("4096 x 4096", 4096, 4096), ("8192 x 8192", 8192, 8192)]
TOKENS = [1, 4, 16, 64, 256, 1024, 4096]

BYTES_PER_WEIGHT = 9 / 16  # codes and block scales
BANDWIDTH_SHARE = 0.90  # what copies reach of the published bandwidth
BEGIN_US = 2.0  # of a kernel behind another one, as on an H200
BLOCK_CYCLES = 1500  # to fill the ring of a block and to store its sums
SCHEDULERS = 4  # of a multiprocessor: an instruction each in a cycle


@dataclasses.dataclass(frozen=True)
class Shape:
    """A block of a kernel: rows of weights by tokens; numbers of the main loop in the machine code."""
    rows: int
    tokens: int
    warps: int
    shared_bytes: int
    registers: int
    loop_instructions: int
    loop_products: int
    product: tuple  # rows, tokens and K of a product of the tensor cores

    def blocks_per_sm(self, threads):
        by_registers = 65536 // (-(-self.registers // 8) * 8 * threads)
        return min(by_registers, 102400 // (self.shared_bytes + 1024))

    def block_cycles(self, k, tensor_products):
        """Of a multiprocessor that has nothing else to do."""
        rows, tokens, depth = self.product
        num = self.rows // rows * (self.tokens // tokens) * math.ceil(k / depth)
        issue = num * self.loop_instructions / self.loop_products / SCHEDULERS
        return max(issue, num * rows * tokens * depth / tensor_products)


def constants(path, name):
    """The braces of a constexpr array of structs, as lists of numbers."""
    text = (ROOT / path).read_text()
    body = re.search(name + r" = \{\{(.*?)\}\};", text, re.S)[1]
    return [[int(number) for number in re.findall(r"\d+", re.sub(r"//.*", "", line))]
            for line in re.findall(r"\{([^{}]*)\}", "{" + body if not body.lstrip().startswith("{") else body)]


def kernel_rows(build):
    archives = build.glob("src/libnvfp4_kernels_cuda_sm*.a")
    files = sorted(str(path) for path in archives if "sm90" not in path.name and "_host" not in path.name)
    if not files:
        sys.exit(f"predict_blackwell: no kernels in {build}; build with CUDA first")
    table = subprocess.run([sys.executable, ROOT / "tools/kernel_table.py", "--json", "--arch", "sm_120a", *files],
                           capture_output=True, text=True)
    if table.returncode != 0:
        sys.exit(table.stderr.strip())
    return json.loads(table.stdout)


def fp4_shapes(rows, sink):
    """cuda_sm120/fp4_shapes.h."""
    shapes = []
    for i, (row_warps, token_warps, depth_warps, columns, stages, _) in enumerate(
            constants("src/kernels/cuda_sm120/fp4_shapes.h", "kFp4Shapes")):
        row = next(r for r in rows if r["kernel"].replace(" ", "") == f"fp4_kernel<{i}u,{sink}>")
        num_rows, tokens, warps = 32 * row_warps, 8 * columns * token_warps, row_warps * token_warps * depth_warps
        shared = stages * (num_rows + tokens) * 144 + (0 if depth_warps == 1 else warps * columns * 1024) + 2200
        shapes.append(Shape(num_rows, tokens, warps + 1, shared, row["registers"], row["loop_instructions"],
                            row["loop_products"], (16, 8, 64)))
    return shapes


def fragment_shapes(rows):
    """cuda_sm80/fragment_shapes.h: of linear layers, and of experts, which have the same main loop."""
    path = "src/kernels/cuda_sm80/fragment_shapes.h"
    num_linear, first_expert = (int(re.search(name + r" = (\d+);", (ROOT / path).read_text())[1])
                                for name in ("kNumLinearShapes", "kFirstExpertShape"))
    shapes = []
    for i, (groups, columns, row_warps, token_warps, k_warps, stages, _) in enumerate(
            constants(path, "kFragmentShapes")):
        name = f"linear_fragments<{i}u>" if i < num_linear else f"expert_fragments<{i}u,DownJob>"
        row = next(r for r in rows if r["kernel"].replace(" ", "") == name)
        num_rows, tokens, warps = 16 * groups * row_warps, 8 * columns * token_warps, row_warps * token_warps * k_warps
        shared = stages * k_warps * (tokens * 128 + groups * row_warps * 576) + tokens * 4 + 64
        shapes.append(Shape(num_rows, tokens, warps, shared, row["registers"], row["loop_instructions"],
                            row["loop_products"], (16, 8, 16)))
    return shapes[:num_linear], shapes[first_expert:], shapes


def matrix_us(card, shape, tensor_products, out_features, in_features, num_matrices, tokens_each, other_bytes):
    """A kernel that multiplies num_matrices weights by tokens_each tokens each."""
    items = num_matrices * math.ceil(out_features / shape.rows) * math.ceil(tokens_each / shape.tokens)
    cycles = shape.block_cycles(in_features, tensor_products)
    rounds = math.ceil(items / card.num_sms)
    compute = (rounds * cycles + BLOCK_CYCLES) / (card.ghz * 1e3)
    weight_bytes = num_matrices * out_features * in_features * BYTES_PER_WEIGHT
    memory = (weight_bytes + other_bytes) / (card.gb_per_s * 1e3 * BANDWIDTH_SHARE)
    return max(compute, memory) + BEGIN_US


def best(card, shapes, tensor_products, *arguments):
    return min(matrix_us(card, shape, tensor_products, *arguments) for shape in shapes)


def rows_us(card, num_bytes):
    """A kernel that only moves rows."""
    return num_bytes / (card.gb_per_s * 1e3 * BANDWIDTH_SHARE) + BEGIN_US


def active_experts(model, num_tokens):
    """Those that somebody chooses, on average, when all are equally likely."""
    return max(1, round(model.num_experts * (1 - (1 - model.top_k / model.num_experts) ** num_tokens)))


def experts_us(card, shapes_up, shapes_down, tensor_products, model, num_tokens, act_bytes, quantises):
    pairs = num_tokens * model.top_k
    active = active_experts(model, num_tokens)
    each = math.ceil(pairs / active)
    h, i = model.hidden, model.intermediate
    up = best(card, shapes_up, tensor_products, (2 if model.gated else 1) * i, h, active, each,
              pairs * (h + i) * act_bytes)
    down = best(card, shapes_down, tensor_products, h, i, active, each, pairs * (i * act_bytes + 4 * h))
    others = BEGIN_US + rows_us(card, 4 * pairs * h + 2 * num_tokens * h)  # sorting; the sum over experts
    if quantises:
        others += rows_us(card, num_tokens * h * (2 + act_bytes))
    return up + down + others


def layer_us(card, shapes, tensor_products, layer, num_tokens, act_bytes, quantises):
    _, out_features, in_features = layer
    us = best(card, shapes, tensor_products, out_features, in_features, 1, num_tokens,
              num_tokens * (in_features * act_bytes + 2 * out_features))
    return us + (rows_us(card, num_tokens * in_features * (2 + act_bytes)) if quantises else 0)


def figure(us):
    return f"{us:.1f}" if us < 100 else f"{us:.0f}"


def kernel_lines(fp4, fragments):
    yield "| kernel | block: rows x tokens | threads | registers | shared memory, KiB | blocks of a multiprocessor | "\
          "instructions for a product |"
    yield "|---|---|---|---|---|---|---|"
    for name, shapes in (("`*_nvfp4_nvfp4_mma`", fp4), ("`*_nvfp4_bf16_mma`", fragments)):
        for shape in shapes:
            threads = shape.warps * 32
            yield (f"| {name} | {shape.rows} x {shape.tokens} | {threads} | {shape.registers} | "
                   f"{shape.shared_bytes / 1024:.1f} | {shape.blocks_per_sm(threads)} | "
                   f"{shape.loop_instructions / shape.loop_products:.1f} |")


def byte_lines():
    """Of a layer of experts: weights of the experts that are chosen, and rows of 16-bit activations."""
    yield "\n| experts of | " + " | ".join(f"T={tokens}" for tokens in TOKENS) + " |"
    yield "|---|" + "---|" * len(TOKENS)
    for model in MODELS:
        matrices = (3 if model.gated else 2) * model.hidden * model.intermediate * BYTES_PER_WEIGHT
        megabytes = [(active_experts(model, t) * matrices + t * model.hidden * 4) / 1e6 for t in TOKENS]
        yield f"| {model.name} | " + " | ".join(map(figure, megabytes)) + " |"


def time_lines(rows):
    up = {gated: fp4_shapes(rows, f"ExpertUp<{'true' if gated else 'false'}>") for gated in (True, False)}
    down, dense = fp4_shapes(rows, "ExpertDown"), fp4_shapes(rows, "LinearSink")
    fragments, of_experts, _ = fragment_shapes(rows)
    for card in CARDS:
        yield f"\n### {card.name}: {card.num_sms} multiprocessors, {card.gb_per_s} GB/s\n"
        yield "| layer | kernels | " + " | ".join(f"T={tokens}" for tokens in TOKENS) + " |"
        yield "|---|---|" + "---|" * len(TOKENS)
        for model in MODELS:
            w4a4 = [experts_us(card, up[model.gated], down, card.fp4_products, model, t, BYTES_PER_WEIGHT, True)
                    for t in TOKENS]
            w4a16 = [experts_us(card, of_experts, of_experts, card.bf16_products, model, t, 2, False) for t in TOKENS]
            yield f"| experts of {model.name} | W4A4 | " + " | ".join(map(figure, w4a4)) + " |"
            yield f"| | W4A16 | " + " | ".join(map(figure, w4a16)) + " |"
        for layer in LAYERS:
            w4a4 = [layer_us(card, dense, card.fp4_products, layer, t, BYTES_PER_WEIGHT, True) for t in TOKENS]
            w4a16 = [layer_us(card, fragments, card.bf16_products, layer, t, 2, False) for t in TOKENS]
            yield f"| {layer[0]} | W4A4 | " + " | ".join(map(figure, w4a4)) + " |"
            yield f"| | W4A16 | " + " | ".join(map(figure, w4a16)) + " |"


def main():
    arguments = [a for a in sys.argv[1:] if a != "--write"]
    if arguments and arguments[0].startswith("-"):
        print(__doc__.strip())
        return 0 if arguments[0] in ("-h", "--help") else 2
    rows = kernel_rows(pathlib.Path(arguments[0]) if arguments else ROOT / "build")
    kernels = kernel_lines(fp4_shapes(rows, "LinearSink"), fragment_shapes(rows)[2])
    text = "\n".join([*kernels, *byte_lines(), *time_lines(rows)])
    if "--write" not in sys.argv:
        print(text)
        return 0
    path = ROOT / "docs/blackwell.md"
    before, rest = path.read_text().split(BEGIN)
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
