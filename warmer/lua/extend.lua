-- extend.lua: the heartbeat of the loads of one process.
-- KEYS[1]  root
-- ARGV[1]  life
-- ARGV[2]  lease_us
-- ARGV[3..] member, token, member, token, ...
-- returns  one of "held" | "doomed" | "lost" for each pair, in order
-- why      extending never goes past the deadline set when the lease was taken: a hung load loses its lease
local answers = {}
for i = 3, #ARGV, 2 do
  local member, token, answer = ARGV[i], ARGV[i + 1], 'lost'
  for _, hash in ipairs({'leases', 'doomed'}) do
    local lease = live_lease(hash, member)
    if lease and lease.token == token then
      lease.expires = math.min(now + tonumber(ARGV[2]), lease.deadline)
      write_lease(hash, member, lease)
      answer = hash == 'leases' and 'held' or 'doomed'
    end
  end
  answers[#answers + 1] = answer
end
return answers
