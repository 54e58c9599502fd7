-- leave.lua: end the lease of a load whose value must not be stored: it saw what no clean load would see.
-- KEYS[1]  root
-- ARGV[1]  life   ARGV[2] member   ARGV[3] token
-- ARGV[4]  cause, for the runs that wait for the entry
-- ARGV[5]  rest_us: how long the entry is left alone; who reads it meanwhile loads it
-- returns  "left" | "lost"
-- why      due at once, as a lease that is released is, it would be loaded again and again for nothing
local member, token = ARGV[2], ARGV[3]
for _, hash in ipairs({'leases', 'doomed'}) do
  local lease = live_lease(hash, member)
  if lease and lease.token == token then
    redis.call('HDEL', root .. hash, member)
    if hash == 'leases' then
      local index = root .. 'index:' .. query_of(member)
      local score = redis.call('ZSCORE', index, member)
      if score and tonumber(score) < math.huge then
        redis.call('ZADD', index, text(now + tonumber(ARGV[5])), member)
      end
      if redis.call('ZREM', root .. 'claims', member) == 1 then redis.call('INCR', root .. 'settled') end
      settle_runs(member, 'failed', lease.stamp, ARGV[4])
    end
    wake(member)
    return 'left'
  end
end
return 'lost'
