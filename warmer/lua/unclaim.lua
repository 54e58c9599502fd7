-- unclaim.lua: what was claimed could not be sent: due again after a moment.
-- KEYS[1]  root
-- ARGV[1]  life   ARGV[2] delay_us   ARGV[3..] members
-- returns  {"unclaimed", now}
-- why      with the broker away, waiting for the claim to pass would leave readers with stale values for nothing
for i = 3, #ARGV do
  if redis.call('ZREM', root .. 'claims', ARGV[i]) == 1 then
    redis.call('ZADD', root .. 'index:' .. query_of(ARGV[i]), 'XX', text(now + tonumber(ARGV[2])), ARGV[i])
  end
end
return {'unclaimed', text(now)}
