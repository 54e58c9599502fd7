-- release_run.lua: give the lease of a run back before its generator has ended: another worker goes on at once.
-- KEYS[1]  root   of shard 0
-- ARGV[1]  life   ARGV[2] run   ARGV[3] token   ARGV[4] delay_us: when it is due again
-- returns  "released" | "lost"
-- why      a worker that is told to stop need not let the lease run out
local run = ARGV[2]
local held = split(redis.call('HGET', root .. 'driving', run) or '')
if held[1] ~= ARGV[3] then return 'lost' end
redis.call('HDEL', root .. 'driving', run)
redis.call('HINCRBY', root .. 'run:' .. run, 'attempts', -1)
redis.call('ZADD', root .. 'runs', 'XX', text(now + tonumber(ARGV[4])), run)
return 'released'
