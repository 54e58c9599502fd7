-- reap_index.lua: one step through the index of a query: entries that are gone, and those of versions that are gone.
-- KEYS[1]  root
-- ARGV[1]  life   ARGV[2] query, as its index is named   ARGV[3] cursor, "0" to begin   ARGV[4] about how many to look at
-- ARGV[5]  how long overdue an entry is let go, in microseconds; "inf" for a query that somebody refreshes
-- returns  {now, next cursor ("0": all were seen), how many went}
-- why      a new release has new versions and other queries, and nobody refreshes those of the last one
local query, removed = ARGV[2], 0
local index, forget_us = root .. 'index:' .. query, tonumber(ARGV[5]) or math.huge

-- Only beside a version that is being stored: while nothing is, because workers or the database are away, none goes.
local newest = redis.call('ZRANGE', root .. 'versions:' .. query, -1, -1, 'WITHSCORES')
local function superseded(member)
  if not newest[2] or tonumber(newest[2]) < now then return false end
  local until_us = redis.call('ZSCORE', root .. 'versions:' .. query, string.match(member, '^[^@]*@([^:]*):'))
  return not until_us or tonumber(until_us) < now - 3600000000
end

local reply = redis.call('ZSCAN', index, ARGV[3], 'COUNT', ARGV[4])
for i = 1, #reply[2], 2 do
  local member, score = reply[2][i], tonumber(reply[2][i + 1])
  if redis.call('EXISTS', root .. 'e:' .. member) == 0 and redis.call('HEXISTS', root .. 'warming', member) == 0
     and not live_lease('leases', member)
     and (score == math.huge or score < now - forget_us or superseded(member)) then
    removed = removed + redis.call('ZREM', index, member)
    redis.call('ZREM', root .. 'claims', member)
    redis.call('HDEL', root .. 'params', member)
  end
end
return {text(now), reply[1], removed}
