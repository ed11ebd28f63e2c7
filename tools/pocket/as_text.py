#!/usr/bin/env python3
"""The problems of a JSON lines file as one text, for `nvfp4 eval --text`: as_text.py FILE.jsonl > FILE.txt"""
import json
import sys

for line in open(sys.argv[1]):
    problem = json.loads(line)
    sys.stdout.write(f"Question: {problem['question']}\nAnswer: {problem['answer']}<|endoftext|>")
