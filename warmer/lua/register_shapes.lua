-- register_shapes.lua: a process has queries that depend on rows: let whoever applies changes learn of them (shard 0).
-- KEYS[1]  root
-- ARGV[1]  life
-- ARGV[2..] dependency shapes, as JSON
-- returns  {"registered", now}
-- why      told with the server's own time, they can be seen to have been told after whatever may have lost them
for i = 2, #ARGV do redis.call('HSET', root .. 'shapes', ARGV[i], text(now)) end
return {'registered', text(now)}
