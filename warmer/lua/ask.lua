-- ask.lua: a reader says that an entry should be refreshed: due now, unless that is under way.
-- KEYS[1]  root
-- ARGV[1]  life   ARGV[2] member   ARGV[3] claim_us   ARGV[4] most microseconds since a scheduler's last sweep
-- ARGV[5]  tokens of the params, "" unless digested   ARGV[6] stamp of the value that the reader saw
-- returns  {"asked" | "due" | "overdue" | "unswept" | "claimed" | "leased" | "failing" | "refreshed", now}
-- why      a thousand readers that ask must cost one refresh
local member = ARGV[2]
local index = root .. 'index:' .. query_of(member)
if live_lease('leases', member) then return {'leased', text(now)} end
local failure = redis.call('HGET', root .. 'failures', member)
if failure and tonumber(string.match(failure, '^%d+ (%d+)')) > now then return {'failing', text(now)} end
-- Readers ask beside their reads: one that saw the last value may ask after the next has been stored.
local stored, seen = header_of(member), tonumber(ARGV[6] or '') or math.huge
if stored and stored.life == life and stored.stamp > seen then return {'refreshed', text(now)} end
local score = tonumber(redis.call('ZSCORE', index, member) or 'inf') or math.huge
local claimed = redis.call('ZSCORE', root .. 'claims', member)
local swept = redis.call('ZRANGE', root .. 'schedulers', -1, -1, 'WITHSCORES')
if #swept == 0 or tonumber(swept[2]) < now - tonumber(ARGV[4]) then return {'unswept', text(now)} end
if claimed and tonumber(claimed) > now then
  -- A claim only hides an entry from other askers; one that is long past due is somebody's to load now.
  if stored and stored.due_at > 0 and now - stored.due_at > 2 * tonumber(ARGV[3]) then return {'overdue', text(now)} end
  return {'claimed', text(now)}
end
if score <= now then
  return {now - score > tonumber(ARGV[3]) and 'overdue' or 'due', text(now)}
end
redis.call('ZADD', index, text(now), member)
redis.call('SADD', root .. 'queries', query_of(member))
if ARGV[5] ~= '' then redis.call('HSET', root .. 'params', member, ARGV[5]) end
return {'asked', text(now)}
