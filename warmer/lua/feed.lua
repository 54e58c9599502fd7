-- feed.lua: entries that a run wants loaded: due now, once a run.
-- KEYS[1]  root
-- ARGV[1]  life   ARGV[2] run
-- ARGV[3..] member, tokens of its params or "" unless digested, member, ...
-- returns  {"fed", now, how many were new to the run, total, done, failed}   (counts of this shard)
-- why      a generator that is run again feeds nothing twice, and a load that began earlier does not count for the run
local run, added = ARGV[2], 0
local key = root .. 'run:' .. run

for i = 3, #ARGV, 2 do
  local member, query = ARGV[i], query_of(ARGV[i])
  if redis.call('SADD', key .. ':seen', member) == 1 then
    added = added + 1
    local others = redis.call('HGET', root .. 'warming', member)
    local wish = run .. ':' .. text(next_stamp())
    redis.call('HSET', root .. 'warming', member, others and others .. ' ' .. wish or wish)
    -- A message that is on its way, for a load that has not begun, will do.
    local claimed = redis.call('ZSCORE', root .. 'claims', member)
    if not (claimed and tonumber(claimed) > now) or live_lease('leases', member) then
      redis.call('ZREM', root .. 'claims', member)
      redis.call('ZADD', root .. 'index:' .. query, text(now), member)
    end
    redis.call('SADD', root .. 'queries', query)
    if ARGV[i + 1] ~= '' then redis.call('HSET', root .. 'params', member, ARGV[i + 1]) end
    -- What failed a moment ago is tried now: that is what a run is for. The next back-off is as long as it would be.
    local failure = redis.call('HGET', root .. 'failures', member)
    if failure then
      local count, stamp, cause = string.match(failure, '^(%d+) %d+ (%d+) (.*)$')
      redis.call('HSET', root .. 'failures', member, table.concat({count, text(now), stamp, cause}, ' '))
    end
  end
end
if added > 0 then
  redis.call('HINCRBY', key, 'total', added)
  redis.call('HSET', key, 'moved_at', text(now))
end
local counts = redis.call('HMGET', key, 'total', 'done', 'failed')
return {'fed', text(now), added, tonumber(counts[1] or 0), tonumber(counts[2] or 0), tonumber(counts[3] or 0)}
