-- release.lua: give a lease back without a result, so that the next holder need not wait for it to run out.
-- KEYS[1]  root
-- ARGV[1]  life   ARGV[2] member   ARGV[3] token
-- returns  "released" | "lost"
-- why      a process that stops in mid-load knows that its load will not end
local member, token = ARGV[2], ARGV[3]
for _, hash in ipairs({'leases', 'doomed'}) do
  local lease = live_lease(hash, member)
  if lease and lease.token == token then
    redis.call('HDEL', root .. hash, member)
    local index = root .. 'index:' .. query_of(member)
    local score = redis.call('ZSCORE', index, member)
    if hash == 'leases' and score and tonumber(score) < math.huge then redis.call('ZADD', index, text(now), member) end
    redis.call('ZREM', root .. 'claims', member)
    wake(member)
    return 'released'
  end
end
return 'lost'
