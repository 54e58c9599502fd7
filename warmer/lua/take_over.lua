-- take_over.lua: an invalidation whose invoker has been silent for too long: it died half-way, or lost its server.
-- KEYS[1]  root
-- ARGV[1]  life
-- ARGV[2]  cursor; "0" to begin
-- returns  {now, next cursor, id, record} | {now, next cursor}: none among these
-- why      two who look at once must not both take it; whoever took it and dies is silent, too, and the next one takes it
local reply = redis.call('HSCAN', root .. 'unfinished', ARGV[2], 'COUNT', 20)
for i = 1, #reply[2], 2 do
  local moved_at, patience_us, record = string.match(reply[2][i + 1], '^(%d+) (%d+) (.*)$')
  if tonumber(moved_at) + tonumber(patience_us) < now then
    redis.call('HSET', root .. 'unfinished', reply[2][i], text(now) .. ' ' .. patience_us .. ' ' .. record)
    return {text(now), ARGV[2], reply[2][i], record}
  end
end
return {text(now), reply[1]}
