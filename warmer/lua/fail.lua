-- fail.lua: end a lease whose load failed: the error is shared, and the next load backs off.
-- KEYS[1]  root
-- ARGV[1]  life   ARGV[2] member   ARGV[3] token
-- ARGV[4]  cause, masked text for those who waited
-- ARGV[5]  u in [0, 1): the jitter of the back-off      ARGV[6] keep: "never" | "always" | "while_read"
-- returns  {"failed", now, until} | {"lost", now}
-- why      everyone who waited must hear of it, and none of them may run the failing query again at once
local member, token = ARGV[2], ARGV[3]
local aside = live_lease('doomed', member)
if aside and aside.token == token then
  redis.call('HDEL', root .. 'doomed', member)
  wake(member)
  return {'lost', text(now)}
end
local lease = live_lease('leases', member)
if not lease or lease.token ~= token then return {'lost', text(now)} end
redis.call('HDEL', root .. 'leases', member)

local failure = redis.call('HGET', root .. 'failures', member)
local count = (failure and tonumber(string.match(failure, '^%d+')) or 0) + 1
local backoff = math.min(60, 2 ^ math.min(count - 1, 6)) * 1000000 * (0.5 + 0.5 * tonumber(ARGV[5]))
local until_us = now + backoff
redis.call('HSET', root .. 'failures', member,
  table.concat({count, text(until_us), text(lease.stamp), ARGV[4]}, ' '))

local index = root .. 'index:' .. query_of(member)
local score = redis.call('ZSCORE', index, member)
if score and tonumber(score) < math.huge then
  -- What nobody keeps warm is not tried again by itself: its next reader will.
  local heat = heat_of(member)
  local kept = ARGV[6] == 'always' or (ARGV[6] == 'while_read' and heat and heat.admitted)
  redis.call('ZADD', index, kept and text(until_us) or '+inf', member)
end
redis.call('ZREM', root .. 'claims', member)
settle_runs(member, 'failed')
wake(member)
return {'failed', text(now), text(until_us)}
