"""Grade-school word problems with worked answers, made from templates.

  python problems.py --count                          templates, by family
  python problems.py --split held-out --num 1319      JSON lines on stdout
  python problems.py --split train --num 1000 --seed 7
  python problems.py --check FILE                     the held-out file: its arithmetic, and nothing of it in training
A problem is held out when the hash of its template and its numbers says so, so
no training problem has the template and the numbers of a held-out one.
"""

import argparse
import collections
import hashlib
import json
import random
import re
import sys

import chains
import stories_groups
import stories_money
import stories_rates
import story
import words

NUM_HELD_OUT = 1319
HELD_OUT_SEED = 20_000_003
HELD_OUT_ONE_IN = 40
CHAIN_SHARE = 0.5
ASIDE_SHARE, OPENING_SHARE, FRONT_SHARE, TWICE_SHARE = 0.04, 0.03, 0.03, 0.6


def templates():
    """(story templates, chain templates)"""
    modules = (stories_money, stories_rates, stories_groups)
    return [t for m in modules for t in m.stories()], list(chains.stories())


def is_held_out(problem):
    key = f"{problem.template} {problem.numbers}".encode()
    return int.from_bytes(hashlib.sha256(key).digest()[:4], "big") % HELD_OUT_ONE_IN == 0


def varied(problem, rng):
    """A few questions are asked in another way; the answer is the same."""
    draw, question = rng.random(), problem.question
    if rng.random() < TWICE_SHARE:
        question = question.replace(" 2 times as ", " twice as ").replace(" two times as ", " twice as ")
    sentences = question.split(". ")
    if draw < ASIDE_SHARE and len(sentences) > 1:
        name = rng.choice(words.PEOPLE)[0]
        aside = rng.choice(words.ASIDES).format(N=name, n=rng.randrange(2, 13))
        place = rng.randrange(0, len(sentences))
        return ". ".join([*sentences[:place], aside.rstrip("."), *sentences[place:]])
    if draw < ASIDE_SHARE + OPENING_SHARE:
        return rng.choice(words.OPENINGS) + question
    if draw < ASIDE_SHARE + OPENING_SHARE + FRONT_SHARE and len(sentences) > 1:
        asked = set(sentences[-1].rstrip("?").split())
        if not asked & {"he", "she", "him", "her", "his", "it", "they", "them", "this", "that", "If", "more"}:
            return f"{sentences[-1]} {'. '.join(sentences[:-1])}."
    return question


class Generator:
    """Endless problems of one split; the same seed gives the same problems."""

    def __init__(self, seed, held_out=False):
        self.rng, self.held_out = random.Random(seed), held_out
        self.stories, self.chains = templates()

    def __iter__(self):
        return self

    def __next__(self):
        while True:
            pool = self.chains if self.rng.random() < CHAIN_SHARE else self.stories
            problem = story.tell(self.rng.choice(pool), self.rng)
            if problem is None or is_held_out(problem) != self.held_out:
                continue
            problem.question = varied(problem, self.rng)
            return problem


def held_out(num=NUM_HELD_OUT, seed=HELD_OUT_SEED):
    """num problems with different questions and different (template, numbers)."""
    seen, out = set(), []
    for problem in Generator(seed, held_out=True):
        keys = {problem.question, (problem.template, problem.numbers)}
        if not keys & seen:
            seen |= keys
            out.append(problem)
        if len(out) == num:
            return out


def count():
    """Prints how many templates there are, and fails when one of them cannot be told."""
    every_story, every_chain = templates()
    rng, steps, faults = random.Random(0), collections.Counter(), []
    for template in every_story + every_chain:
        told = [story.tell(template, rng) for _ in range(20)]
        bad = [p for p in told if p is None or not 2 <= p.num_steps <= 4]
        steps.update(p.num_steps for p in told if p)
        if bad:
            faults.append(f"{template.name}: {bad[0].num_steps if bad[0] else 'no numbers fit'}")
    family = collections.Counter(t.name.split("/")[0] for t in every_story)
    print(f"{len(every_story) + len(every_chain)} templates: {len(every_story)} stories of {len(family)} families, "
          f"{len(every_chain)} chains; steps {dict(sorted(steps.items()))}")
    if len({t.name for t in every_story + every_chain}) != len(every_story) + len(every_chain):
        faults.append("two templates have one name")
    if faults:
        sys.exit("\n".join(faults))


def calculations(answer):
    """(left, right) of every equation in a worked answer, as integers."""
    for chain in re.findall(r"\d[\d x+/-]*(?: = [\d x+/-]*\d)+", answer):
        sides = [sum_of(side) for side in chain.split(" = ")]
        yield from zip(sides, sides[1:])


def sum_of(expression):
    """+ and - after x and /; all values are integers, a division leaves no rest."""
    total = 0
    for sign, term in re.findall(r"(^|[+-] )(\d+(?: [x/] \d+)*)", expression.strip()):
        value, *rest = term.split()
        value = int(value)
        for operator, operand in zip(rest[::2], rest[1::2]):
            value, remainder = (value * int(operand), 0) if operator == "x" else divmod(value, int(operand))
            if remainder:
                raise ValueError(f"{term} leaves a rest")
        total += -value if sign.startswith("-") else value
    return total


def check(path, num_training=200_000):
    """Fails unless the file is what --split held-out writes, right, and apart from training."""
    with open(path) as f:
        rows = [json.loads(line) for line in f]
    if rows != [{"question": p.question, "answer": p.answer} for p in held_out()]:
        sys.exit(f"{path}: is not what --split held-out writes")
    num_equations = 0
    for row in rows:
        worked, result = row["answer"].rsplit(" #### ", 1)
        equations = list(calculations(worked))
        num_equations += len(equations)
        if not equations or any(a != b for a, b in equations) or equations[-1][1] != int(result):
            sys.exit(f"{path}: wrong arithmetic: {row['answer']}")
    questions = {r["question"] for r in rows}
    generator = Generator(1)
    same = sum(next(generator).question in questions for _ in range(num_training))
    print(f"{len(rows)} problems, {len(questions)} different questions, {num_equations} equations right, "
          f"{same} of {num_training} training questions among them")
    if same or len(questions) != len(rows):
        sys.exit(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", action="store_true")
    parser.add_argument("--check", metavar="FILE")
    parser.add_argument("--split", choices=("train", "held-out"), default="train")
    parser.add_argument("--num", type=int, default=NUM_HELD_OUT)
    parser.add_argument("--seed", type=int)
    args = parser.parse_args()
    if args.count:
        return count()
    if args.check:
        return check(args.check)
    if args.split == "held-out":
        problems = held_out(args.num, HELD_OUT_SEED if args.seed is None else args.seed)
    else:
        generator = Generator(args.seed or 0)
        problems = [next(generator) for _ in range(args.num)]
    for p in problems:
        print(json.dumps({"question": p.question, "answer": p.answer}, ensure_ascii=False))


if __name__ == "__main__":
    main()
