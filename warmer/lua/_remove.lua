-- _remove.lua: how one member's value goes, for the scripts that remove.

-- Mostly nothing is loaded, claimed or failing: not asking each time halves what a member costs.
local some = {}
for _, name in ipairs({'leases', 'claims', 'failures'}) do some[name] = redis.call('EXISTS', root .. name) == 1 end

-- Ends the lease of a load that began before the invalidation: it stands aside, and a further load may begin. Loads
-- of entries that no list knows yet are found doomed by the fence, when the next one asks for their lease.
local function doom(member, stamp)
  local lease = some.leases and live_lease('leases', member)
  if lease and lease.stamp < stamp and not live_lease('doomed', member) then
    redis.call('HDEL', root .. 'leases', member)
    write_lease('doomed', member, lease)
  end
end

-- Makes a kept entry due at once, unless a message for it is already on its way and nobody loads it yet.
local function rewarm(member, there)
  local index = root .. 'index:' .. query_of(member)
  local score = redis.call('ZSCORE', index, member)
  if not score then return end
  if tonumber(score) == math.huge then
    if not there then redis.call('ZREM', index, member) end
    return
  end
  local claimed = some.claims and redis.call('ZSCORE', root .. 'claims', member)
  if claimed then
    if tonumber(claimed) > now and not live_lease('leases', member) then return end
    redis.call('ZREM', root .. 'claims', member)
  end
  redis.call('ZADD', index, text(now), member)
end

-- Removes the member's value if its lease stamp is older than the invalidation. stale_us > 0 keeps it, marked, for
-- that long at most after the first invalidation that hit it (stale_after_write). Returns whether a value went, and
-- whether one is there now.
local function remove(member, stamp, stale_us)
  local header = header_of(member)
  local went, there = false, header ~= nil
  if header and header.stamp < stamp then
    local key = root .. 'e:' .. member
    local marked = math.floor(header.flags / 4) % 2 == 1
    if stale_us > 0 and header.life == life and not marked and header.grace_until > now then
      local keep_until = math.min(header.grace_until, now + stale_us)
      redis.call('SETRANGE', key, 1, string.char(header.flags + 4))
      redis.call('SETRANGE', key, 28, struct.pack('<ddd', 0, keep_until, 0))
      redis.call('PEXPIRE', key, text(math.ceil((keep_until - now) / 1000)))
      went = true
    elseif not (stale_us > 0 and marked) then
      redis.call('UNLINK', key)
      went, there = true, false
    end
  end
  local failure = some.failures and redis.call('HGET', root .. 'failures', member)
  if failure and tonumber(string.match(failure, '^%d+ %d+ (%d+)')) < stamp then
    redis.call('HDEL', root .. 'failures', member)
  end
  -- In this order: a message whose load stands aside from now on will bring nothing.
  if not (header and header.life == life and header.stamp >= stamp) then rewarm(member, there) end
  doom(member, stamp)
  return went, there
end

-- Removes one entry in every version of its query; how many values went. version: of the caller.
local function remove_entry(query, tail, version, stamp, stale_us)
  local versions, removed, seen = redis.call('ZRANGE', root .. 'versions:' .. query, 0, -1), 0, false
  for _, known in ipairs(versions) do seen = seen or known == version end
  if not seen then versions[#versions + 1] = version end
  for _, known in ipairs(versions) do
    if remove(query .. '@' .. known .. tail, stamp, stale_us) then removed = removed + 1 end
  end
  return removed
end
