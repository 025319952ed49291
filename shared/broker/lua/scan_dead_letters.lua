-- Scans a slice of the dead letters for those that match a filter.
--
-- The JSON of a dead letter is our own: first its record, then `message`, then `resume` (the checkpoint). JSON
-- escapes quotes within texts, so `"name":"value"` is a member wherever it is found, and no JSON needs to be
-- parsed, but an error with escapes whose text is searched.
--
-- KEYS[1]  `{ns}:dead`
-- ARGV     1 namespace, 2 which come first ('oldest' or 'newest'), 3 the first and 4 the last time of death (ms),
--          the dead letter to continue after: 5 its time of death and 6 its entry id ('' = from the beginning), 7 the
--          most to scan, 8 the most to return, 9 bytes after which to stop, 10 what to return of each ('letter' =
--          all, 'record' = only its record), 11 the filter as JSON: `all`, texts that the record contains; `any`,
--          texts of which it contains one (if any are given); `none`, texts that it does not contain; `error`, a text
--          in lower case that its error contains (if given); `replays`, an upper bound of its replays (if given)
-- Returns  {how many were scanned, time of death and entry id of the last of them ('' = there are no more), then of each
--          match: entry id, time of death, JSON}
-- Writes   nothing
-- Repeat   safe
-- Bound    ARGV 7 and 9; 64 dead letters a command
local newest_first, first_died, last_died = ARGV[2] == 'newest', ARGV[3], ARGV[4]
local after_died, after_entry_id = ARGV[5], ARGV[6]
local most_scanned, most_found, most_bytes = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local return_all, filter = ARGV[10] == 'letter', cjson.decode(ARGV[11])

-- Dead letters read by one command: at most, and before their size is known.
local CHUNK, FIRST_CHUNK = 64, 8

-- The order of Redis; Lua's own comparison depends on the locale.
local function is_before(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- The rank of the dead letter to continue after, or, if it is gone, of the first that follows; and whether it exists.
local function rank_of_last()
  local score = redis.call('ZSCORE', KEYS[1], after_entry_id)
  if score and tonumber(score) == tonumber(after_died) then return redis.call('ZRANK', KEYS[1], after_entry_id), true end
  local low = redis.call('ZCOUNT', KEYS[1], '-inf', '(' .. after_died)
  local high = redis.call('ZCOUNT', KEYS[1], '-inf', after_died)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if is_before(redis.call('ZRANGE', KEYS[1], middle, middle)[1], after_entry_id) then
      low = middle + 1
    else
      high = middle
    end
  end
  return low, false
end

-- The ranks that are left to scan, both ends included.
local function ranks_left()
  local low = redis.call('ZCOUNT', KEYS[1], '-inf', '(' .. first_died)
  local high = redis.call('ZCOUNT', KEYS[1], '-inf', last_died) - 1
  if after_died ~= '' then
    local rank, exists = rank_of_last()
    if newest_first then
      high = math.min(high, rank - 1)
    else
      low = math.max(low, exists and rank + 1 or rank)
    end
  end
  return low, high
end

local function contains(text, part) return string.find(text, part, 1, true) ~= nil end

-- The error of a record, with its ASCII letters in lower case.
local function error_of(record)
  local _, quote = string.find(record, '"error":"', 1, true)
  local close = quote and string.find(record, '","at":', quote + 1, true)
  if not close then return '' end
  local text = string.sub(record, quote + 1, close - 1)
  if contains(text, '\\') then
    local is_json, list = pcall(cjson.decode, '["' .. text .. '"]')
    if is_json then text = list[1] end
  end
  return string.lower(text)
end

-- Whether the record may match, which is the beginning of the text. Most letters do not, and cutting off the record costs
-- more than looking through the message as well.
local function may_match(text)
  for _, part in ipairs(filter.all) do
    if not contains(text, part) then return false end
  end
  return true
end

local function matches(record, text)
  for _, part in ipairs(filter.all) do
    if not contains(record, part) then return false end
  end
  for _, part in ipairs(filter.none) do
    if contains(record, part) then return false end
  end
  if filter.error and not contains(error_of(record), filter.error) then return false end
  local any = #filter.any == 0
  for _, part in ipairs(filter.any) do any = any or contains(record, part) end
  if not any or not filter.replays then return any end
  local at = string.find(text, ',"resume":', #record, true)
  local replays = at and string.match(text, '"replays":(%d+)', at)
  return tonumber(replays or 0) < filter.replays
end

local bottom, top = ranks_left()
local total = math.max(top - bottom + 1, 0)
local rank, step = newest_first and top or bottom, newest_first and -1 or 1
local scanned, rest, bytes, answer = 0, math.min(total, most_scanned), 0, {0, '', ''}

while rest > 0 and bytes < most_bytes and #answer < 3 + 3 * most_found do
  local count = FIRST_CHUNK
  if scanned > 0 then count = math.floor((most_bytes - bytes) / math.max(bytes / scanned, 1)) end
  count = math.max(1, math.min(count, CHUNK, rest))
  local till = rank + step * (count - 1)
  local some = redis.call('ZRANGE', KEYS[1], math.min(rank, till), math.max(rank, till), 'WITHSCORES')
  local entry_ids = {}
  for i = 1, count do entry_ids[i] = some[2 * i - 1] end
  local texts = redis.call('HMGET', NS .. ':dead:jobs', unpack(entry_ids))
  for n = 1, count do
    local i = newest_first and count - n + 1 or n
    local text = texts[i]
    scanned, rest, rank = scanned + 1, rest - 1, rank + step
    answer[2], answer[3] = some[2 * i], entry_ids[i]
    if text then bytes = bytes + #text end
    if text and may_match(text) then
      local cut = string.find(text, ',"message":', 1, true)
      -- Of the record only its last brace is missing, which is no part of a member.
      local record = cut and string.sub(text, 1, cut - 1) or text
      if matches(record, text) then
        local at = #answer
        answer[at + 1], answer[at + 2] = entry_ids[i], some[2 * i]
        answer[at + 3] = (return_all or not cut) and text or record .. '}'
        if #answer >= 3 + 3 * most_found then break end
      end
    end
  end
end
answer[1] = scanned
if scanned == total then answer[2], answer[3] = '', '' end
return answer
