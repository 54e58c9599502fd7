-- remove.lua: the second step of a large invalidation: take the values of these members.
-- KEYS[1]  root
-- ARGV[1]  life
-- ARGV[2]  stamp of the invalidation: values of later leases stay
-- ARGV[3]  stale_us: seconds of stale_after_write, in microseconds; 0 removes at once
-- ARGV[4]  name whose member list they were read from, "" for none
-- ARGV[5..] members, at most a few hundred a call, so that no other client waits
-- returns  {"removed", now, how many values went}
-- why      the list shrinks only by members whose value is gone: a newer value stays under its name
local members = {}
for i = 5, #ARGV do members[#members + 1] = ARGV[i] end
local removed, gone = remove_all(members, tonumber(ARGV[2]), tonumber(ARGV[3]))
if ARGV[4] ~= '' and #gone > 0 then redis.call('SREM', root .. 'members:' .. ARGV[4], unpack(gone)) end
return {'removed', text(now), removed}
