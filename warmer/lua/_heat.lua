-- _heat.lua: how much entries are read, for the scripts that go by it. warmer/core/heat.py reads the same.
-- A field of its own costs a hash about 60 bytes beside what it holds. So the records of about a hundred entries stand
-- in one field, a bucket; five bytes of a digest tell them apart. Of a million entries, hardly two share a record, and
-- those are refreshed like the one that is read more. Buckets are split one by one as records come (linear hashing).
-- A record: digest (5 bytes); last_read, in ticks modulo 2^32 (4 bytes) where the next number is 0, admitted, or 1, it
-- may be at the next read; else admit_at, and the number tells how long before that the last read was, as a logarithm
-- (2 bytes); rate and idle_us as logarithms (12 bits each; idle_us 0: kept for good).
local buckets, record_size, bucket_full = root .. 'tallies', 14, 128 * 14
local tick_us, wraps = 31250, 4294967296
local bucket_count = tonumber(redis.call('HGET', buckets, 'n') or 1)

local function digest_of(member)
  local hex = redis.sha1hex(member)
  return struct.pack('>I4I1', tonumber(string.sub(hex, 1, 8), 16), tonumber(string.sub(hex, 9, 10), 16))
end

-- The largest power of two that is not above the number of buckets.
local function whole_buckets()
  local span = 1
  while span * 2 <= bucket_count do span = span * 2 end
  return span
end

local function bucket_of(digest)
  local span = whole_buckets()
  local bucket = struct.unpack('>I4', digest) % (2 * span)
  return bucket < bucket_count and bucket or bucket - span
end

local function place_of(records, digest)
  local from = 1
  while true do
    local at = string.find(records, digest, from, true)
    if not at or (at - 1) % record_size == 0 then return at end
    from = at + 1
  end
end

-- Two years back and two ahead can be told apart.
local function from_ticks(ticks)
  local ago = (math.floor(now / tick_us) - ticks) % wraps
  return now - (ago < wraps / 2 and ago or ago - wraps) * tick_us
end

local function unpack_heat(records, at)
  local ticks, ahead, both = struct.unpack('<I4I2I3', records, at + 5)
  local time, idle = from_ticks(ticks), both % 4096
  return {last_read = ahead > 1 and time - (2 ^ (ahead / 1500) - 1) * 1000 or time,
          admitted = ahead == 0, admit_at = ahead == 0 and 0 or time,
          rate = (2 ^ (math.floor(both / 4096) / 128) - 1) / 1000, idle_us = math.floor((2 ^ (idle / 93) - 1) * 1000)}
end

-- Never more than what it was: an entry is not kept warm for longer than was said.
local function logarithm(number, steps, most)
  return math.min(most, math.floor(math.log(1 + number) / math.log(2) * steps))
end

local function pack_heat(digest, heat)
  local idle = heat.idle_us > 0 and math.max(1, logarithm(heat.idle_us / 1000, 93, 4095)) or 0
  local ticks, ahead = math.floor(heat.last_read / tick_us), heat.admitted and 0 or 1
  if not heat.admitted and heat.admit_at > heat.last_read then
    ticks = math.ceil(heat.admit_at / tick_us)
    ahead = math.max(2, logarithm((ticks * tick_us - heat.last_read) / 1000, 1500, 65535))
  end
  return digest .. struct.pack('<I4I2I3', ticks % wraps, ahead, logarithm(heat.rate * 1000, 128, 4095) * 4096 + idle)
end

local function write_bucket(bucket, records)
  if records == '' then redis.call('HDEL', buckets, bucket) else redis.call('HSET', buckets, bucket, records) end
end

local function split_bucket()
  local source, added, parted = bucket_count - whole_buckets(), bucket_count, {[true] = {}, [false] = {}}
  bucket_count = bucket_count + 1
  local records = redis.call('HGET', buckets, source) or ''
  for at = 1, #records, record_size do
    local part = parted[bucket_of(string.sub(records, at, at + 4)) == added]
    part[#part + 1] = string.sub(records, at, at + record_size - 1)
  end
  write_bucket(source, table.concat(parted[false]))
  write_bucket(added, table.concat(parted[true]))
  redis.call('HSET', buckets, 'n', bucket_count)
end

-- Heat of an entry: {last_read, rate (reads a second), idle_us, admitted, admit_at}, or nil.
local function heat_of(member)
  local digest = digest_of(member)
  local records = redis.call('HGET', buckets, bucket_of(digest))
  local at = records and place_of(records, digest)
  return at and unpack_heat(records, at) or nil
end

-- heat: nil forgets it.
local function write_heat(member, heat)
  local digest = digest_of(member)
  local bucket, record = bucket_of(digest), heat and pack_heat(digest, heat) or ''
  local records = redis.call('HGET', buckets, bucket) or ''
  local at = place_of(records, digest) or #records + 1
  records = string.sub(records, 1, at - 1) .. record .. string.sub(records, at + record_size)
  write_bucket(bucket, records)
  if #records > bucket_full then split_bucket() end
end

-- Forgets those in a bucket whose entries nobody has read for long; how many.
local function forget_cold(bucket, records)
  local kept = {}
  for at = 1, #records, record_size do
    local heat = unpack_heat(records, at)
    local keep_us = 2 * (heat.idle_us > 0 and heat.idle_us or 86400000000)
    if now - math.max(heat.last_read, heat.admit_at) <= keep_us then
      kept[#kept + 1] = string.sub(records, at, at + record_size - 1)
    end
  end
  local gone = #records / record_size - #kept
  if gone > 0 then write_bucket(bucket, table.concat(kept)) end
  return gone
end
