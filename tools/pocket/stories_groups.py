"""Story families about groups, shares, comparisons and totals."""

from story import families


def shares():
    yield from families("rows_lost", "x y", ["rows|trees", "beds|roses", "lines|cabbages", "rows|bean plants"], [
        "{N} plants {a} {x} of {b} {y}. {d} of them die. How many {y} are left?",
        "In a garden there are {a} {x} with {b} {y} each. After a storm {d} are gone. How many {y} still stand?"],
        "At first there are [s=a*b] {y}. [s-d] are left.", "a 3-12, b 5-25, d 3-40")
    yield from families("rows_fruit", "y z", ["trees|apples", "bushes|berries", "vines|melons", "plants|tomatoes"], [
        "{N} has {a} rows of {b} {y}. Each gives {c} {z}. How many {z} are there in total?",
        "There are {b} {y} in each of {a} rows, and every one carries {c} {z}. How many {z} can {N} pick?"],
        "There are [s=a*b] {y}. They give [s*c] {z}.", "a 2-9, b 2-9, c 3-20")
    yield from families("seats", "x y", ["hall|people", "theater|guests", "stadium|fans", "train|passengers"], [
        "A {x} has {a} rows of {b} seats. {d} {y} are inside. How many seats are empty?",
        "{d} {y} sit in a {x} with {a} rows and {b} seats per row. How many more {y} can sit down?"],
        "The {x} has [s=a*b] seats. [s-d] seats are empty.", "a 5-30, b 6-20, d 20-200")
    yield from families("teams", "x y", ["boys|girls", "adults|teenagers", "cats|dogs", "juniors|seniors"], [
        "{a} {x} and {b} {y} come to a contest. They form teams of {k}. How many teams are there?",
        "A contest has {a} {x} and {b} {y}. With {k} in every team, how many teams can be made?"],
        "There are [s=a+b] in all. That makes [s/k] teams.", "a 6-60, b 6-60, k 2-9")
    yield from families("buses", "x y", ["students|teachers", "tourists|guides", "players|coaches", "children|parents"], [
        "{a} {x} and {b} {y} go on a trip in vans with {k} seats. All vans are full. How many vans are there? "
        "Each van costs ${p}. What is the total cost in dollars?",
        "A group of {a} {x} and {b} {y} rents vans for {k} persons at ${p} per van. How many dollars do full vans cost?"],
        "There are [s=a+b] persons. They fill [t=s/k] vans. The vans cost [t*p] dollars.", "a 20-90, b 2-12, k 4-12, p 10-60/5")
    yield from families("slices", "x", ["pizzas", "cakes", "pies", "melons"], [
        "{N} cuts {a} {x} into {b} slices each. {n} guests eat {k} slices each. How many slices are left?",
        "There are {a} {x} with {b} slices each at a party. If {n} guests eat {k} slices each, how many slices remain?"],
        "There are [s=a*b] slices. The guests eat [t=n*k] slices. [s-t] slices are left.", "a 2-12, b 4-12, n 3-15, k 2-4")
    yield from families("share_sweets", "x", ["sweets", "cookies", "grapes", "nuts", "crackers"], [
        "{N} has {a} bags of {b} {x}. {He} keeps {d} and shares the rest equally among {k} friends. "
        "How many {x} does each friend get?",
        "From {a} bags with {b} {x} each, {N} eats {d}. {k} friends share what is left. How many {x} are there for each?"],
        "{N} has [s=a*b] {x}. [t=s-d] are shared. Each friend gets [t/k] {x}.", "a 2-9, b 5-20, d 2-30, k 2-9")
    yield from families("class_part", "y", ["wear glasses", "play chess", "have a pet", "walk to school", "sing in a choir"], [
        "There are {c} students in a school. {f} of them are in grade four. Of these, {d} {y}. "
        "How many students in grade four do not?",
        "A school has {c} students and {f} of them are in grade four. {d} fourth graders {y}. How many fourth graders do not?"],
        "[s=c/f] students are in grade four. [s-d] of them do not.", "c 40-400/4, f frac, d 3-60")
    yield from families("lunch_percent", "y", ["lunch", "a snack", "a drink"], [
        "{p} of the {c} children in a camp bring {y}. The others buy it for ${q} each. How much do they pay together?",
        "A camp has {c} children. {p} of them have {y} with them and everyone else pays ${q} for it. How many dollars is that?"],
        "[s=%p of c] children bring it. [t=c-s] children buy it. They pay [t*q] dollars.", "p pct, c 20-200/10, q 2-9")
    yield from families("photos", "x y", ["photos|albums", "stamps|binders", "coins|folders", "cards|books"], [
        "{N} has {a} old {x} and {b} new {x}. {He} puts {k} {x} on each page. One of the {y} has {p} pages. "
        "How many {y} does {he} fill?",
        "{N} keeps {k} {x} on a page and {p} pages in each of the {y}. With {a} old and {b} new {x}, how many {y} are full?"],
        "{N} has [s=a+b] {x}. They fill [t=s/k] pages. That is [t/p] {y}.", "a 20-150, b 10-150, k 2-6, p 4-12")
    yield from families("eggs", "x", ["hens", "ducks", "geese"], [
        "{a} {x} lay {b} eggs each in a week. {N} uses {d} eggs and packs the rest in boxes of {k}. How many boxes does {N} fill?",
        "{N} collects {b} eggs from each of {a} {x}. {d} eggs go into cakes. The others are put in boxes of {k}. How many boxes?"],
        "There are [s=a*b] eggs. [t=s-d] eggs are packed. That is [t/k] boxes.", "a 4-20, b 3-8, d 2-24, k 6 10 12")
    yield from families("eggs_sold", "x", ["hens", "ducks", "chickens"], [
        "{N} has {a} {x}. Each lays {b} eggs a week. {N} eats {d} eggs and sells the others for ${p} each. "
        "How many dollars does {he} get?",
        "Every week {a} {x} lay {b} eggs each for {N}. {He} keeps {d} and gets ${p} for each of the others. "
        "How much money is that?"],
        "There are [s=a*b] eggs. {N} sells [t=s-d] eggs. {He} gets [t*p] dollars.", "a 4-15, b 3-7, d 2-24, p 1-4")
    yield from families("milk", "x", ["cows", "goats", "sheep"], [
        "{a} {x} give {b} litres of milk each day. {N} sells {d} litres a day and makes cheese from the rest. "
        "How many litres become cheese in {w} days?",
        "On a farm each of {a} {x} gives {b} litres a day. {d} litres are sold daily, the rest becomes cheese. "
        "How many litres is that in {w} days?"],
        "Each day there are [s=a*b] litres. [t=s-d] litres are left for cheese. In {w} days that is [t*w] litres.",
        "a 3-12, b 3-12, d 5-60, w 2-9")
    yield from families("rotten", "x y", ["pears|baskets", "oranges|crates", "plums|bags", "peaches|boxes"], [
        "{N} picks {a} {x} from each of {b} trees. {d} of them are rotten. The good ones go into {y} of {k}. "
        "How many {y} are filled?",
        "{b} trees give {a} {x} each. {N} throws away {d} and packs {k} in each of the {y}. How many {y} does {he} need?"],
        "{N} picks [s=a*b] {x}. [t=s-d] are good. They fill [t/k] {y}.", "a 8-30, b 3-9, d 3-40, k 4-12")
    yield from families("library", "x", ["books", "films", "games", "magazines"], [
        "A library has {a} shelves with {b} {x} each. {c} {x} are borrowed and {d} are brought back. How many {x} are there now?",
        "There are {b} {x} on each of {a} shelves. Readers take {c} and return {d}. How many {x} does the library hold now?"],
        "At first there are [s=a*b] {x}. Then [t=s-c] are there. After the return there are [t+d].",
        "a 4-20, b 8-25, c 10-90, d 3-60")


def comparisons():
    yield from families("three_people", "x", ["marbles", "stickers", "points", "shells", "coins", "badges"], [
        "{N} has {a} {x}. {M} has {b} more than {N}. {K} has {k} times as many as {M}. How many {x} do they have together?",
        "{M} owns {b} {x} more than {N}, and {K} owns {k} times as many as {M}. "
        "{N} has {a} {x}. How many {x} do the three have in all?"],
        "{M} has [s=a+b] {x}. {K} has [t=s*k]. Together they have [a+s+t] {x}.", "a 3-40, b 2-30, k 2-5")
    yield from families("three_fewer", "x", ["cards", "toys", "pencils", "stamps", "comics"], [
        "{N} has {a} {x}. {M} has {k} times as many. {K} has {d} fewer than {M}. How many {x} does {K} have more than {N}?",
        "{M} has {k} times as many {x} as {N}, who has {a}. {K} has {d} fewer than {M}. "
        "How many more {x} than {N} does {K} have?"],
        "{M} has [s=a*k] {x}. {K} has [t=s-d]. The difference is [t-a] {x}.", "a 4-30, k 2-6, d 2-40")
    yield from families("half_as_many", "x", ["fish", "photos", "goals", "flags", "kites"], [
        "{N} has {a} {x}. {M} has {f} as many. {K} has {b} more than {M}. How many {x} does {K} have?",
        "{M} has {f} as many {x} as {N}. {K} has {b} {x} more than {M}. If {N} has {a}, how many does {K} have?"],
        "{M} has [s=a/f] {x}. {K} has [s+b] {x}.", "a 8-120, f frac, b 2-30")
    yield from families("age_sum", "x", ["brother", "cousin", "uncle", "neighbor", "coach"], [
        "{N} is {a} years old. {his} {x} is {k} times as old. How old will the {x} be in {y} years?",
        "The {x} of {N} is {k} times as old as {N}, who is {a}. What will be the age of the {x} after {y} years?"],
        "The {x} is [s=a*k] years old. In {y} years that is [s+y].", "a 4-15, k 2-4, y 2-20")
    yield from families("age_both", "x", ["sister", "friend", "aunt", "teacher"], [
        "{N} is {a} years old and {his} {x} is {b} years older. In {y} years, what will be the sum of their ages?",
        "The {x} of {N} is {b} years older than {N}. {N} is {a}. How old will both be together in {y} years?"],
        "The {x} is [s=a+b] years old. Now they are [t=a+s] years together. Both gain {y} years, so add [u=2*y]. "
        "The sum is [t+u].", "a 4-20, b 2-30, y 2-12")
    yield from families("legs", "x y", ["cows|hens", "dogs|parrots", "horses|ducks", "goats|geese", "cats|birds"], [
        "{N} has {a} {x} and {b} {y}. How many legs do the animals have?",
        "On a farm there are {a} {x} and {b} {y}. What is the number of legs of all these animals?"],
        "The {x} have [s=a*4] legs. The {y} have [t=b*2] legs. Together [s+t] legs.", "a 2-25, b 2-40")
    yield from families("wheels", "x y", ["cars|bikes", "trucks|scooters", "vans|motorbikes"], [
        "{a} {x} with 4 wheels and {b} {y} with 2 wheels are in a garage. {d} wheels are flat. How many wheels are fine?",
        "A garage holds {a} {x} and {b} {y}. The {x} have 4 wheels, the {y} have 2. If {d} wheels are flat, how many are not?"],
        "The {x} have [s=a*4] wheels. The {y} have [t=b*2] wheels. That is [u=s+t] wheels. [u-d] are fine.",
        "a 3-25, b 2-25, d 1-12")
    yield from families("sports", "t", ["basketball", "handball", "wheelchair basketball"], [
        "In a {t} game {N} makes {a} shots for 2 points and {b} shots for 3 points. {M} gets {d} points. "
        "How many points more does {N} have?",
        "{N} scores {a} times 2 points and {b} times 3 points at {t}. {M} scores {d} points. By how many points is {N} ahead?"],
        "The first shots give [s=a*2] points. The others give [t=b*3] points. {N} has [u=s+t] points. "
        "The lead is [u-d] points.", "a 3-15, b 2-12, d 2-30")
    yield from families("three_days", "x y", ["tickets|sold", "cakes|sold", "letters|sent", "cars|washed", "books|lent",
                                             "meals|served"], [
        "On Friday {a} {x} were {y}. On Saturday it was {k} times as many. On Sunday it was {d} fewer than on Saturday. "
        "How many {x} were {y} in the three days?",
        "{a} {x} were {y} on Friday, {k} times as many on Saturday, and on Sunday {d} fewer than on Saturday. "
        "What is the total number of {x}?"],
        "On Saturday it was [s=a*k]. On Sunday it was [t=s-d]. In total [a+s+t] {x}.", "a 8-80, k 2-4, d 3-40")
    yield from families("passengers", "x", ["bus", "tram", "train", "ferry"], [
        "A {x} starts with {a} people. At the first stop {b} get off and {c} get on. At the next stop {f} of the people "
        "get off. How many people are still on the {x}?",
        "{a} people are on a {x}. First {b} leave and {c} enter. Then {f} of all people leave. How many people remain?"],
        "After the first stop there are [s=a-b] and then [t=s+c] people. Then [u=t/f] get off. [t-u] people remain.",
        "a 15-80, b 3-20, c 2-40, f frac")
    yield from families("two_stops", "x", ["bus", "tram", "lift", "ferry"], [
        "There are {a} people on a {x}. At the first stop {b} get off and {c} get on. At the second stop {d} get off and "
        "{e} get on. How many people are on the {x} now?",
        "A {x} carries {a} people. {b} leave and {c} enter, then {d} leave and {e} enter. How many people does it carry now?"],
        "After the first stop there are [s=a-b] and then [t=s+c] people. After the second stop there are [u=t-d] and "
        "then [u+e] people.", "a 10-70, b 2-20, c 2-20, d 2-20, e 2-20")
    yield from families("goal_left", "x y", ["cookies|sell", "cans|collect", "pages|read", "cards|make", "trees|plant"], [
        "{N} wants to {y} {c} {x}. {He} did {a} on Monday and {k} times as many on Tuesday. How many {x} are still to do?",
        "The goal of {N} is to {y} {c} {x}. Monday brought {a}, and Tuesday brought {k} times that. How many {x} are missing?"],
        "On Tuesday it was [s=a*k]. So far that is [t=a+s]. [c-t] {x} are missing.", "c 60-400/5, a 5-60, k 2-4")
    yield from families("survey", "x y", ["tea|coffee", "cats|dogs", "red|blue", "summer|winter", "maths|music"], [
        "{c} people were asked. {p} of them like {x} best, {d} like {y} best, and the others like neither. "
        "How many like neither?",
        "In a survey of {c} people, {p} choose {x} and {d} choose {y}. How many people choose something else?"],
        "[s=%p of c] people choose {x}. Together with {y} it is [t=s+d]. [c-t] people are left.", "c 40-400/20, p pct, d 5-90")
    yield from families("percent_more", "x", ["visitors", "members", "readers", "players", "fans"], [
        "A club had {c} {x} last year. This year it has {p} more. {d} of all {x} are new to town. How many are not?",
        "Last year there were {c} {x}. The number grew by {p}. If {d} {x} now leave, how many stay?"],
        "The growth is [s=%p of c]. Now there are [t=c+s] {x}. Without the {d} there are [t-d].",
        "c 40-400/20, p pct, d 5-60")


def stories():
    yield from shares()
    yield from comparisons()
