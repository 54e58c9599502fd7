-- revive.lua: after a change of the server's life, what is kept warm is due: nothing stored before is served.
-- KEYS[1]  root
-- ARGV[1]  life   ARGV[2] query, as its index is named   ARGV[3] cursor, "0" to begin   ARGV[4] about how many to look at
-- ARGV[5]  spread_us: the time over which they fall due; what is read most is due first
-- returns  {now, next cursor ("0": all were seen), how many were made due}
-- why      their due times were set for values that nobody gets any more
local index, revived = root .. 'index:' .. ARGV[2], 0
local reply = redis.call('ZSCAN', index, ARGV[3], 'COUNT', ARGV[4])
for i = 1, #reply[2], 2 do
  local member, score = reply[2][i], tonumber(reply[2][i + 1])
  local header, claimed = header_of(member), redis.call('ZSCORE', root .. 'claims', member)
  local heat = heat_of(member)
  local at = now + tonumber(ARGV[5]) / (1 + (heat and heat.rate or 0))
  if score < math.huge and score > at and not (header and header.life == life)
     and not (claimed and tonumber(claimed) > now) and not live_lease('leases', member) then
    redis.call('ZADD', index, text(at), member)
    revived = revived + 1
  end
end
return {text(now), reply[1], revived}
