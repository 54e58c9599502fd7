-- invalidate.lua: one entry, in every version of its query: stamp its name, then remove.
-- KEYS[1]  root
-- ARGV[1]  life
-- ARGV[2]  name of the entry, without version
-- ARGV[3]  query
-- ARGV[4]  what follows the version in a member (":<tokens>")
-- ARGV[5]  stale_us
-- ARGV[6]  version of the caller
-- ARGV[7]  most names the fence may hold      ARGV[8] age in microseconds past which a name's stamp is let go
-- ARGV[9]  via: the identity of the outbox's database that has it, "" for none
-- returns  {"removed", now, how many values went, stamp}
-- why      an old process and a new one invalidate each other's entries
if is_unrecorded(ARGV[9]) then return refuse_unrecorded() end
local stamp = next_stamp()
raise_fence(stamp, 2, 2, tonumber(ARGV[7]), tonumber(ARGV[8]))
local removed = remove_entry(ARGV[3], ARGV[4], ARGV[6], stamp, tonumber(ARGV[5]))
return {'removed', text(now), removed, text(stamp)}
