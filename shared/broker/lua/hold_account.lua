-- Holds an account whose provider answered that it is rate limited: no worker calls it until then. Cuts its slots by the
-- share of calls that the provider refused.
--
-- A sample of calls begins with a refusal and lasts half a second, or longer if there are few calls. Refusals that are rare
-- cost a repetition each and no slots: cut for every one, 250 slots became 20 at one refusal in 200 calls.
--
-- KEYS[1]  `{ns}:account:holds`: by account, until when (ms)
-- ARGV     1 namespace, 2 account, 3 until when (ms; 0 = no hold), 4 meter of its slots ('' = none), 5 their limit, 6 what
--          the provider said, 7 '1' if the limit follows from other limits, 8 the provider and the digest of its
--          address and key, as `PROVIDER DIGEST`
-- Returns  'ok'
-- Writes   `{ns}:account:holds`, `:reasons` and `:access`, the control channel, `{ns}:lanes:retry`, `cap`, `sampled`,
--          `refused`, `answered` and `peak` of the meter
-- Repeat   safe: an earlier time changes nothing; one refusal may count twice
-- Bound    constant
local account, until_ms, meter, limit = ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local is_implied, access = ARGV[7] == '1', ARGV[8]
-- A sample lasts so long at least (ms), and until it has so many refusals or so many calls.
local LEAST_TIME, LEAST_REFUSED, LEAST_CALLS = 500, 3, 50
-- The share of refused calls that costs no slots, and the largest share of the slots that is cut at once.
local TOLERATED, MOST_CUT = 0.05, 0.5
local now = now_ms()
local known = tonumber(redis.call('HGET', KEYS[1], account) or '0')
-- What a provider said to another key says nothing of this one.
local function is_outdated(held)
  local provider, digest = string.match(held, '^(%S+) (%S+)$')
  local caller, used = string.match(access, '^(%S+) (%S+)$')
  return provider ~= nil and provider == caller and digest ~= used
end
if until_ms > 0 and is_outdated(redis.call('HGET', NS .. ':account:access', account) or '') then known = 0 end
if until_ms > known then
  redis.call('HSET', KEYS[1], account, digits(until_ms))
  redis.call('HSET', NS .. ':account:reasons', account, ARGV[6] or '')
  redis.call('HSET', NS .. ':account:access', account, access)
  redis.call('PUBLISH', NS .. ':control', 'limited ' .. account .. ' ' .. digits(until_ms))
  retry_lanes('account ' .. account, until_ms)
end
-- Counts a refusal, and cuts the slots at the end of a sample. The refusal that begins a sample does not count: it would
-- make any sample look worse than the calls are.
local function count_refusal(key)
  local m = redis.call('HMGET', key, 'cap', 'sampled', 'refused', 'answered', 'peak')
  local peak = math.max(tonumber(m[5] or '1'), redis.call('HLEN', NS .. ':slots:' .. meter))
  if not m[2] then
    redis.call('HSET', key, 'sampled', digits(now), 'refused', '0', 'answered', '0', 'peak', digits(peak))
    return
  end
  local refused, answered = tonumber(m[3]) + 1, tonumber(m[4])
  if now - tonumber(m[2]) < LEAST_TIME or (refused < LEAST_REFUSED and refused + answered < LEAST_CALLS) then
    redis.call('HSET', key, 'refused', digits(refused), 'peak', digits(peak))
    return
  end
  redis.call('HDEL', key, 'sampled', 'refused', 'answered', 'peak')
  local share = refused / (refused + answered)
  if share <= TOLERATED then return end
  local slots = tonumber(m[1] or limit)
  -- A limit that nobody chose may be far above the calls of which the provider refused some.
  if is_implied then slots = math.min(slots, peak) end
  local cap = math.max(1, slots * (1 - math.min(share, MOST_CUT)))
  redis.call('HSET', key, 'cap', string.format('%.4f', cap))
end

if meter ~= '' then count_refusal(meter_key(meter)) end
return 'ok'
