-- How a dead letter goes into its queue again: what the scripts that replay share.

-- The letters of ARGV from `at` on, each given as: its id, when it died (ms; guards against another letter of
-- the same id), queue, resume, event, and how many texts follow: the message's fields and values.
local function letters_from(at)
  local letters = {}
  while at <= #ARGV do
    local fields, count = {}, tonumber(ARGV[at + 5])
    for i = 1, count do fields[i] = ARGV[at + 5 + i] end
    letters[#letters + 1] = {
      id = ARGV[at], died = tonumber(ARGV[at + 1]), queue = ARGV[at + 2], resume = ARGV[at + 3],
      event = ARGV[at + 4], fields = fields,
    }
    at = at + 6 + count
  end
  return letters
end

-- Gives the letter's new place, or '' when it is gone or is another one.
local function replay_letter(letter)
  local id = letter.id
  local score = redis.call('ZSCORE', KEYS[1], id)
  if not score or tonumber(score) ~= letter.died then return '' end
  redis.call('ZREM', KEYS[1], id)
  redis.call('HDEL', P .. ':dead:jobs', id)
  redis.call('DEL', P .. ':result:' .. id)
  redis.call('ZREM', P .. ':cancelled', id)
  emit(letter.event)
  return enqueue(letter.queue, letter.resume, letter.fields)
end
