"""Exact match of a checkpoint: python evaluate.py DIR problems.jsonl [--activations nvfp4]

A problem counts when the integer after #### is the right one.
"""

import argparse
import collections
import json
import pathlib
import re
import time

import torch

import tokenizer
from decode import Model

RESULT = re.compile(r"#### (-?\d+)\s*$")


def result_of(text):
    match = RESULT.search(text)
    return match.group(1) if match else None


def answers(model, encoder, questions, batch):
    """Answer texts; prompts of similar length run together."""
    prompts = [encoder.encode(tokenizer.prompt(q)).ids for q in questions]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    texts = [""] * len(prompts)
    for start in range(0, len(order), batch):
        rows = order[start:start + batch]
        for i, ids in zip(rows, model.greedy([prompts[i] for i in rows])):
            texts[i] = encoder.decode(ids).strip()
    return texts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("problems", type=pathlib.Path)
    parser.add_argument("--activations", choices=("16bit", "nvfp4"), default="16bit")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--num", type=int, help="the first NUM problems only")
    parser.add_argument("--failures", type=pathlib.Path, help="JSON lines of the wrong answers")
    args = parser.parse_args()
    rows = [json.loads(line) for line in args.problems.read_text().splitlines()][:args.num]
    dtype = torch.bfloat16 if args.device == "cuda" else torch.float32
    model, start = Model(args.directory, args.device, dtype, args.activations), time.time()
    texts = answers(model, tokenizer.load(args.directory), [r["question"] for r in rows], args.batch)
    wrong = [r | {"said": t} for r, t in zip(rows, texts) if result_of(r["answer"]) != result_of(t)]
    same_text = sum(r["answer"] == t for r, t in zip(rows, texts))
    print(json.dumps({"directory": args.directory.name, "activations": args.activations, "problems": len(rows),
                      "exact_match": len(rows) - len(wrong), "percent": round(100 - 100 * len(wrong) / len(rows), 2),
                      "same_worked_answer": same_text, "no_result": collections.Counter(
                          result_of(w["said"]) is None for w in wrong)[True],
                      "seconds": round(time.time() - start, 1)}))
    if args.failures:
        args.failures.write_text("".join(json.dumps(w) + "\n" for w in wrong))


if __name__ == "__main__":
    main()
