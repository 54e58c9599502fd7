-- close_run.lua: no more entries will be fed to this run.
-- KEYS[1]  root    of shard 0
-- ARGV[1]  life   ARGV[2] run   ARGV[3] token of its lease, "" for a run whose entries were given by hand
-- ARGV[4]  error that ended its generator, masked; "" for none
-- returns  "closed" | "lost"
-- why      a worker that was paused while another went on must not call the run ended
local run, key = ARGV[2], root .. 'run:' .. ARGV[2]
local held = split(redis.call('HGET', root .. 'driving', run) or '')
if ARGV[3] ~= '' and held[1] ~= ARGV[3] then
  return redis.call('HGET', key, 'closed_by') == ARGV[3] and 'closed' or 'lost'
end
redis.call('HSET', key, ARGV[4] == '' and 'fed_at' or 'error', ARGV[4] == '' and text(now) or ARGV[4],
           'moved_at', text(now), 'closed_by', ARGV[3])
redis.call('HDEL', root .. 'driving', run)
redis.call('ZREM', root .. 'runs', run)
return 'closed'
