-- survey_strict.lua: the strict queries that are registered, and the barriers that are up (shard 0).
-- KEYS[1]  root
-- ARGV[1]  life
-- returns  {now, life,
--           {name of a strict query, microseconds since it was registered in this life or "-1", "1" if in force, ...},
--           {token, microseconds since it was raised, record, ...} of each barrier}
-- why      who acts on it must know for which life it holds
local queries, up = {}, {}
for _, name in ipairs(redis.call('HKEYS', root .. 'strict')) do
  local since = redis.call('HGET', root .. 'strict_since', name)
  local known = since and string.sub(since, 1, 8) == life
  queries[#queries + 1] = name
  queries[#queries + 1] = known and text(now - tonumber(string.sub(since, 9))) or '-1'
  queries[#queries + 1] = redis.call('HGET', root .. 'in_force', name) == life and '1' or '0'
end
for _, token in ipairs(redis.call('HKEYS', root .. 'barriers')) do
  local at, record = string.match(redis.call('HGET', root .. 'barriers', token), '^(%d+) (.*)$')
  up[#up + 1] = token
  up[#up + 1] = text(now - tonumber(at))
  up[#up + 1] = record
end
return {text(now), life, queries, up}
