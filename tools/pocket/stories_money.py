"""Story families about prices, wages and savings."""

from story import families

BUYABLE = ["pens|books", "apples|melons", "shirts|hats", "cupcakes|pies", "balls|rackets", "plates|bowls"]
GOODS = ["a bike", "a guitar", "a tablet", "a camera", "a skateboard"]


def shopping():
    yield from families("two_kinds", "x y", BUYABLE, [
        "{N} buys {a} {x} at ${p} each and {b} {y} at ${q} each. How much does {N} pay in total?",
        "At the shop, {x} cost ${p} each and {y} cost ${q} each. How many dollars do {a} {x} and {b} {y} cost together?",
        "{N} went shopping and chose {a} {x} for ${p} apiece. {He} also took {b} {y} for ${q} apiece. "
        "What is the total bill in dollars?"],
        "The {x} cost [s=a*p] dollars. The {y} cost [t=b*q] dollars. Together that is [s+t] dollars.",
        "a 2-12, p 2-15, b 2-12, q 2-20")
    yield from families("change", "x", ["notebooks", "sandwiches", "toy cars", "plants", "scarves", "lamps"], [
        "{N} buys {a} {x} that cost ${p} each. {He} pays with ${c}. How much change does {N} get?",
        "Each of the {x} costs ${p}. {N} has ${c} and buys {a} of them. How many dollars does {N} have left?"],
        "The {x} cost [s=a*p] dollars. The change is [c-s] dollars.",
        "a 2-9, p 2-20, c 20 40 50 60 80 100 120 150 200")
    yield from families("two_kinds_change", "x y", BUYABLE, [
        "{N} has ${c}. {He} buys {a} {x} for ${p} each and one of the {y} for ${q}. How much money is left?",
        "With ${c} in {his} pocket, {N} pays for {a} {x} at ${p} each. Then {he} spends ${q} on {y}. "
        "How many dollars does {N} still have?"],
        "The {x} cost [s=a*p] dollars. In total {N} pays [t=s+q] dollars. So [c-t] dollars are left.",
        "c 40-200/10, a 2-9, p 2-15, q 3-40")
    yield from families("percent_off", "x", ["a jacket", "a backpack", "a chair", "a pair of boots", "a radio", "a tent"], [
        "{x} costs ${c}. Today the price is {p} lower. {N} also pays ${d} for delivery. How much does {N} pay?",
        "{N} wants {x} with a price of ${c}. The shop takes {p} off, but delivery adds ${d}. "
        "What does {N} pay in dollars?"],
        "The discount is [s=%p of c] dollars. The price falls to [t=c-s] dollars. With delivery it is [t+d] dollars.",
        "c 20-300/10, p pct, d 2-25")
    yield from families("coupon_each", "x", ["pizzas", "T-shirts", "tickets", "bottles of juice", "candles"], [
        "{x} normally cost ${p} each. With a coupon {N} saves ${d} on each. How much do {a} {x} cost with the coupon?",
        "{N} buys {a} {x}. The price of one is ${p}, but {he} gets ${d} off every one. How many dollars does {he} pay?"],
        "With the coupon one costs [s=p-d] dollars. So {a} cost [a*s] dollars.",
        "p 5-30, d 1-9, a 3-12")
    yield from families("price_chain", "x y z", ["shirt|jacket|hat", "pen|book|ruler", "cake|pie|tart",
                                                "lamp|table|clock", "ball|racket|net"], [
        "A {x} costs ${a}. A {y} costs {k} times as much. A {z} costs ${d} less than the {y}. "
        "How much do all three cost together?",
        "{N} buys a {x} for ${a}, a {y} for {k} times that price, and a {z} that is ${d} cheaper than the {y}. "
        "How many dollars does {N} spend?"],
        "The {y} costs [s=a*k] dollars. The {z} costs [t=s-d] dollars. Together: [a+s+t] dollars.",
        "a 3-30, k 2-6, d 2-30")
    yield from families("bundle", "x", ["lemons", "socks", "muffins", "batteries", "pencils", "stickers"], [
        "A shop sells {k} {x} for ${p}. How much do {n} {x} cost?",
        "{x} come in packs of {k}, and one pack costs ${p}. {N} needs {n} {x}. How many dollars does {he} pay?"],
        "{N} needs [s=n/k] packs. They cost [s*p] dollars.", "k 2-10, p 2-15, n 8-96")
    yield from families("compare_shops", "x", ["oranges", "mugs", "tulips", "toys", "cables"], [
        "At the first shop {x} cost ${p} each, at the second shop ${q} each. "
        "How much does {N} save by buying {n} {x} at the second shop?",
        "{N} needs {n} {x}. They are ${p} apiece downtown but only ${q} apiece at the market. "
        "How many dollars cheaper is the market for all of them?"],
        "Each one is [s=p-q] dollars cheaper. For {n} that is [n*s] dollars.", "p 6-30, q 2-25, n 3-12")
    yield from families("shared_bill", "x", ["pizzas", "board games", "movie tickets", "platters", "boat rides"], [
        "{k} friends order {a} {x} at ${p} each and leave a tip of ${d}. They share the bill equally. "
        "How much does each friend pay?",
        "A group of {k} friends pays for {a} {x} that cost ${p} each, plus a fee of ${d}. "
        "If everyone pays the same, how many dollars does each pay?"],
        "The {x} cost [s=a*p] dollars. The bill is [t=s+d] dollars. Each pays [t/k] dollars.",
        "k 2-8, a 2-8, p 5-20, d 2-20")


def wages():
    yield from families("save_weeks", "g", GOODS, [
        "{N} wants {g} that costs ${c}. {He} already has ${h} and saves ${a} every week. How many weeks does {he} need?",
        "{g} costs ${c}. {N} owns ${h} and puts aside ${a} a week. After how many weeks can {he} buy it?"],
        "{N} still needs [s=c-h] dollars. That takes [s/a] weeks.", "c 60-400/5, h 5-95/5, a 5-40/5")
    yield from families("hours_days", "j", ["in a bakery", "as a gardener", "in a library", "at a farm", "as a tutor"], [
        "{N} works {j} and earns ${a} per hour. {He} works {h} hours a day for {d} days. How much does {he} earn?",
        "{N} works {j} for {h} hours a day on {d} days. The pay is ${a} an hour. How many dollars does {N} make?"],
        "{N} works [s=h*d] hours. {He} earns [s*a] dollars.", "a 5-20, h 2-8, d 2-7")
    yield from families("earn_spend", "j g", ["washing cars|a game", "walking dogs|new shoes", "mowing lawns|a helmet",
                                             "babysitting|a dress", "selling lemonade|a gift"], [
        "{N} earns ${a} an hour by {j}. {He} works {h} hours and then spends ${s} on {g}. How much money is left?",
        "By {j}, {N} makes ${a} per hour. After {h} hours of work {he} buys {g} for ${s}. How many dollars remain?"],
        "{N} earns [t=a*h] dollars. Then [t-s] dollars are left.", "a 4-25, h 3-12, s 5-90")
    yield from families("overtime", "j", ["at a factory", "in a shop", "as a driver", "in an office"], [
        "{N} works {j}. {He} gets ${a} an hour for the first {h} hours of the week and ${b} for each extra hour. "
        "This week {he} worked {h} hours and {k} extra hours. How much did {N} earn?",
        "The first {h} hours of a week {j} pay ${a} each, and every hour after that pays ${b}. "
        "{N} worked {k} extra hours. What was {his} pay in dollars?"],
        "The normal hours pay [s=a*h] dollars. The extra hours pay [t=b*k] dollars. In total [s+t] dollars.",
        "a 8-20, h 20 25 30 35 40, b 12-30, k 2-10")
    yield from families("tips", "t", ["tables", "guests", "families", "couples"], [
        "{N} is a waiter and gets ${w} per hour. Today {he} worked {h} hours and served {n} {t}. "
        "Each left a tip of ${p}. How much did {N} make today?",
        "Working {h} hours at ${w} an hour, {N} also got a ${p} tip from each of {n} {t}. How many dollars is that in all?"],
        "The wage is [s=w*h] dollars. The tips are [t=n*p] dollars. Together [s+t] dollars.",
        "w 6-15, h 3-9, n 3-15, p 2-9")
    yield from families("profit", "x", ["bracelets", "paintings", "cookies", "flowers", "used books", "candles"], [
        "{N} buys {a} {x} for ${p} each and sells them for ${q} each. What is {his} profit in dollars?",
        "Making one of {his} {x} costs {N} ${p}. {He} sells {a} of them at ${q} each. How much profit does {he} make?"],
        "The profit on one is [s=q-p] dollars. For {a} it is [a*s] dollars.", "a 4-40, p 2-15, q 5-30")
    yield from families("profit_cost", "x", ["lemonade", "popcorn", "hot dogs", "soup"], [
        "{N} sells {a} portions of {x} at ${p} each. {He} spent ${c} on supplies. How much profit did {N} make?",
        "After spending ${c} on supplies, {N} sold {a} portions of {x} for ${p} each. How many dollars did {he} gain?"],
        "The sales bring [s=a*p] dollars. The profit is [s-c] dollars.", "a 10-60, p 2-8, c 5-60")
    yield from families("subscription", "x", ["a gym", "a music club", "a phone plan", "a swim team", "a magazine"], [
        "{x} costs ${a} per month and a joining fee of ${f}. How much does {N} pay for {m} months?",
        "{N} joins {x}: ${f} at the start and ${a} every month. How many dollars does {he} pay in the first {m} months?"],
        "The months cost [s=a*m] dollars. With the fee it is [s+f] dollars.", "a 5-40, f 5-50, m 3-12")
    yield from families("notes", "g", GOODS, [
        "{N} has {a} five-dollar bills and {b} ten-dollar bills. {He} buys {g} for ${c}. How much money is left?",
        "In {his} purse {N} finds {a} bills of $5 and {b} bills of $10. How many dollars are left after paying ${c} for {g}?"],
        "The small bills make [s=a*5] dollars. The large bills make [t=b*10] dollars. "
        "That is [u=s+t] dollars. After buying, [u-c] dollars are left.", "a 2-12, b 2-12, c 10-90")
    yield from families("tax_rent", "r", ["rent", "a course", "repairs", "travel"], [
        "{N} earns ${c} a month. {p} of it goes to taxes, and {he} pays ${d} for {r}. How much is left?",
        "Out of a monthly pay of ${c}, {N} loses {p} to taxes and ${d} to {r}. How many dollars remain?"],
        "Taxes take [s=%p of c] dollars. That leaves [t=c-s] dollars. After {r}, [t-d] dollars are left.",
        "c 200-900/20, p pct, d 20-200/5")
    yield from families("match_gift", "x", ["a shelter", "a school", "a hospital", "a park"], [
        "{a} people each give ${p} to {x}. A company then gives {k} times that amount. How much does the place get in all?",
        "{N} collects ${p} from each of {a} people for {x}. A company adds {k} times as much. "
        "How many dollars are there together?"],
        "The people give [s=a*p] dollars. The company gives [t=s*k] dollars. Together [s+t] dollars.",
        "a 4-20, p 2-12, k 2-4")
    yield from families("tickets", "e", ["the zoo", "a concert", "the museum", "a play", "the fair"], [
        "Tickets for {e} cost ${p} for adults and ${q} for children. {a} adults and {b} children go. What do they pay in total?",
        "{a} adults and {b} children visit {e}. An adult pays ${p} and a child pays ${q}. How many dollars is that?"],
        "The adults pay [s=a*p] dollars. The children pay [t=b*q] dollars. In total [s+t] dollars.",
        "p 6-25, q 2-12, a 2-9, b 2-12")
    yield from families("tickets_more", "e", ["the zoo", "a concert", "the museum", "the circus"], [
        "{e} sold {a} adult tickets at ${p} each and {b} child tickets at ${q} each. "
        "How much more money came from the adults?",
        "At {e}, {a} adults paid ${p} each while {b} children paid ${q} each. "
        "By how many dollars did the adults pay more?"],
        "The adults paid [s=a*p] dollars. The children paid [t=b*q] dollars. The difference is [s-t] dollars.",
        "p 8-25, q 2-10, a 4-15, b 3-12")
    yield from families("half_spent", "x y", ["a toy|snacks", "a book|a drink", "a game|lunch", "clothes|a bus ticket"], [
        "{N} had ${c}. {He} spent {f} of it on {x} and then ${d} on {y}. How much money does {N} have now?",
        "{f} of the ${c} that {N} got for {his} birthday went on {x}, and ${d} went on {y}. How many dollars are left?"],
        "{x} took [s=c/f] dollars. Then {N} had [t=c-s] dollars. Now {he} has [t-d] dollars.",
        "c 20-240/2, f frac, d 2-40")
    yield from families("price_rise", "x", ["bread", "milk", "a newspaper", "a bus ride"], [
        "Last year {x} cost ${a}. Now it costs ${d} more. {N} pays for it {n} times. How much does {N} pay in all?",
        "The price of {x} went from ${a} up by ${d}. How many dollars does {N} pay for {n} purchases?"],
        "Now it costs [s=a+d] dollars. {N} pays [n*s] dollars.", "a 2-15, d 1-6, n 3-12")


def stories():
    yield from shopping()
    yield from wages()
