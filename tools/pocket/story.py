"""A small language for word problems: text with slots, worked steps, ranges of numbers.

Text:   {N} {M} {K} names, {he} {He} {his} {him} pronouns of N, {a} a number, any key of the setting.
Steps:  [t=a*b] writes "4 x 6 = 24" and binds t; the last one is the answer.
Ranges: "a 3-12, b 20-90/5, c 2 4 8, f frac, p pct"; /5 is the step.
"""

import re
from dataclasses import dataclass

import words

MAX_VALUE = 5000
MAX_TRIES = 400
FRACTIONS = {2: ["half", "half", "one half"], 3: ["a third", "one third"], 4: ["a quarter", "one fourth"],
             5: ["a fifth", "one fifth"], 10: ["a tenth", "one tenth"]}
# percent -> (divide by, then multiply by)
PERCENTS = {10: (10, 1), 20: (5, 1), 25: (4, 1), 50: (2, 1), 30: (10, 3), 40: (5, 2), 60: (5, 3), 75: (4, 3)}


class Unfit(Exception):
    """These numbers give a problem that a child could not do: draw again."""


@dataclass(frozen=True)
class Template:
    name: str           # family/setting
    questions: tuple    # phrasings of the whole question
    steps: str
    ranges: str
    setting: tuple      # (key, value) pairs


@dataclass
class Problem:
    template: str
    numbers: tuple
    question: str
    answer: str
    result: int
    num_steps: int


def families(name, keys, rows, questions, steps, ranges):
    """One template per row; a row gives the words of its setting, in the order of keys."""
    for row in rows:
        cells = [c.strip() for c in row.split("|")]
        keys_list = keys.split()
        if len(cells) != len(keys_list):
            raise ValueError(f"{name}: {row!r} does not have {keys!r}")
        slug = "-".join(cells).replace(" ", "_")
        yield Template(f"{name}/{slug}", tuple(questions), steps, ranges, tuple(zip(keys_list, cells)))


def multiply(a, b):
    """The written calculation; a two-digit by two-digit product is split into tens and units."""
    small, large = sorted((a, b))
    product = a * b
    round_factor = small % 10 == 0 or large % 10 == 0
    if small <= 12 and large < 100 or round_factor and small <= 100:
        return f"{a} x {b} = {product}", product
    if small < 10 and large < 1000:
        high, low = large // 100 * 100, large % 100
        if low == 0:
            return f"{a} x {b} = {product}", product
        return f"{a} x {b} = {high} x {small} + {low} x {small} = {high * small} + {low * small} = {product}", product
    if large < 100:
        tens, units = small // 10 * 10, small % 10
        return f"{a} x {b} = {large} x {tens} + {large} x {units} = {large * tens} + {large * units} = {product}", product
    raise Unfit


def divide(a, b):
    if b == 0 or a % b or b > 100:
        raise Unfit
    quotient = a // b
    easy = b <= 12 and quotient < 100 or b % 10 == 0 or quotient <= 12 and b < 100
    if not easy and b > 5:
        raise Unfit
    return f"{a} / {b} = {quotient}", quotient


def add(terms):
    written, values = " + ".join(map(str, terms)), list(terms)
    while len(values) > 1:
        values = [values[0] + values[1], *values[2:]]
        written += " = " + " + ".join(map(str, values))
    return written, values[0]


def subtract(terms):
    written, values = " - ".join(map(str, terms)), list(terms)
    while len(values) > 1:
        values = [values[0] - values[1], *values[2:]]
        if values[0] < 0:
            raise Unfit
        written += " = " + " - ".join(map(str, values))
    return written, values[0]


def calculate(terms, operators):
    """(written calculation, result, number of operations)."""
    if not operators:
        return str(terms[0]), terms[0], 0
    if set(operators) == {"+"}:
        written, result = add(terms)
    elif set(operators) == {"-"}:
        written, result = subtract(terms)
    elif len(operators) == 1:
        written, result = (multiply if operators[0] == "*" else divide)(*terms)
    else:
        raise ValueError(f"one kind of operation at a time: {operators}")
    if not 0 < result <= MAX_VALUE:
        raise Unfit
    return written, result, len(operators)


def draw_number(spec, rng):
    if spec == "frac":
        return rng.choice((2, 2, 3, 3, 4, 4, 5, 10))
    if spec == "pct":
        return rng.choice(tuple(PERCENTS))
    if " " in spec:
        return int(rng.choice(spec.split()))
    span, _, step = spec.partition("/")
    low, _, high = span.partition("-")
    return rng.randrange(int(low), int(high) + 1, int(step or 1))


class Telling:
    """One telling of a template: the names, the numbers and the words for them."""

    def __init__(self, template, rng):
        self.template, self.rng = template, rng
        people = rng.sample(words.PEOPLE, 3)
        self.slots = dict(template.setting)
        for key, (name, _) in zip("NMK", people):
            self.slots[key] = name
        for key, word in zip(words.PRONOUN_KEYS, words.PRONOUNS[people[0][1]]):
            self.slots[key] = word
        self.kinds = dict(item.strip().split(" ", 1) for item in template.ranges.split(","))
        self.values = {name: draw_number(spec, rng) for name, spec in self.kinds.items()}
        self.spelled = {name: self.spell(name) for name in self.values}
        self.num_steps, self.last = 0, None

    def spell(self, name):
        value, kind = self.values[name], self.kinds[name]
        if kind == "frac":
            return self.rng.choice(FRACTIONS[value])
        if kind == "pct":
            return f"{value}%"
        if value in words.NUMBERS and self.rng.random() < 0.12:
            return words.NUMBERS[value]
        return str(value)

    def text(self, pattern):
        def slot(match):
            before, key = match.group(1) or "", match.group(2)
            if key in self.spelled:
                return before + (str(self.values[key]) if before else self.spelled[key])
            return before + self.slots[key]
        written = re.sub(r"(\$)?\{(\w+)\}", slot, pattern)
        return re.sub(r"(^|[.?!] )([a-z])", lambda m: m.group(1) + m.group(2).upper(), written)

    def calculation(self, match):
        target, expression = match.group(1), match.group(2)
        if expression.startswith("%"):
            return self.percent(target, *expression[1:].split(" of "))
        operands = re.split(r"[-+*/]", expression)
        terms = [int(o) if o.isdigit() else self.values[o] for o in operands]
        return self.bind(target, *calculate(terms, re.findall(r"[-+*/]", expression)))

    def percent(self, target, percent, whole):
        divisor, factor = PERCENTS[self.values[percent]]
        written, part, _ = calculate([self.values[whole], divisor], ["/"])
        if factor == 1:
            return self.bind(target, written, part, 1)
        more, result, _ = calculate([part, factor], ["*"])
        return self.bind(target, f"{written} and {more}", result, 1)

    def bind(self, target, written, result, num_operations):
        self.values[target] = self.last = result
        self.num_steps += num_operations
        return written

    def worked(self):
        steps = re.sub(r"\[(?:(\w+)=)?([^\]]+)\]", lambda m: self.calculation(m), self.template.steps)
        # A step may name a bound value or a slot in braces.
        def slot(match):
            key = match.group(1)
            return str(self.values[key]) if key in self.values else self.slots[key]
        steps = re.sub(r"\{(\w+)\}", slot, steps)
        return re.sub(r"(^|[.?!] )([a-z])", lambda m: m.group(1) + m.group(2).upper(), steps)


def tell(template, rng):
    """A Problem, or None when no numbers fit (a fault of the template)."""
    for _ in range(MAX_TRIES):
        telling = Telling(template, rng)
        drawn = tuple(telling.values.values())
        try:
            answer = telling.worked()
        except Unfit:
            continue
        question = telling.text(rng.choice(template.questions))
        return Problem(template.name, drawn, question, f"{answer} #### {telling.last}", telling.last,
                       telling.num_steps)
    return None
