-- extend_run.lua: the heartbeat of a run.
-- KEYS[1]  root    of shard 0
-- ARGV[1]  life   ARGV[2] run   ARGV[3] token   ARGV[4] lease_us
-- ARGV[5]  "1": it has fed entries since the last heartbeat
-- returns  "held" | "lost"
-- why      a run whose worker has died is due again when its lease has run out; one that gets on is not given up
local run = ARGV[2]
local lease = live_lease('driving', run)
if not lease or lease.token ~= ARGV[3] then return 'lost' end
lease.expires = now + tonumber(ARGV[4])
lease.deadline = lease.expires
write_lease('driving', run, lease)
redis.call('ZADD', root .. 'runs', 'XX', text(lease.expires), run)
if ARGV[5] == '1' then redis.call('HSET', root .. 'run:' .. run, 'attempts', 1) end
return 'held'
