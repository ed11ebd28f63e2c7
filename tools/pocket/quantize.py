"""Quantises the BF16 original with the producers' own libraries: python quantize.py BF16_DIR MODELS_DIR [NAME ...]

  pocket                            ModelOpt NVFP4 (W4A4), input scales calibrated on training problems
  pocket-w4a16-modelopt             ModelOpt W4A16_NVFP4
  pocket-w4a16-compressed-tensors   llm-compressor NVFP4A16
Embeddings, routers and the head stay BF16. Runs on a CPU; the bytes depend on the package versions only.
"""

import argparse
import collections
import itertools
import os
import pathlib
import shutil
import sys
import tempfile
import warnings

# One code path of every CPU, as for the fixtures.
os.environ.update(CUDA_VISIBLE_DEVICES="", OMP_NUM_THREADS="1", MKL_CBWR="COMPATIBLE", ATEN_CPU_CAPABILITY="default",
                  DNNL_MAX_CPU_ISA="SSE41", TORCHDYNAMO_DISABLE="1", TRANSFORMERS_VERBOSITY="error",
                  TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")
warnings.filterwarnings("ignore")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "fixtures"))

import modelopt.torch.quantization as mtq  # noqa: E402
import torch  # noqa: E402
from llmcompressor import oneshot  # noqa: E402
from llmcompressor.modifiers.quantization import QuantizationModifier  # noqa: E402
from modelopt.torch.export import export_hf_checkpoint  # noqa: E402
from transformers import AutoTokenizer, Qwen3MoeForCausalLM  # noqa: E402

import modelopt_cpu  # noqa: E402
import problems  # noqa: E402
import shape  # noqa: E402
import tokenizer  # noqa: E402

CALIBRATION_SEED, NUM_CALIBRATION = 31, 512
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


def calibration_batches(directory):
    """[B, T] token ids; rows of one batch have one length, so nothing is padded."""
    encoder, by_length = tokenizer.load(directory), collections.defaultdict(list)
    for p in itertools.islice(problems.Generator(CALIBRATION_SEED), NUM_CALIBRATION):
        ids = encoder.encode(tokenizer.full_text(p.question, p.answer)).ids + [shape.EOS_ID]
        by_length[len(ids)].append(ids)
    return [torch.tensor(rows) for _, rows in sorted(by_length.items())]


def load(directory):
    torch.manual_seed(0)
    return Qwen3MoeForCausalLM.from_pretrained(directory, dtype=torch.bfloat16).eval()


def count_routed(model, batches):
    """Fails when an expert gets no calibration token; returns the smallest count."""
    config, counts, handles = model.config, {}, []
    for name, module in model.named_modules():
        if name.endswith("mlp.gate"):
            def count(module, inputs, _, name=name):
                logits = inputs[0].reshape(-1, config.hidden_size).float() @ module.weight.float().T
                chosen = logits.topk(config.num_experts_per_tok, -1).indices.flatten()
                counts[name] = counts.get(name, 0) + torch.bincount(chosen, minlength=config.num_experts)
            handles.append(module.register_forward_hook(count))
    with torch.no_grad():
        for batch in batches:
            model(batch)
    for handle in handles:
        handle.remove()
    smallest = min(int(c.min()) for c in counts.values())
    if len(counts) != config.num_hidden_layers or smallest == 0:
        sys.exit(f"an expert saw no calibration token: {counts}")
    return smallest


def write_modelopt(source, out, preset, calibrated):
    model, batches = load(source), calibration_batches(source)
    if calibrated:
        print(f"calibration: {sum(b.numel() for b in batches)} tokens, at least "
              f"{count_routed(model, batches)} for every expert", flush=True)

    def calibrate(model):
        for batch in batches:
            model(batch)

    with modelopt_cpu.kernels():
        model = mtq.quantize(model, preset, calibrate if calibrated else None)
        export_hf_checkpoint(model, export_dir=out)


def write_compressed_tensors(source, out):
    model = load(source)
    recipe = QuantizationModifier(scheme="NVFP4A16", targets=["Linear"], ignore=["lm_head", "re:.*mlp.gate$"])
    with torch.no_grad():
        oneshot(model=model, recipe=recipe, processor=AutoTokenizer.from_pretrained(source))
        model.save_pretrained(out, save_compressed=True)


WRITERS = {
    "pocket": lambda source, out: write_modelopt(source, out, mtq.NVFP4_DEFAULT_CFG, True),
    "pocket-w4a16-modelopt": lambda source, out: write_modelopt(source, out, mtq.W4A16_NVFP4_CFG, False),
    "pocket-w4a16-compressed-tensors": write_compressed_tensors,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("names", nargs="*", help="(default: all)")
    args = parser.parse_args()
    if unknown := set(args.names) - set(WRITERS):
        sys.exit(f"no such checkpoint: {', '.join(sorted(unknown))}; there are {', '.join(WRITERS)}")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name in args.names or WRITERS:
        out = args.out / name
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            WRITERS[name](args.source, scratch)
            for pattern in ("config.json", "hf_quant_config.json", "generation_config.json", "*.safetensors"):
                for path in pathlib.Path(scratch).glob(pattern):
                    shutil.copyfile(path, out / path.name)
        for file in TOKENIZER_FILES:
            shutil.copyfile(args.source / file, out / file)
        size = sum(p.stat().st_size for p in out.iterdir())
        print(f"{name}: {size} bytes, {sorted(p.name for p in out.iterdir())}", flush=True)


if __name__ == "__main__":
    main()
