-- Reviews: what steps ask people.
--
-- `{ns}:reviews` maps the id of a job to its open review (JSON), `{ns}:reviews:parked` to `ASKED ENTRY_ID`: when it was
-- asked (ms), and the entry id that the job had when it was parked. `{ns}:review:ID` has the last decision of a job:
-- `asked`, `decision` (JSON). Id and time identify a review: a job that is replayed asks again.
--
-- Provides  is_decided, open_review, review_alert_id, register_review

local function is_decided(id, asked) return redis.call('HGET', NS .. ':review:' .. id, 'asked') == asked end

-- When the open review of a job was asked, and the entry id; nil if none is open.
local function open_review(id)
  local parked = redis.call('HGET', NS .. ':reviews:parked', id)
  if not parked then return nil end
  return string.match(parked, '^(%d+) (.+)$')
end

-- Receivers recognise a second delivery by the id.
local function review_alert_id(id, asked) return redis.sha1hex(NS .. ' review ' .. id .. ' ' .. asked) end

-- Registers the review of a job that was parked, and raises its alert ('' = none). If it is registered, only the entry id
-- changes.
local function register_review(id, asked, entry_id, review, alert)
  local before = open_review(id)
  redis.call('HSET', NS .. ':reviews:parked', id, asked .. ' ' .. entry_id)
  if before == asked then return end
  redis.call('HSET', NS .. ':reviews', id, review)
  if alert == '' then return end
  local alert_id = review_alert_id(id, asked)
  redis.call('HSET', NS .. ':alerts', alert_id, alert)
  redis.call('ZADD', NS .. ':alerts:due', string.format('%.0f', now_ms()), alert_id)
end
