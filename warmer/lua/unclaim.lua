-- unclaim.lua: what was claimed could not be sent: due again since when it was.
-- KEYS[1]  root
-- ARGV[1]  life
-- ARGV[2..] member, due_at, member, due_at, ...
-- returns  {"unclaimed", now}
-- why      with the broker away, readers must see how long an entry has been due, and refresh it themselves in time
for i = 2, #ARGV, 2 do
  if redis.call('ZREM', root .. 'claims', ARGV[i]) == 1 then
    redis.call('ZADD', root .. 'index:' .. query_of(ARGV[i]), 'XX', ARGV[i + 1], ARGV[i])
  end
end
return {'unclaimed', text(now)}
