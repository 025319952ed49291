-- Stands before every script: the namespace, the server's clock, the call that wakes the scheduler. Refuses to run while
-- a cluster moves the namespace's slot.
--
-- The text of a script is this file, then the includes that scripts.rs lists for it, then the script itself.
-- All keys of a namespace carry one hash tag and so share a slot: KEYS[1] names the key that the script works
-- on, and the script builds the names of the others from ARGV[1], the namespace in braces (`{longshore}`).
-- Headers write `{ns}` for it.
--
-- Provides  NS, now_ms, wake_scheduler

local NS = ARGV[1]

-- While a cluster moves a slot key by key, a command fails whose key is not there (any more). In the middle of a script
-- that would leave half a step. A key that never exists shows it before the first write.
local probe = redis.pcall('EXISTS', NS .. ':moving')
if type(probe) == 'table' then
  -- Redis before 7.2 says "The user executing the script can't …".
  for _, words in ipairs({'ACL failure', 'The user executing the script'}) do
    if string.find(probe.err, words, 1, true) then return probe end
  end
  return redis.error_reply('TRYAGAIN the slot of the namespace is being moved')
end

-- Milliseconds since 1970, by the server's clock.
local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- For a script that makes something due earlier than the scheduler expects.
local function wake_scheduler() redis.call('PUBLISH', NS .. ':wake', '') end
