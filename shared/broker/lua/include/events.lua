-- Events: facts on their way to Postgres, in the stream `{ns}:events`.
--
-- An entry has a field `e` for each event, a JSON text. A field `d` marks the event of a duplicate attempt.
-- An event of '' is no event.
--
-- Provides  emit, emit_all, emit_duplicate

local function emit(event)
  if event ~= '' then redis.call('XADD', NS .. ':events', '*', 'e', event) end
end

-- Writes several events as one entry, which costs little more than one event. At most some thousand: the
-- arguments of one command pass through Lua's stack.
local function emit_all(events)
  local fields = {}
  for _, event in ipairs(events) do
    if event ~= '' then
      fields[#fields + 1] = 'e'
      fields[#fields + 1] = event
    end
  end
  if #fields > 0 then redis.call('XADD', NS .. ':events', '*', unpack(fields)) end
end

-- Writes the event of an attempt that the fence refused: the provider charges for it all the same.
local function emit_duplicate(event)
  if event ~= '' then redis.call('XADD', NS .. ':events', '*', 'e', event, 'd', '1') end
end
