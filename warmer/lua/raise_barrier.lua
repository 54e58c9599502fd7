-- raise_barrier.lua: before COMMIT: bar the names that a transaction changes for strict queries, and remove their values.
-- KEYS[1]  root
-- ARGV[1]  life
-- ARGV[2]  token of the barrier     ARGV[3] its record, on the shard that keeps it; "" on the others
-- ARGV[4]  most members that may be listed under the names: above that nothing is done
-- ARGV[5]  most members to remove in this call, so that no other client waits
-- ARGV[6]  most names the fence may hold      ARGV[7] age in microseconds past which a name's stamp is let go
-- ARGV[8..] names, each opening with "!"
-- returns  {"raised", now, stamp, members listed, names that have members left...} | {"over", now, members listed}
-- why      a barrier has no TTL: that time has passed says nothing about a transaction
local listed = 0
for i = 8, #ARGV do listed = listed + redis.call('SCARD', root .. 'members:' .. ARGV[i]) end
if listed > tonumber(ARGV[4]) then return {'over', text(now), listed} end

local stamp = next_stamp()
raise_fence(stamp, 8, #ARGV, tonumber(ARGV[6]), tonumber(ARGV[7]))
-- The record comes first and goes last: whoever finds it can lower the barrier wherever it is up.
if ARGV[3] ~= '' then redis.call('HSET', root .. 'barriers', ARGV[2], text(now) .. ' ' .. ARGV[3]) end
for i = 8, #ARGV do
  local held = redis.call('HGET', root .. 'barred', ARGV[i]) or ''
  if not string.find(held, ARGV[2], 1, true) then
    redis.call('HSET', root .. 'barred', ARGV[i], held .. ' ' .. ARGV[2])
  end
end

local _, unfinished = remove_short(8, tonumber(ARGV[5]), stamp, 0)
return {'raised', text(now), text(stamp), listed, unpack(unfinished)}
