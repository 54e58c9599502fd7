-- acquire.lua: take the lease of an entry, or say why there is nothing to load.
-- KEYS[1]  root
-- ARGV[1]  life
-- ARGV[2]  member
-- ARGV[3]  token          the caller's, so that a repeated call finds its own lease
-- ARGV[4]  lease_us       how long the lease lasts without a heartbeat
-- ARGV[5]  timeout_us     how long the load may take
-- ARGV[6]  newer_than     a stored value with a later stamp makes the load unnecessary; "inf": none does
-- ARGV[7]  arrived        stamp at which the caller's oldest waiting reader was there; "inf": none waits yet
-- ARGV[8]  insist         "1": a back-off or min_interval does not hold the load up; "2": only look, and wait
-- ARGV[9]  interval_us    least time between two loads
-- ARGV[10] servable       "1": any value that may still be served will do (a read); "0": newer_than alone decides
-- ARGV[11..] names        the entry's names, all of them known before the load
-- returns  {"granted", now, stamp, since: of the record of the life} | {"committed", now, blob} | {"handed", now, blob} | {"busy", now, stamp, lasts_us}
--          | {"failed", now, until, record} | {"soon", now, until}   (stamps and times as decimal text)
--          | {"barred", now, until}: a load may begin, and must not be stored (a strict query's)
-- why      a lease that an invalidation has ended must not keep the next load waiting, and yet loads must not pile
--          up: the ended one moves aside, and only one may stand aside at a time
local member, token = ARGV[2], ARGV[3]
local newer_than, arrived = tonumber(ARGV[6]) or math.huge, tonumber(ARGV[7]) or math.huge
if ARGV[6] == 'inf' then newer_than = math.huge end
if ARGV[7] == 'inf' then arrived = math.huge end

local lease = live_lease('leases', member)
if lease and lease.token == token then return {'granted', text(now), text(lease.stamp), life_since()} end

local blob = redis.call('GET', root .. 'e:' .. member)
local header = read_header(blob)
if header and header.life == life and header.stamp > newer_than and header.fresh_until > 0
   and (ARGV[10] == '0' or header.grace_until > now) then
  return {'committed', text(now), blob}
end

local fence = newest_fence(11, #ARGV)
local handed = redis.call('GET', root .. 'handoff:' .. member)
if handed then
  local loaded = read_header(handed)
  if loaded and loaded.life == life and loaded.stamp > arrived then return {'handed', text(now), handed} end
end

-- A message has come for nothing: it makes room for another, and the entry is due when it may be loaded.
local function put_off(at)
  if redis.call('ZREM', root .. 'claims', member) == 1 then
    redis.call('ZADD', root .. 'index:' .. query_of(member), 'XX', at, member)
  end
end

local failure = ARGV[8] ~= '1' and redis.call('HGET', root .. 'failures', member)
if failure then
  local until_us, stamp = string.match(failure, '^%d+ (%d+) (%d+) ')
  if tonumber(until_us) > now and tonumber(stamp) > fence then
    put_off(until_us)
    return {'failed', text(now), until_us, failure}
  end
end

-- What is told to those who have to wait; whoever ends a load wakes them.
local function wait_until(kind, ...)
  note_waiting(member)
  return {kind, text(now), ...}
end
if ARGV[8] == '2' then return wait_until('busy', text(next_stamp()), '1000000') end
if is_barred(11, #ARGV) then
  -- Nobody knows for how long. A message is for a load that is stored, so another comes.
  put_off(text(now + 1000000))
  return {'barred', text(now), text(now + 1000000)}
end

local aside = live_lease('doomed', member)
if aside and aside.token == token then
  -- Ours, of a call whose reply was lost: its load never began.
  redis.call('HDEL', root .. 'doomed', member)
  aside = nil
end
if lease and (lease.stamp >= fence or aside) then
  local ends = lease.expires
  if aside and lease.stamp < fence and aside.expires < ends then ends = aside.expires end
  return wait_until('busy', text(next_stamp()), text(ends - now))
end

local interval = tonumber(ARGV[9])
if interval > 0 and ARGV[8] ~= '1' then
  local loaded_at = tonumber(redis.call('HGET', root .. 'loaded', member) or 0)
  if loaded_at + interval > now then
    put_off(text(loaded_at + interval))
    return wait_until('soon', text(loaded_at + interval))
  end
end
if lease then write_lease('doomed', member, lease) end

local deadline = now + tonumber(ARGV[5])
local granted = {token = token, stamp = next_stamp(), deadline = deadline,
                 expires = math.min(now + tonumber(ARGV[4]), deadline)}
write_lease('leases', member, granted)
if interval > 0 then redis.call('HSET', root .. 'loaded', member, text(now)) end
return {'granted', text(now), text(granted.stamp), life_since()}
