-- lower_barrier.lua: a transaction's outcome is known: it bars nothing any more.
-- KEYS[1]  root
-- ARGV[1]  life
-- ARGV[2]  token of the barrier
-- ARGV[3]  most names the fence may hold      ARGV[4] age in microseconds past which a name's stamp is let go
-- ARGV[5..] the names that it bars
-- returns  {"lowered", now, how many of the names nobody bars any more}
-- why      with a stamp: a load may have found the name only as it ran, and read before the COMMIT
local freed = 0
raise_fence(next_stamp(), 5, #ARGV, tonumber(ARGV[3]), tonumber(ARGV[4]))
for i = 5, #ARGV do
  local left = {}
  for _, token in ipairs(split(redis.call('HGET', root .. 'barred', ARGV[i]) or '')) do
    if token ~= ARGV[2] then left[#left + 1] = token end
  end
  if #left > 0 then
    redis.call('HSET', root .. 'barred', ARGV[i], ' ' .. table.concat(left, ' '))
  else
    redis.call('HDEL', root .. 'barred', ARGV[i])
    freed = freed + 1
  end
end
redis.call('HDEL', root .. 'barriers', ARGV[2])
return {'lowered', text(now), freed}
