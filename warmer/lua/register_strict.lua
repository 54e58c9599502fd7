-- register_strict.lua: a process has strict queries: let every writer learn of them (shard 0).
-- KEYS[1]  root
-- ARGV[1]  life
-- ARGV[2..] pairs: the name of a strict query, and what its entries depend on, as JSON
-- returns  {"registered", now}
-- why      since when writers of this life could learn of it is what decides when it may come into force
for i = 2, #ARGV, 2 do
  redis.call('HSET', root .. 'strict', ARGV[i], ARGV[i + 1])
  local since = redis.call('HGET', root .. 'strict_since', ARGV[i])
  if not since or string.sub(since, 1, 8) ~= life then
    redis.call('HSET', root .. 'strict_since', ARGV[i], life .. text(now))
  end
end
return {'registered', text(now)}
