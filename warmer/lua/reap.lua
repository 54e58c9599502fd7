-- reap.lua: one step of clearing away what is over in a shard: records that nobody will come back for.
-- KEYS[1]  root
-- ARGV[1]  life   ARGV[2] about how many of each kind to look at
-- ARGV[3..11] cursors of leases, doomed, failures, params, loaded, warming, waiting, learned, tallies; "0" to begin
-- returns  {now, how many went, {next cursor of each kind}}
-- why      none of these has a TTL, so that no eviction can take one that matters; and no step may take long
local SECOND, removed, cursors = 1000000, 0, {}

local function indexed(member) return redis.call('ZSCORE', root .. 'index:' .. query_of(member), member) end

local function lease_over(_, record)
  local f = split(record)
  return f[5] ~= life or tonumber(f[3]) < now - 60 * SECOND
end

local function failure_over(_, record)
  -- Kept for a while after its back-off, so that the next failure backs off longer.
  return tonumber(string.match(record, '^%d+ (%d+)')) < now - 600 * SECOND
end

local function unknown(member)
  return not indexed(member) and redis.call('HEXISTS', root .. 'warming', member) == 0
end

local function loaded_long_ago(member, at) return not indexed(member) and tonumber(at) < now - 86400 * SECOND end

-- An entry that a run waits for: due, if it has dropped out of the index; over, if its runs are.
local function unwanted(member, record)
  local left = {}
  for _, part in ipairs(split(record)) do
    if redis.call('EXISTS', root .. 'run:' .. string.match(part, '^(.*):%d+$')) == 1 then left[#left + 1] = part end
  end
  if #left == 0 then return true end
  redis.call('HSET', root .. 'warming', member, table.concat(left, ' '))
  local score = indexed(member)
  if (not score or tonumber(score) == math.huge) and not live_lease('leases', member) then
    redis.call('ZADD', root .. 'index:' .. query_of(member), text(now), member)
  end
  return false
end

-- Kept for a while when the entry is gone: who reads it again next week need not learn it anew.
local function learned_long_ago(member, record)
  return not indexed(member) and tonumber(string.match(record, '^%d+')) < now - 7 * 86400 * SECOND
end

local function wait_over(_, told) return tonumber(told) < now - 60 * SECOND end

local kinds = {{'leases', lease_over}, {'doomed', lease_over}, {'failures', failure_over}, {'params', unknown},
               {'loaded', loaded_long_ago}, {'warming', unwanted}, {'waiting', wait_over}, {'learned', learned_long_ago}}
for i, kind in ipairs(kinds) do
  local reply = redis.call('HSCAN', root .. kind[1], ARGV[2 + i], 'COUNT', ARGV[2])
  cursors[i] = reply[1]
  for j = 1, #reply[2], 2 do
    if kind[2](reply[2][j], reply[2][j + 1]) then
      removed = removed + redis.call('HDEL', root .. kind[1], reply[2][j])
    end
  end
end

-- Buckets of records of about a hundred entries each.
local reply = redis.call('HSCAN', buckets, ARGV[#ARGV], 'COUNT', math.ceil(ARGV[2] / 100))
cursors[#kinds + 1] = reply[1]
for j = 1, #reply[2], 2 do
  if reply[2][j] ~= 'n' then removed = removed + forget_cold(reply[2][j], reply[2][j + 1]) end
end
if redis.call('HLEN', buckets) == 1 and redis.call('HEXISTS', buckets, 'n') == 1 then redis.call('UNLINK', buckets) end
redis.call('UNLINK', root .. 'heat', root .. 'reads') -- of earlier releases
return {text(now), removed, cursors}
