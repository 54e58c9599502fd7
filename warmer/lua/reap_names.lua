-- reap_names.lua: the lists of members under names: entries whose value has expired.
-- KEYS[1]  root
-- ARGV[1]  life   ARGV[2] how many members of each list to look at, picked at random
-- ARGV[3..] lists, as keys without the root
-- returns  {now, how many went}
-- why      commits clear the lists that they write to; nothing else comes by the list of a day or a user that is past
local removed = 0
for i = 3, #ARGV do
  for _, member in ipairs(redis.call('SRANDMEMBER', root .. ARGV[i], ARGV[2])) do
    if redis.call('EXISTS', root .. 'e:' .. member) == 0 then
      removed = removed + redis.call('SREM', root .. ARGV[i], member)
    end
  end
end
return {text(now), removed}
