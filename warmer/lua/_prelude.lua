-- _prelude.lua: what every script opens with: the clock, the stamps, the life, the leases of a shard.
-- KEYS[1]  root    the shard's root; every other key is root .. something, so all of them share its hash tag.
--                  (Members of a name are not known before the script runs, so they can't all be in KEYS.)
-- ARGV[1]  life    the caller's idea of the server's life, 8 bytes
local root, life = KEYS[1], ARGV[1]

local function text(number) return string.format('%.0f', number) end

-- Server time in microseconds. root..'clock' is an offset that only tests set.
local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2] + tonumber(redis.call('GET', root .. 'clock') or 0)
end

local now = clock()

-- The next stamp of the shard: it only grows, and is never below the clock, so it grows over a restart.
local function next_stamp()
  local stamp = math.max(now, tonumber(redis.call('GET', root .. 'seq') or 0) + 1)
  redis.call('SET', root .. 'seq', text(stamp))
  return stamp
end

-- The first script of a new life records it; a script of a superseded life is turned away before it writes.
local current_life = redis.call('HGET', root .. 'life', 'current')
if current_life ~= life then
  if redis.call('HEXISTS', root .. 'life', 'was:' .. life) == 1 then
    return redis.error_reply('WARMERLIFE this connection knows an earlier life of the server')
  end
  -- Whose data this is, its last stamp, the clock, and what was said of its invalidations: see outbox/lives.py.
  local from = {current_life or '-', redis.call('GET', root .. 'seq') or '0', text(now),
                redis.call('HGET', root .. 'life', 'through') or '-'}
  redis.call('HSET', root .. 'life', 'current', life, 'since', text(next_stamp()), 'was:' .. life, text(now),
             'from:' .. life, table.concat(from, ' '))
  if current_life then redis.call('HDEL', root .. 'life', 'from:' .. current_life) end  -- asked of the present one only
  -- Lives are forgotten but for the present one and the 64 latest before it. Who knows a forgotten one would have had a
  -- connection open over as many promotions; rows of the outbox that are marked with it are applied once more.
  local told, past = redis.call('HGETALL', root .. 'life'), {}
  for i = 1, #told, 2 do
    local one = string.match(told[i], '^was:(.*)')
    if one and one ~= life and one ~= current_life then past[#past + 1] = {tonumber(told[i + 1]), one} end
  end
  table.sort(past, function(a, b) return a[1] > b[1] end)
  for i = 64, #past do
    redis.call('HDEL', root .. 'life', 'was:' .. past[i][2], 'from:' .. past[i][2], 'settled:' .. past[i][2])
  end
end

-- The stamp with which the record of this life was made here. FLUSHALL ends no life; but then it is made anew.
local function life_since() return redis.call('HGET', root .. 'life', 'since') end

local function split(record)
  local fields = {}
  for field in string.gmatch(record, '[^ ]+') do fields[#fields + 1] = field end
  return fields
end

-- A live lease under root..hash, or nil. Record: "token stamp expires deadline life".
-- Leases have no TTL of their own: an eviction policy must not be able to take one.
local function live_lease(hash, member)
  local record = redis.call('HGET', root .. hash, member)
  if not record then return nil end
  local f = split(record)
  -- One that is over stays for whoever held it, whose load may have failed; reap.lua clears it away.
  if f[5] ~= life or tonumber(f[3]) <= now then return nil end
  return {token = f[1], stamp = tonumber(f[2]), expires = tonumber(f[3]), deadline = tonumber(f[4])}
end

local function write_lease(hash, member, lease)
  redis.call('HSET', root .. hash, member, table.concat(
    {lease.token, text(lease.stamp), text(lease.expires), text(lease.deadline), life}, ' '))
end

-- The newest stamp among ARGV[first..last] as names, not below the floor.
local function newest_fence(first, last)
  local newest = tonumber(redis.call('GET', root .. 'floor') or 0)
  for i = first, last do
    local stamp = redis.call('ZSCORE', root .. 'fence', ARGV[i])
    if stamp and tonumber(stamp) > newest then newest = tonumber(stamp) end
  end
  return newest
end

-- Somebody was told to wait for this entry. Told again at least twice a second while the wait lasts.
local function note_waiting(member) redis.call('HSET', root .. 'waiting', member, text(now)) end

-- Whether somebody was told so in the last 2 seconds. Being woken does not end a wait: who is woken asks again, and
-- what happens before that must not pass the waiter by.
local function somebody_waits(member)
  local told = redis.call('HGET', root .. 'waiting', member)
  return told and now - tonumber(told) < 2000000
end

-- Wakes the processes that wait for this entry. A wake-up only says "read again".
local function wake(member)
  local told = redis.call('HGET', root .. 'waiting', member)
  if not told then return end
  redis.call('PUBLISH', root .. 'wake', member)
  if not somebody_waits(member) then redis.call('HDEL', root .. 'waiting', member) end
end

-- Header of an entry's blob: see warmer/core/header.py for the layout. An entry of an earlier layout is none.
local header_size = 40
local function read_header(blob)
  if not blob or #blob < header_size or string.byte(blob, 1) ~= 193 then return nil end
  local flags = string.byte(blob, 2)
  if flags < 128 then return nil end
  local stamp, stored_at, fresh, grace, due = struct.unpack('<ddfff', blob, 13)
  local function at(after) return after == -math.huge and 0 or stored_at + after end
  return {flags = flags, life = string.sub(blob, 5, 12), stamp = stamp, stored_at = stored_at,
          fresh_until = at(fresh), grace_until = at(grace), due_at = at(due),
          cost = math.floor(2 ^ (struct.unpack('<I2', blob, 3) / 2048) + 0.5) - 1}
end

-- Bounds as a header has them: microseconds after it was stored, cut down to what 4 bytes hold; 0 is never.
local function pack_bounds(stored_at, ...)
  local packed = {}
  for i, bound in ipairs({...}) do
    local after = bound - stored_at
    local _, bits = math.frexp(after)
    local unit = 2 ^ math.max(0, bits - 24)
    packed[i] = struct.pack('<f', bound == 0 and -math.huge or math.floor(after / unit) * unit)
  end
  return table.concat(packed)
end

-- Makes an entry one of this life, as if it had been stored in it.
local function take_in(member) redis.call('SETRANGE', root .. 'e:' .. member, 4, life) end

local function header_of(member)
  return read_header(redis.call('GETRANGE', root .. 'e:' .. member, 0, header_size - 1))
end

-- A member's query: the text before the version.
local function query_of(member) return string.match(member, '^[^@]*') end

-- Counts an entry as done or failed in each run that fed it before the load with this lease stamp began. A run that
-- fed it later wants a later load. cause: of a failure, which the run keeps if it is among its first. Returns whether
-- a run still waits for the entry.
local function settle_runs(member, field, stamp, cause)
  local record = redis.call('HGET', root .. 'warming', member)
  if not record then return false end
  local left = {}
  for _, part in ipairs(split(record)) do
    local run, fed_at = string.match(part, '^(.*):(%d+)$')
    local key = root .. 'run:' .. run
    if tonumber(fed_at) >= stamp then
      left[#left + 1] = part
    elseif redis.call('EXISTS', key) == 1 then
      local count = redis.call('HINCRBY', key, field, 1)
      redis.call('HSET', key, 'moved_at', text(now))
      if cause and count <= 5 then redis.call('HSET', key, 'failure:' .. count, member .. ' ' .. cause) end
    end
  end
  if #left == 0 then
    redis.call('HDEL', root .. 'warming', member)
  else
    redis.call('HSET', root .. 'warming', member, table.concat(left, ' '))
  end
  return #left > 0
end
