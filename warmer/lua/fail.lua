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
-- A load that ran into its timeout says so when its lease is over: it counts as long as nobody has taken it since.
local held = split(redis.call('HGET', root .. 'leases', member) or '')
if held[1] ~= token or held[5] ~= life then return {'lost', text(now)} end
local stamp = tonumber(held[2])
redis.call('HDEL', root .. 'leases', member)

local failure = redis.call('HGET', root .. 'failures', member)
local count = (failure and tonumber(string.match(failure, '^%d+')) or 0) + 1
-- backoff_us of warmer/core/due.py.
local full = math.min(60, 2 ^ math.min(count - 1, 6)) * 1000000
local backoff = math.floor(full / 2 * (1 + tonumber(ARGV[5])))
local until_us = now + backoff
redis.call('HSET', root .. 'failures', member,
  table.concat({count, text(until_us), text(stamp), ARGV[4]}, ' '))

local index = root .. 'index:' .. query_of(member)
local score = redis.call('ZSCORE', index, member)
if redis.call('ZREM', root .. 'claims', member) == 1 then redis.call('INCR', root .. 'settled') end
local wanted = settle_runs(member, 'failed', stamp, ARGV[4])
if score and tonumber(score) < math.huge then
  -- What nobody keeps warm, and no run waits for, is not tried again by itself: its next reader will.
  local heat = heat_of(member)
  local kept = wanted or ARGV[6] == 'always' or (ARGV[6] == 'while_read' and heat and heat.admitted)
  redis.call('ZADD', index, kept and text(until_us) or '+inf', member)
end
wake(member)
return {'failed', text(now), text(until_us)}
