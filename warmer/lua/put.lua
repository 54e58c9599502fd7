-- put.lua: a writer has changed what an entry is loaded from: invalidate it, and let the new value be committed.
-- KEYS[1]  root
-- ARGV[1]  life
-- ARGV[2]  name of the entry, without version
-- ARGV[3]  query
-- ARGV[4]  what follows the version in a member (":<tokens>")
-- ARGV[5]  stale_us
-- ARGV[6]  version of the caller
-- ARGV[7]  most names the fence may hold      ARGV[8] age in microseconds past which a name's stamp is let go
-- ARGV[9]  since          a stamp from before the write
-- ARGV[10] token          ARGV[11] lease_us   of the lease under which the value is committed
-- ARGV[12] clock_us       what the server's clock must have passed by: set back, it says nothing about `since`
-- ARGV[13] via            the identity of the outbox's database that has it, "" for none
-- ARGV[14..] names        the entry's names
-- returns  {"granted", now, how many values went, stamp, since: of the record of the life} | {"overtaken" | "busy", now, how many values went, stamp}
-- why      of two writers at once, nobody knows whose value is the later one: neither is kept
if is_unrecorded(ARGV[13]) then return refuse_unrecorded() end
local since, member = tonumber(ARGV[9]), ARGV[3] .. '@' .. ARGV[6] .. ARGV[4]
-- What was invalidated in an earlier life of the server is not on record any more.
local overtaken = newest_fence(14, #ARGV) > since or now < tonumber(ARGV[12])
  or tonumber(life_since()) > since
local stamp = next_stamp()
raise_fence(stamp, 2, 2, tonumber(ARGV[7]), tonumber(ARGV[8]))
local removed = remove_entry(ARGV[3], ARGV[4], ARGV[6], stamp, tonumber(ARGV[5]))
if overtaken then return {'overtaken', text(now), removed, text(stamp)} end
-- Two doomed loads run already: a third lease beside theirs would let another load start.
if live_lease('leases', member) then return {'busy', text(now), removed, text(stamp)} end
local expires = now + tonumber(ARGV[11])
local granted = {token = ARGV[10], stamp = next_stamp(), expires = expires, deadline = expires}
write_lease('leases', member, granted)
return {'granted', text(now), removed, text(granted.stamp), life_since()}
