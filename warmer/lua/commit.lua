-- commit.lua: swap the value in, if and only if the lease is current and nothing it stands under was invalidated.
-- KEYS[1]  root
-- ARGV[1]  life        ARGV[2] member      ARGV[3] token      ARGV[4] stamp of the lease, as granted
-- ARGV[5]  payload     ARGV[6] flags       ARGV[7] cost_us
-- ARGV[8]  ttl_us      ARGV[9] grace_us   ARGV[10] wait_us: how long the entry had been due when the load began
-- ARGV[11] early       ARGV[12] draw: an Exp(1) draw          ARGV[13] keep: "never" | "always" | "while_read"
-- ARGV[14] idle_us     ARGV[15] max_kept   ARGV[16] version   ARGV[17] tokens of the params, "" unless digested
-- ARGV[18] what the loads of an entry with a learned ttl have found, "": its ttl is not learned
-- ARGV[19] lag_us: by how much what the load read from may be behind, 0: it is not
-- ARGV[20] how many of the names that follow only serve the fence (they need no member list)
-- ARGV[21..] names
-- returns  {"stored", now, header (40 bytes; flag UNCHANGED: the result is what was stored), "replaced" | "first"}
--          | {"refused", now} | {"lost", now}
-- why      a check in Python and then SET could overwrite what a newer holder wrote, or bring back what was invalidated
local member, token, payload = ARGV[2], ARGV[3], ARGV[5]
local query = query_of(member)
local index = root .. 'index:' .. query
local flags = tonumber(ARGV[6])

local function pack_header(fresh_until, grace_until, due_at)
  local cost = math.min(65535, math.floor(math.log(1 + tonumber(ARGV[7])) / math.log(2) * 2048 + 0.5))
  return struct.pack('<BBI2', 193, flags + 128, cost) .. life .. struct.pack('<dd', tonumber(ARGV[4]), now)
    .. pack_bounds(now, fresh_until, grace_until, due_at)
end

local stamp = tonumber(ARGV[4])
local function is_mine(held) return held and held.token == token and held.stamp == stamp end

local lease = live_lease('leases', member)
if not is_mine(lease) then
  local aside = live_lease('doomed', member)
  if not is_mine(aside) then
    local stored = redis.call('GETRANGE', root .. 'e:' .. member, 0, header_size - 1)
    local header = read_header(stored)
    -- The call was repeated because its reply was lost: it did store.
    if header and header.stamp == stamp and header.life == life then return {'stored', text(now), stored, 'replaced'} end
    return {'lost', text(now)}
  end
  lease = {doomed = true}
end

-- Until when a value may be kept whose load began less than the lag after the newest invalidation: its source may
-- not have known of that yet, nor of one that was lost with an earlier life. (Stamps may be ahead of the clock.)
local newest, lag, over = newest_fence(21, #ARGV), tonumber(ARGV[19]), math.huge
if lag > 0 then
  local changed = math.max(newest, tonumber(redis.call('HGET', root .. 'life', 'since') or 0))
  if stamp < changed + lag then over = math.min(changed, now) + lag end
end

-- Of what the load found, names may be barred that were not known when the lease was given.
local barred = is_barred(21, #ARGV)
if lease.doomed or barred or newest >= stamp or over <= now then
  redis.call('HDEL', root .. (lease.doomed and 'doomed' or 'leases'), member)
  -- What readers of other processes that began before this load are waiting for; see "handed" in acquire.lua.
  if somebody_waits(member) then
    redis.call('SET', root .. 'handoff:' .. member, pack_header(0, 0, 0) .. payload, 'PX', 2000)
  end
  if not lease.doomed then
    local score = tonumber(redis.call('ZSCORE', index, member) or 'inf')
    if score and score < math.huge then redis.call('ZADD', index, text(barred and now + 1000000 or now), member) end
    redis.call('ZREM', root .. 'claims', member)
  end
  wake(member)
  return {'refused', text(now)}
end

-- Recent waits and costs of the query, for the lead: a high quantile of what was measured, this load among it.
local recent = root .. 'recent:' .. query
-- (What a writer puts was not loaded, and costs nothing.)
if tonumber(ARGV[7]) > 0 then redis.call('LPUSH', recent, ARGV[10] .. ' ' .. ARGV[7]) end
redis.call('LTRIM', recent, 0, 31)
local waits, costs = {}, {}
for _, sample in ipairs(redis.call('LRANGE', recent, 0, -1)) do
  local f = split(sample)
  local wait = tonumber(f[1])
  if wait >= 0 then waits[#waits + 1] = wait end
  costs[#costs + 1] = tonumber(f[2])
end
local function high(samples)
  if #samples == 0 then return 0 end
  table.sort(samples)
  return samples[math.ceil(0.9 * #samples)]
end

local ttl, cost = tonumber(ARGV[8]), tonumber(ARGV[7])
local fresh_until = now + ttl
local grace_until = fresh_until + tonumber(ARGV[9])
local lead = high(waits) + math.max(cost, high(costs))
-- warmer/core/due.py says the same in Python, and why.
local draw = math.floor(tonumber(ARGV[11]) * cost * tonumber(ARGV[12]))
local earliest = now + math.floor(ttl / 2)
local due_at = math.max(fresh_until - lead - draw, earliest)
if fresh_until - lead < earliest then
  redis.call('HSET', root .. 'overloaded', query, text(now))
end
-- A load that begins before `over` would be no better.
if fresh_until >= over then fresh_until, due_at = over, over end
grace_until = math.min(grace_until, over)

-- The result is what is stored already, if both have a digest (flag 16) and it is the same: see warmer/core/payload.py.
local key = root .. 'e:' .. member
local stored = redis.call('GETRANGE', key, 0, header_size + 11)
local before = read_header(stored)
if before and before.life == life and math.floor(before.flags / 16) % 2 == 1 and math.floor(flags / 16) % 2 == 1
   and string.sub(stored, header_size + 5, header_size + 12) == string.sub(payload, 5, 12) then
  flags = flags + 8
end
local header = pack_header(fresh_until, grace_until, due_at)
local lasts_ms = text(math.ceil((grace_until - now) / 1000))
if flags % 16 >= 8 and redis.call('STRLEN', key) == header_size + #payload
   and string.sub(redis.call('GET', key), header_size + 1) == payload then
  -- Byte for byte what is there: replicas and the log of writes get its new times, not the value once more.
  redis.call('SETRANGE', key, 0, header)
  redis.call('PEXPIRE', key, lasts_ms)
else
  redis.call('SET', key, header .. payload, 'PX', lasts_ms)
end

-- Kept warm or not: the index holds every entry of the query, at +inf when nothing is to refresh it by itself.
local kept, heat = ARGV[13] == 'always', heat_of(member)
if ARGV[13] == 'while_read' and heat and heat.admitted then kept = now - heat.last_read < heat.idle_us end
local score = redis.call('ZSCORE', index, member)
if kept and (not score or tonumber(score) == math.huge)
   and redis.call('ZCOUNT', index, '-inf', '(+inf') >= tonumber(ARGV[15]) then
  kept = false
  redis.call('HINCRBY', root .. 'over', query, 1)
end
redis.call('ZADD', index, kept and text(due_at) or '+inf', member)
redis.call('SADD', root .. 'queries', query)
redis.call('ZADD', root .. 'versions:' .. query, 'GT', text(grace_until), ARGV[16])
redis.call('ZREMRANGEBYSCORE', root .. 'versions:' .. query, '-inf', text(now - 3600000000))
if ARGV[17] ~= '' then redis.call('HSET', root .. 'params', member, ARGV[17]) end
if ARGV[18] ~= '' then redis.call('HSET', root .. 'learned', member, text(now) .. ' ' .. ARGV[18]) end

for i = 21 + tonumber(ARGV[20]), #ARGV do
  local set = root .. 'members:' .. ARGV[i]
  redis.call('SADD', set, member)
  -- Members whose value has expired go by sampling: each commit looks at two, so at most a third are dead.
  for _, other in ipairs(redis.call('SRANDMEMBER', set, 2)) do
    if redis.call('EXISTS', root .. 'e:' .. other) == 0 then redis.call('SREM', set, other) end
  end
end
for _, other in ipairs(redis.call('ZRANDMEMBER', index, 2)) do
  if redis.call('EXISTS', root .. 'e:' .. other) == 0
     and tonumber(redis.call('ZSCORE', index, other)) == math.huge then
    redis.call('ZREM', index, other)
    redis.call('HDEL', root .. 'params', other)
    redis.call('HDEL', root .. 'loaded', other)
  end
end

redis.call('ZREM', root .. 'claims', member)
redis.call('HDEL', root .. 'leases', member)
redis.call('HDEL', root .. 'failures', member)
-- Only a message knows its wait: what workers get done is the measure of what is sent to them.
if tonumber(ARGV[10]) >= 0 then redis.call('INCR', root .. 'settled') end
if settle_runs(member, 'done', stamp) then redis.call('ZADD', index, text(now), member) end
wake(member)
return {'stored', text(now), header, string.sub(stored, 5, 12) == life and 'replaced' or 'first'}
