-- _remove.lua: how members' values go, for the scripts that remove.

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

-- Makes kept entries of a query due at once, unless a message for one is already on its way and nobody loads it yet.
-- there: member to whether it has a value now.
local function rewarm(query, members, there)
  local index, at, due, out = root .. 'index:' .. query, text(now), {}, {}
  for i, score in ipairs(redis.call('ZMSCORE', index, unpack(members))) do
    local member = members[i]
    local claimed = score and some.claims and redis.call('ZSCORE', root .. 'claims', member)
    if score and tonumber(score) == math.huge then
      if not there[member] then out[#out + 1] = member end
    elseif score and not (claimed and tonumber(claimed) > now and not live_lease('leases', member)) then
      if claimed then redis.call('ZREM', root .. 'claims', member) end
      due[#due + 1] = at
      due[#due + 1] = member
    end
  end
  if #out > 0 then redis.call('ZREM', index, unpack(out)) end
  if #due > 0 then redis.call('ZADD', index, unpack(due)) end
end

-- Keeps a value, marked, until stale_us after the first invalidation that hit it (stale_after_write). Returns whether
-- it is kept, and whether that is new.
local function keep_stale(key, head, stale_us)
  local header = read_header(head)
  if not header then return false, false end
  local marked = math.floor(header.flags / 4) % 2 == 1
  if marked then return true, false end
  if header.life ~= life or header.grace_until <= now then return false, false end
  local keep_until = math.min(header.grace_until, now + stale_us)
  redis.call('SETRANGE', key, 1, string.char(header.flags + 4))
  redis.call('SETRANGE', key, 28, pack_bounds(header.stored_at, 0, keep_until, 0))
  redis.call('PEXPIRE', key, text(math.ceil((keep_until - now) / 1000)))
  return true, true
end

-- Removes the values of members that are older than the invalidation, by their lease stamps. stale_us: a number, or a
-- table by query. A list is gone through in steps: a call of a command costs more than what it does. Returns how many
-- values went, and the members that have none now.
local function remove_all(members, stamp, stale_us)
  local removed, there, keys, hit = 0, {}, {}, {}
  for _, member in ipairs(members) do
    local key, query = root .. 'e:' .. member, query_of(member)
    local head = redis.call('GETRANGE', key, 0, header_size - 1)
    -- Whatever its layout: a process of another release may have stored it, and others may serve it.
    local stored = #head == header_size and string.byte(head, 1) == 193 and struct.unpack('<d', head, 13)
    there[member] = stored and true
    if stored and stored < stamp then
      local stays_us, kept, new = type(stale_us) == 'table' and (stale_us[query] or 0) or stale_us, false, false
      if stays_us > 0 then kept, new = keep_stale(key, head, stays_us) end
      if not kept then
        keys[#keys + 1], there[member] = key, nil
      end
      if new or not kept then removed = removed + 1 end
    end
    if not (stored and stored >= stamp and string.sub(head, 5, 12) == life) then
      hit[query] = hit[query] or {}
      table.insert(hit[query], member)
    end
  end
  if #keys > 0 then redis.call('UNLINK', unpack(keys)) end
  for _, member in ipairs(some.failures and members or {}) do
    local failure = redis.call('HGET', root .. 'failures', member)
    if failure and tonumber(string.match(failure, '^%d+ %d+ (%d+)')) < stamp then
      redis.call('HDEL', root .. 'failures', member)
    end
  end
  -- In this order: a message whose load stands aside from now on will bring nothing.
  for query, some_members in pairs(hit) do rewarm(query, some_members, there) end
  local gone = {}
  for _, member in ipairs(members) do
    doom(member, stamp)
    if not there[member] then gone[#gone + 1] = member end
  end
  return removed, gone
end

-- Empties the lists of names, ARGV[first] to the last, as long as all that go are at most `most` members: a list is
-- emptied in full or left as it is. stale_us: as above, but of an owner nothing may be served any more, whatever its
-- query says. Returns how many values went, and the names that have members left.
local function remove_short(first, most, stamp, stale_us)
  local removed, unfinished = 0, {}
  for i = first, #ARGV do
    local set = root .. 'members:' .. ARGV[i]
    local count = redis.call('SCARD', set)
    if count > most then
      unfinished[#unfinished + 1] = ARGV[i]
    elseif count > 0 then
      most = most - count
      local is_owner = string.sub(ARGV[i], 1, 2) == 'o:'
      local went, gone = remove_all(redis.call('SMEMBERS', set), stamp, is_owner and 0 or stale_us)
      removed = removed + went
      if #gone > 0 then redis.call('SREM', set, unpack(gone)) end
    end
  end
  return removed, unfinished
end

-- Removes one entry in every version of its query; how many values went. version: of the caller.
local function remove_entry(query, tail, version, stamp, stale_us)
  local versions, seen = redis.call('ZRANGE', root .. 'versions:' .. query, 0, -1), false
  for _, known in ipairs(versions) do seen = seen or known == version end
  if not seen then versions[#versions + 1] = version end
  local members = {}
  for i, known in ipairs(versions) do members[i] = query .. '@' .. known .. tail end
  return (remove_all(members, stamp, stale_us))
end
