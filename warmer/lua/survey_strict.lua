-- survey_strict.lua: the strict queries that are registered, and the barriers that are up (shard 0).
-- KEYS[1]  root
-- ARGV[1]  life
-- returns  {now, life,
--           {name of a strict query, microseconds since it was registered in this life or "-1", "1" if in force,
--            microseconds since a process that has it said so or "-1", ...},
--           {token, microseconds since it was raised, record, ...} of each barrier}
-- why      who acts on it must know for which life it holds
local queries, up = {}, {}
for _, name in ipairs(redis.call('HKEYS', root .. 'strict')) do
  local record = redis.call('HGET', root .. 'strict_since', name) or ''
  local since, seen = string.match(record, '^(%d+) ?(%d*)', 9)
  queries[#queries + 1] = name
  queries[#queries + 1] = since and string.sub(record, 1, 8) == life and text(now - tonumber(since)) or '-1'
  queries[#queries + 1] = redis.call('HGET', root .. 'in_force', name) == life and '1' or '0'
  queries[#queries + 1] = tonumber(seen or '') and text(now - tonumber(seen)) or '-1'
end
for _, token in ipairs(redis.call('HKEYS', root .. 'barriers')) do
  local at, record = string.match(redis.call('HGET', root .. 'barriers', token), '^(%d+) (.*)$')
  up[#up + 1] = token
  up[#up + 1] = text(now - tonumber(at))
  up[#up + 1] = record
end
return {text(now), life, queries, up}
