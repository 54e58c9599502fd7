-- _fence.lua: how names are stamped, for the scripts that invalidate.

-- Where a namespace has said that all its invalidations go through one outbox, no other may be made: it could not be
-- made again on an earlier snapshot. via: the identity of the outbox's database, "+" for one that was begun before.
local function is_unrecorded(via)
  local through = redis.call('HGET', root .. 'life', 'through')
  return through and via ~= '+' and string.sub(through, 1, #via + 1) ~= via .. ':'
end

local function refuse_unrecorded()
  return redis.error_reply('WARMERTHROUGH the invalidations of this namespace go through its outbox, and this one does '
    .. 'not: set invalidate_through to outbox in this process, or end that for all with warmer db direct')
end

-- Stamps ARGV[first..last] as names. The fence has no TTL: what is more than `most`, or older than `age` microseconds,
-- goes by raising the floor, and a lease below the floor is refused. Two go for one that comes, so no call takes long.
local function raise_fence(stamp, first, last, most, age)
  local fence, floor = root .. 'fence', nil
  for i = first, last do redis.call('ZADD', fence, text(stamp), ARGV[i]) end
  for _ = 1, 2 * (last - first + 1) do
    local oldest = redis.call('ZRANGE', fence, 0, 0, 'WITHSCORES')
    if #oldest == 0 then break end
    local at = tonumber(oldest[2])
    if at >= stamp or (at > now - age and redis.call('ZCARD', fence) <= most) then break end
    redis.call('ZREM', fence, oldest[1])
    floor = at
  end
  if floor and floor > tonumber(redis.call('GET', root .. 'floor') or 0) then
    redis.call('SET', root .. 'floor', text(floor))
  end
end
