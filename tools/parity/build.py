"""Builds the parity checkpoints and their goldens: python build.py OUT_DIR [NAME ...]"""

import argparse
import logging
import os
import pathlib
import shutil
import sys
import warnings

# One code path of every CPU, as tools/fixtures/build.py: the last bits of sums are part of the goldens.
os.environ.update(CUDA_VISIBLE_DEVICES="", OMP_NUM_THREADS="1", MKL_CBWR="COMPATIBLE",
                  ATEN_CPU_CAPABILITY="default", DNNL_MAX_CPU_ISA="SSE41",
                  TORCHDYNAMO_DISABLE="1", TRANSFORMERS_VERBOSITY="error",
                  TOKENIZERS_PARALLELISM="false", HF_HUB_DISABLE_PROGRESS_BARS="1")
warnings.filterwarnings("ignore")
sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "fixtures"))

import torch  # noqa: E402

import checkpoints  # noqa: E402
import families  # noqa: E402
import goldens  # noqa: E402


def build(parity, out):
    directory = out / parity.name
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    parity.write(directory)
    if parity.transformers_4:
        families.spell_as_transformers_4(directory)
    text = goldens.write(directory, parity)
    for path in directory.iterdir():
        path.chmod(0o644)
    return text


def summary(text):
    if changes := text["logits_change_by"]:
        yield "  logits change by: " + ", ".join(f"{k} {v:.1e}" for k, v in changes.items())
    for name, mode in text["modes"].items():
        distances = " ".join(f"{k} {v:.1e}" for k, v in mode["smallest_distance"].items())
        bf16 = mode["bf16_run"]
        yield (f"  {name}: float64 {mode['fp32_against_float64']:.1e}, prefixes {mode['prefixes']:.1e}, "
               f"greedy {mode['greedy_top2_margin']:.3f}, BF16 cosine {bf16['min_cosine']:.5f} at worst "
               f"({bf16['positions_below_0.999']} below 0.999), {bf16['overall_cosine']:.5f} overall; {distances}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("names", nargs="*", help="checkpoints to build (default: all)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    logging.disable(logging.WARNING)
    known = {c.name: c for c in checkpoints.checkpoints()}
    if unknown := set(args.names) - set(known):
        sys.exit(f"no such checkpoint: {', '.join(sorted(unknown))}")
    for name in args.names or known:
        torch.manual_seed(0)
        text = build(known[name], args.out)
        size = {p.suffix == ".npy": 0 for p in (args.out / name).iterdir()}
        for path in (args.out / name).iterdir():
            size[path.suffix == ".npy"] += path.stat().st_size
        print(f"{name}: {size[False]} bytes, goldens {size[True]} bytes", *summary(text), sep="\n", flush=True)


if __name__ == "__main__":
    main()
