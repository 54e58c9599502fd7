-- register_strict.lua: a process has strict queries: let every writer learn of them, and see that they are in use (shard 0).
-- KEYS[1]  root
-- ARGV[1]  life
-- ARGV[2..] pairs: the name of a strict query, and what its entries depend on, as JSON
-- returns  {"registered", now}
-- why      since when writers of this life could learn of it is what decides when it may come into force
for i = 2, #ARGV, 2 do
  redis.call('HSET', root .. 'strict', ARGV[i], ARGV[i + 1])
  local record = redis.call('HGET', root .. 'strict_since', ARGV[i]) or ''
  local since = string.sub(record, 1, 8) == life and string.match(record, '^%d+', 9) or text(now)
  redis.call('HSET', root .. 'strict_since', ARGV[i], life .. since .. ' ' .. text(now))
end
return {'registered', text(now)}
