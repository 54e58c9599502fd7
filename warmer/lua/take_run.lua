-- take_run.lua: take the lease of a run: the right to run its generator.
-- KEYS[1]  root    of shard 0
-- ARGV[1]  life   ARGV[2] run   ARGV[3] token: the caller's, so that a repeated call finds its own lease
-- ARGV[4]  lease_us   ARGV[5] most attempts without progress
-- returns  {"granted", now, plan} | {"held", now} | {"over", now}
-- why      a run goes on in one worker at a time, and so does a plan; what kills its worker is not tried for ever
local run, token, lease_us = ARGV[2], ARGV[3], tonumber(ARGV[4])
local key = root .. 'run:' .. run
local record = redis.call('HMGET', key, 'plan', 'fed_at', 'error', 'skipped_by')
local plan = record[1]
if not plan or plan == '' or record[2] or record[3] or record[4] then
  redis.call('ZREM', root .. 'runs', run)
  return {'over', text(now)}
end
for _, other in ipairs(redis.call('HKEYS', root .. 'driving')) do
  local lease = live_lease('driving', other)
  if lease and other == run and lease.token == token then return {'granted', text(now), plan} end
  if lease and (other == run or redis.call('HGET', root .. 'run:' .. other, 'plan') == plan) then
    redis.call('ZADD', root .. 'runs', text(math.min(lease.expires, now + lease_us)), run)
    return {'held', text(now)}
  end
end
if redis.call('HINCRBY', key, 'attempts', 1) > tonumber(ARGV[5]) then
  redis.call('HSET', key, 'error', 'WorkerLost: ' .. ARGV[5] .. ' workers in a row ended while they ran it',
             'moved_at', text(now))
  redis.call('ZREM', root .. 'runs', run)
  return {'over', text(now)}
end
local expires = now + lease_us
write_lease('driving', run, {token = token, stamp = next_stamp(), expires = expires, deadline = expires})
redis.call('ZADD', root .. 'runs', text(expires), run)
redis.call('HSETNX', key, 'begun_at', text(now))
redis.call('HDEL', key, 'sent')
return {'granted', text(now), plan}
