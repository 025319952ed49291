-- The fence of the leading scheduler: `{ns}:leader:token` grows each time that the lease changes hands.
--
-- Provides  is_leader

-- Whether the token is that of the newest leader. A leader that was replaced and does not know it has an older one.
local function is_leader(token) return redis.call('GET', NS .. ':leader:token') == token end
