"""Story families about rates, time, lengths and measures."""

from story import families


def travel():
    yield from families("two_legs", "v", ["drives", "cycles", "rides"], [
        "{N} {v} at {a} km per hour for {h} hours and then at {b} km per hour for {k} hours. How many km is that in total?",
        "For {h} hours {N} {v} at {a} km/h. After a break {he} goes on at {b} km/h for {k} hours. How far does {he} get in km?"],
        "The first part is [s=a*h] km. The second part is [t=b*k] km. Together [s+t] km.",
        "a 10-90/5, h 2-6, b 10-90/5, k 2-5")
    yield from families("trip_left", "v", ["train", "bus", "truck", "ship"], [
        "A {v} must travel {c} km. It moves at {a} km per hour for {h} hours. How many km are left?",
        "The trip of a {v} is {c} km long. How far does it still have to go after {h} hours at {a} km per hour?"],
        "In {h} hours it covers [s=a*h] km. So [c-s] km are left.", "c 200-900/10, a 30-90/5, h 2-8")
    yield from families("trip_time", "v", ["train", "bus", "boat", "balloon"], [
        "A {v} has a trip of {c} km. After {d} km it moves at {a} km per hour. How many hours does the rest take?",
        "{c} km lie before a {v}, and {d} km are done. At {a} km per hour, how many more hours are needed?"],
        "[s=c-d] km are left. That takes [s/a] hours.", "c 100-600/10, d 10-200/10, a 10-60/5")
    yield from families("fuel", "v", ["car", "van", "motorbike"], [
        "A {v} goes {a} km on one litre of fuel. Its tank holds {b} litres. After a trip of {d} km, how many more km can it go?",
        "With {b} litres in the tank, a {v} that does {a} km per litre sets off. It drives {d} km. "
        "How far in km can it still go?"],
        "A full tank is good for [s=a*b] km. After the trip [s-d] km remain.", "a 8-25, b 5-40, d 10-200/5")
    yield from families("laps", "v", ["runs", "swims", "walks"], [
        "{N} {v} {a} laps each morning for {d} days. One lap is {m} meters. How many meters is that?",
        "A lap is {m} meters long. On each of {d} days {N} {v} {a} laps. How many meters does {N} do in all?"],
        "That is [s=a*d] laps. In meters it is [s*m].", "a 2-9, d 2-7, m 20 25 40 50 100")
    yield from families("weekday_weekend", "v u", ["runs|km", "reads|pages", "practices|minutes", "works|hours",
                                                  "studies|minutes"], [
        "{N} {v} {a} {u} on each of the 5 weekdays and {b} {u} on each of the 2 weekend days. How many {u} is that per week?",
        "From Monday to Friday {N} {v} {a} {u} a day. On Saturday and Sunday it is {b} {u} a day. "
        "What is the number of {u} for the week?"],
        "The weekdays make [s=5*a] {u}. The weekend makes [t=2*b] {u}. The week has [s+t] {u}.", "a 2-40, b 2-60")
    yield from families("faster", "v", ["walks", "skates", "rows"], [
        "{N} {v} {a} km per hour. {M} is {d} km per hour faster. How many km does {M} cover in {h} hours?",
        "The speed of {M} is {d} km/h higher than that of {N}, who {v} {a} km per hour. "
        "How far in km does {M} get in {h} hours?"],
        "The speed of {M} is [s=a+d] km per hour. In {h} hours that gives [s*h] km.", "a 3-15, d 1-9, h 2-9")


def work():
    yield from families("machine_bad", "x", ["bolts", "cups", "toys", "chips", "lids"], [
        "A machine makes {a} {x} per hour and runs {h} hours. {d} of the {x} are broken. How many good {x} are there?",
        "In a factory {a} {x} are made every hour. After {h} hours, {d} are thrown away. How many {x} are left?"],
        "The machine makes [s=a*h] {x}. Of these [s-d] are good.", "a 10-90/5, h 2-9, d 3-60")
    yield from families("two_machines", "x", ["screws", "bags", "bricks", "cans", "tiles"], [
        "One machine makes {a} {x} per hour and another makes {b} {x} per hour. How many {x} do both make in {h} hours?",
        "{N} makes {a} {x} an hour and {M} makes {b} an hour. Working together, how many {x} do they have after {h} hours?"],
        "Together they make [s=a+b] {x} per hour. In {h} hours that is [s*h] {x}.", "a 5-50, b 5-50, h 2-9")
    yield from families("tank_leak", "x", ["tank", "pool", "barrel", "pond"], [
        "A {x} holds {i} litres. Each minute {a} litres flow in and {b} litres leak out. How many litres are in it after {m} minutes?",
        "{i} litres of water are in a {x}. A pipe brings {a} litres per minute, but {b} litres per minute are lost. "
        "How much water in litres is there after {m} minutes?"],
        "It gains [s=a-b] litres per minute. In {m} minutes that is [t=s*m] litres. Now there are [i+t] litres.",
        "i 10-200/5, a 8-30, b 2-15, m 3-12")
    yield from families("tank_fill", "x", ["tank", "bathtub", "pool", "aquarium"], [
        "A {x} for {c} litres already holds {i} litres. A tap gives {a} litres per minute. How many minutes does it take to fill it?",
        "A {x} can hold {c} litres and has {i} litres in it. At {a} litres per minute, after how many minutes is it full?"],
        "[s=c-i] litres are missing. That takes [s/a] minutes.", "c 60-400/10, i 10-100/5, a 5-20")
    yield from families("pages_left", "x", ["novel", "comic book", "history book", "diary"], [
        "A {x} has {c} pages. {N} reads {a} pages a day for {d} days. How many pages are left?",
        "{N} reads {a} pages of a {x} every day. The {x} is {c} pages long. How many pages remain after {d} days?"],
        "In {d} days {N} reads [s=a*d] pages. [c-s] pages are left.", "c 100-500/5, a 8-40, d 2-9")
    yield from families("pages_pace", "x", ["novel", "report", "textbook"], [
        "A {x} has {c} pages. {N} read {a} pages a day for {d} days. {He} wants to finish the rest in {e} days. "
        "How many pages a day must {he} read?",
        "{N} did {d} days of {a} pages each in a {x} of {c} pages. To end in {e} more days, how many pages per day are needed?"],
        "{N} has read [s=a*d] pages. [t=c-s] pages are left. That is [t/e] pages a day.",
        "c 100-400/10, a 10-30, d 2-6, e 2-8")
    yield from families("chapters", "x", ["novel", "guide", "manual"], [
        "A {x} has {c} chapters of {p} pages each. {N} has read {f} of all pages. How many pages has {he} not read?",
        "{N} owns a {x} with {c} chapters, each {p} pages long. After reading {f} of it, how many pages are left?"],
        "The {x} has [s=c*p] pages. {N} read [t=s/f] pages. [s-t] pages are left.", "c 4-12, p 6-30, f frac")
    yield from families("words", "x", ["essay", "letter", "speech"], [
        "{N} types {a} words per minute. {He} types for {m} minutes and then deletes {d} words of {his} {x}. "
        "How many words remain?",
        "Typing at {a} words a minute for {m} minutes, {N} writes {his} {x}. {d} words are cut. How long is the {x} in words?"],
        "{N} types [s=a*m] words. After the cut [s-d] words remain.", "a 20-60/5, m 5-20, d 10-90")
    yield from families("cut_rope", "x", ["rope", "ribbon", "wire", "cable"], [
        "{N} has {x} of {c} meters. {He} uses {d} meters and cuts the rest into pieces of {a} meters. How many pieces are there?",
        "From a {x} of {c} meters {N} takes {d} meters off. How many {a}-meter pieces can {he} cut from the rest?"],
        "[s=c-d] meters are left. That gives [s/a] pieces.", "c 30-200, d 4-50, a 2-12")
    yield from families("bows", "x y", ["bow|ribbon", "kite|string", "flag|cloth", "bracelet|thread"], [
        "One {x} needs {a} cm of {y}. {N} makes {n} of them from a roll of {c} cm. How many cm are left?",
        "{N} has {c} cm of {y}. For each {x} {he} uses {a} cm. How many cm remain after making {n}?"],
        "{N} uses [s=a*n] cm. [c-s] cm are left.", "a 8-45, n 3-12, c 150-800/10")
    yield from families("burn", "x", ["candle", "stick of wax", "block of ice"], [
        "A {x} is {c} cm tall. It loses {a} cm every hour. How tall is it in cm after {h} hours?",
        "Each hour a {x} gets {a} cm shorter. At the start it is {c} cm tall. What is its height in cm after {h} hours?"],
        "In {h} hours it loses [s=a*h] cm. Its height is [c-s] cm.", "c 15-90, a 2-9, h 2-9")
    yield from families("growth", "x", ["plant", "tree", "vine", "sunflower"], [
        "A {x} is {c} cm tall and grows {a} cm each week. After {w} weeks {N} cuts off {d} cm. How tall is it now in cm?",
        "{N} has a {x} of {c} cm. It grows {a} cm per week for {w} weeks, then loses {d} cm. What is its height in cm?"],
        "It grows [s=a*w] cm. Then it is [t=c+s] cm tall. After the cut it is [t-d] cm.", "c 5-90, a 2-15, w 3-12, d 2-20")
    yield from families("pills", "x", ["pills", "drops", "spoons of syrup"], [
        "{N} takes {a} {x} {b} times a day for {d} days. The bottle has {c}. How many are left?",
        "A bottle has {c} {x}. {N} needs {a} of them {b} times a day. How many are left after {d} days?"],
        "Each day {N} takes [s=a*b]. In {d} days that is [t=s*d]. [c-t] are left.", "a 2-4, b 2-4, d 3-10, c 60-200/5")
    yield from families("minutes", "x y", ["film|a break", "lesson|a quiz", "concert|a speech", "match|a pause"], [
        "A {x} lasts {h} hours and {m} minutes. With {y} of {d} minutes, how many minutes is that in total?",
        "{N} goes to a {x} of {h} hours and {m} minutes. Then comes {y} of {d} minutes. How many minutes does it all take?"],
        "{h} hours are [s=h*60] minutes. In total it takes [s+m+d] minutes.", "h 2-5, m 5-55/5, d 5-40/5")


def measures():
    yield from families("recipe_batches", "x y", ["flour|bread", "sugar|jam", "milk|pudding", "rice|soup", "oats|bars"], [
        "One batch of {y} needs {a} cups of {x}. {N} wants to make {n} batches and has {h} cups. How many more cups does {he} need?",
        "{N} has {h} cups of {x}. For a batch of {y} {he} uses {a} cups. How many cups are missing for {n} batches?"],
        "For {n} batches {N} needs [s=a*n] cups. [s-h] cups are missing.", "a 2-9, n 3-12, h 2-30")
    yield from families("recipe_people", "x y", ["grams of flour|pancakes", "grams of rice|curry", "eggs|omelette",
                                                "tomatoes|salad"], [
        "A recipe of {y} for {a} people uses {g} {x}. How many {x} does {N} need for {b} people?",
        "For {a} people, {y} takes {g} {x}. {N} cooks for {b} people. How many {x} is that?"],
        "One person needs [s=g/a] {x}. For {b} people it is [s*b] {x}.", "a 2-8, g 12-240/2, b 3-12")
    yield from families("fence", "x", ["garden", "field", "yard", "playground"], [
        "A {x} is {a} meters long and {b} meters wide. A fence costs ${p} per meter. How much does a fence around it cost?",
        "{N} puts a fence around a {x} that is {a} meters by {b} meters. Each meter costs ${p}. How many dollars does {he} pay?"],
        "Length and width make [s=a+b] meters. The fence is [t=2*s] meters long. It costs [t*p] dollars.",
        "a 5-30, b 4-25, p 2-9")
    yield from families("floor", "x", ["floor", "wall", "lawn", "roof"], [
        "A {x} is {a} meters long and {b} meters wide. One square meter costs ${p}. What does the whole {x} cost in dollars?",
        "{N} renews a {x} of {a} by {b} meters at ${p} per square meter. How much does {he} pay?"],
        "The area is [s=a*b] square meters. It costs [s*p] dollars.", "a 3-15, b 2-12, p 2-12")
    yield from families("paint", "x", ["walls", "fences", "doors", "boats"], [
        "One can of paint covers {a} square meters. {N} paints {n} {x} of {b} square meters each. How many cans does {he} need?",
        "{N} has {n} {x} to paint, {b} square meters each. A can is enough for {a} square meters. How many cans are needed?"],
        "The area is [s=n*b] square meters. That needs [s/a] cans.", "a 4-20, n 2-10, b 5-40")
    yield from families("weights", "x y", ["boxes|bags", "crates|sacks", "parcels|barrels", "chairs|tables"], [
        "A truck carries {a} {x} of {p} kg each and {b} {y} of {q} kg each. It may carry {c} kg. How many more kg can it take?",
        "A truck with a limit of {c} kg holds {a} {x} of {p} kg and {b} {y} of {q} kg. How many kg are free?"],
        "The {x} weigh [s=a*p] kg. The {y} weigh [t=b*q] kg. The load is [u=s+t] kg. [c-u] kg are free.",
        "a 3-12, p 2-30, b 3-12, q 2-30, c 200-900/50")
    yield from families("temperature", "w", ["valley", "city", "desert", "village"], [
        "In the morning it is {a} degrees in a {w}. It gets {b} degrees warmer each hour for {h} hours and then "
        "{d} degrees cooler. How many degrees is it now?",
        "A {w} starts the day at {a} degrees. For {h} hours it warms by {b} degrees an hour, then it cools by {d} degrees. "
        "What is the temperature?"],
        "It gets [s=b*h] degrees warmer. That makes [t=a+s] degrees. Now it is [t-d] degrees.",
        "a 2-20, b 2-4, h 2-6, d 2-12")
    yield from families("average", "x", ["tests", "games", "races", "days", "jumps"], [
        "In three {x} {N} got {a}, {b} and {c} points. What is {his} average?",
        "{N} has the results {a}, {b} and {c} from three {x}. What is the mean of these points?"],
        "The sum is [s=a+b+c]. The average is [s/3].", "a 5-95, b 5-95, c 5-95")
    yield from families("needed_score", "x", ["tests", "rounds", "games", "contests"], [
        "{N} wants an average of {m} points in {n} {x}. So far {he} has {a} points in total. How many more points does {he} need?",
        "To reach a mean of {m} points over {n} {x}, how many points are missing if {N} has {a} so far?"],
        "For this average {N} needs [s=m*n] points. [s-a] are missing.", "m 10-90/5, n 3-6, a 10-200")
    yield from families("battery", "x", ["phone", "laptop", "torch", "drone"], [
        "The battery of a {x} is at {c} percent. It loses {a} percent every hour. After {h} hours {N} charges it by {d} percent. "
        "At how many percent is it?",
        "A {x} has {c} percent of charge and uses {a} percent an hour. {N} uses it {h} hours and then adds {d} percent. "
        "What percent is shown?"],
        "It loses [s=a*h] percent. That leaves [t=c-s] percent. Now it is at [t+d] percent.",
        "c 50-100, a 3-12, h 2-6, d 5-30")


def stories():
    yield from travel()
    yield from work()
    yield from measures()
