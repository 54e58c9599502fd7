-- _fence.lua: how names are stamped, for the scripts that invalidate.

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
