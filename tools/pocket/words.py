"""Names, pronouns, number words."""

GIRLS = ("Mia Emma Olivia Ava Sophia Lily Grace Zoe Chloe Hannah Nora Ella Ruby Alice Clara Maya Leah Julia Anna Sara "
         "Amy Jane Kate Rosa Tina Wendy Priya Aisha Mei Yuki Fatima Ingrid Carla Diana Elena Molly Nina Paula Rita "
         "Vera").split()
BOYS = ("Liam Noah Ethan Lucas Mason Leo Jack Henry Owen Ryan Adam Ben Carl Daniel Eric Frank George Ivan James Kevin "
        "Mark Nick Oscar Paul Peter Sam Tom Victor Will Omar Ravi Kenji Hassan Diego Mateo Felix Hugo Jonas Luis "
        "Tariq").split()
PEOPLE = [(n, "f") for n in GIRLS] + [(n, "m") for n in BOYS]
PRONOUN_KEYS = ("he", "He", "his", "His", "him")
PRONOUNS = {"f": ("she", "She", "her", "Her", "her"), "m": ("he", "He", "his", "His", "him")}
NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine", 10: "ten",
           12: "twelve"}

# Sentences that change nothing; one with a number is harder to leave aside.
ASIDES = ("It is a sunny day.", "{N} is {n} years old.", "The weather is cold today.", "Today is Monday.",
          "{N} has {n} cousins.", "{N} lives {n} km from the city.", "It is the first week of spring.",
          "{N} woke up at {n} o'clock.", "Everyone is in a good mood.", "{N} has waited for this all week.")
OPENINGS = ("Tell me: ", "Here is a question. ", "Please work this out. ", "Can you help? ", "Think step by step. ",
            "Solve this problem: ")
