-- apply.lua: everything that a transaction changed, at once: stamp its names, then remove what is listed under them.
-- KEYS[1]  root
-- ARGV[1]  life
-- ARGV[2]  most names the fence may hold
-- ARGV[3]  age in microseconds past which a name's stamp is let go
-- ARGV[4]  how many dependency shapes the caller knows, and in which record of the life ("3 <since>"), on the shard that
--          has them; "" on the others
-- ARGV[5]  most members to remove in this call, so that no other client waits
-- ARGV[6]  how many arguments follow before the names: pairs of a query and its stale_us; of the others it is 0
-- ARGV[7]  id of the record of this invalidation, should it not be finished in this call     ARGV[8] the record; "": none
-- ARGV[9]  how long its invoker may be silent, in microseconds     ARGV[10] "1": write one beforehand, under id .. "+"
-- ARGV[11] how many arguments follow those pairs: of each value to be put, (a stamp from before its transaction, what the
--          server's clock must have passed by, how many names its entry has, those names)
-- ARGV[12] via: the identity of the outbox's database that has it, "" for none, "+" if it was begun before
-- ARGV[13..] those pairs, those values, then the names
-- returns  {"applied", now, stamp, how many values went, of each value to be put "1" if nobody else has stamped any of
--          its names since, else "0", names that have members left...} | {"shapes", now}
-- why      a shape that the caller does not know may belong to entries that its names would miss: it must learn it
--          first. What is stored under a shape registered after this call was loaded after it, so it needs no removal.
--          Who else has stamped a name is looked up before it is stamped here, for that overwrites it.
--          A record stands from when the names are stamped: whatever becomes of the invoker, somebody removes the rest
--          (As many need not be the same ones, once FLUSHALL has taken them: then there is another record.)
if ARGV[4] ~= '' and ARGV[4] ~= redis.call('HLEN', root .. 'shapes') .. ' ' .. life_since() then
  return {'shapes', text(now)}
end
if is_unrecorded(ARGV[12]) then return refuse_unrecorded() end
local values, stale = 13 + tonumber(ARGV[6]), {}
local first = values + tonumber(ARGV[11])
for i = 13, values - 1, 2 do stale[ARGV[i]] = tonumber(ARGV[i + 1]) end

local function record(id) redis.call('HSET', root .. 'unfinished', id, text(now) .. ' ' .. ARGV[9] .. ' ' .. ARGV[8]) end
if ARGV[10] == '1' then record(ARGV[7] .. '+') end

local alone = {}
while values < first do
  local since, clock_us, last = tonumber(ARGV[values]), tonumber(ARGV[values + 1]), values + 2 + ARGV[values + 2]
  -- What was invalidated in an earlier life of the server is not on record, nor what it stamps with its clock set back.
  local newest = math.max(newest_fence(values + 3, last), tonumber(redis.call('HGET', root .. 'life', 'since')))
  alone[#alone + 1] = newest <= since and now >= clock_us and '1' or '0'
  values = last + 1
end

local stamp = next_stamp()
raise_fence(stamp, first, #ARGV, tonumber(ARGV[2]), tonumber(ARGV[3]))
local removed, unfinished = remove_short(first, tonumber(ARGV[5]), stamp, stale)
if #unfinished > 0 and ARGV[8] ~= '' then record(ARGV[7]) end
return {'applied', text(now), text(stamp), removed, table.concat(alone), unpack(unfinished)}
