-- Lets a chain that ended go on where it failed: what ended without success runs again, and what was
-- stopped before it began follows. Answers that were paid for are kept.
--
-- KEYS[1]  the chain
-- ARGV     prefix, chain id, then of those that left a dead letter: job id, memory, message ('' = as it was)
-- Returns  how many steps and items run again, -1 when the chain is unknown, -2 when it has not ended,
--          -3 when there is nothing to run

-- Lays down what runs again, with what is remembered of it by now; its message stays ('' = as it was).
local function lay_again(key, instance, memory, message, job)
  local packed = redis.call('HGET', key .. ':items', instance)
  local item = packed and cmsgpack.unpack(packed) or {}
  lay_item(key, instance, memory, message ~= '' and message or item[2], job)
end

local id = ARGV[2]
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return -1 end
if state ~= 'completed' and state ~= 'failed' and state ~= 'cancelled' then return -2 end
local letters = {}
for at = 3, #ARGV, 3 do letters[ARGV[at]] = {ARGV[at + 1], ARGV[at + 2]} end
local failed = redis.call('HGETALL', KEYS[1] .. ':failed')
local waiting = redis.call('EXISTS', KEYS[1] .. ':ready', KEYS[1] .. ':lines')
if #failed == 0 and waiting == 0 then return -3 end
resume_chain(id)
local again = 0
for i = 1, #failed, 2 do
  local instance, job = failed[i], string.match(failed[i + 1], ' (.*)$')
  if reopen(id, instance) then
    redis.call('ZREM', P .. ':dead', job)
    redis.call('HDEL', P .. ':dead:jobs', job)
    redis.call('DEL', P .. ':result:' .. job)
    redis.call('ZREM', P .. ':cancelled', job)
    local letter = letters[job]
    if letter then lay_again(KEYS[1], instance, letter[1], letter[2], job) end
    redis.call('RPUSH', KEYS[1] .. ':ready', instance)
    again = again + 1
  end
end
proceed(id)
return again
