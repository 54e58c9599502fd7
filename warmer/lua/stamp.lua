-- stamp.lua: raise the fence: from here on, no load that began earlier can be stored under these names.
-- KEYS[1]  root
-- ARGV[1]  life
-- ARGV[2]  most names the fence may hold
-- ARGV[3]  age in microseconds past which a name's stamp is let go
-- ARGV[4..] names
-- returns  {"stamped", now, stamp}
-- why      the fence has no TTL: letting a stamp go raises the floor, and a lease below the floor is refused
local stamp, fence = next_stamp(), root .. 'fence'
for i = 4, #ARGV do redis.call('ZADD', fence, text(stamp), ARGV[i]) end
local most, old = tonumber(ARGV[2]), now - tonumber(ARGV[3])
local floor = nil
for _ = 1, 2 * (#ARGV - 3) do
  local oldest = redis.call('ZRANGE', fence, 0, 0, 'WITHSCORES')
  if #oldest == 0 then break end
  local at = tonumber(oldest[2])
  if at >= stamp or (at > old and redis.call('ZCARD', fence) <= most) then break end
  redis.call('ZREM', fence, oldest[1])
  floor = at
end
if floor and floor > tonumber(redis.call('GET', root .. 'floor') or 0) then
  redis.call('SET', root .. 'floor', text(floor))
end
return {'stamped', text(now), text(stamp)}
