-- stamp.lua: raise the fence: from here on, no load that began earlier can be stored under these names.
-- KEYS[1]  root
-- ARGV[1]  life
-- ARGV[2]  most names the fence may hold
-- ARGV[3]  age in microseconds past which a name's stamp is let go
-- ARGV[4..] names
-- returns  {"stamped", now, stamp}
-- why      the fence has no TTL: letting a stamp go raises the floor, and a lease below the floor is refused
local stamp = next_stamp()
raise_fence(stamp, 4, #ARGV, tonumber(ARGV[2]), tonumber(ARGV[3]))
return {'stamped', text(now), text(stamp)}
