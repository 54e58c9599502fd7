-- forget_run.lua: what a shard holds of a run.
-- KEYS[1]  root
-- ARGV[1]  life   ARGV[2] run   ARGV[3] "seen": only what keeps it from feeding twice; "all": the record, too
-- returns  "forgotten"
-- why      the memory of a run's entries is as large as the run, and is needed until its generator has ended
local key = root .. 'run:' .. ARGV[2]
redis.call('UNLINK', key .. ':seen')
if ARGV[3] == 'all' then
  redis.call('UNLINK', key)
  for _, set in ipairs({'history', 'runs'}) do redis.call('ZREM', root .. set, ARGV[2]) end
  redis.call('HDEL', root .. 'driving', ARGV[2])
end
return 'forgotten'
