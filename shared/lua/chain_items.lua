-- Lays down what is known of the items of a step that is about to fan out. Asked again, it changes nothing.
--
-- KEYS[1]  the chain
-- ARGV     prefix, then of each item: its name (`STEP/INDEX`), its memory
-- Returns  how many items
for at = 2, #ARGV, 2 do lay_item(KEYS[1], ARGV[at], ARGV[at + 1]) end
return (#ARGV - 1) / 2
