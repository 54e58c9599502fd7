-- enforce.lua: these strict queries are in force from now on: every transaction that is open would bar them.
-- KEYS[1]  root
-- ARGV[1]  life
-- ARGV[2]  the life of the server in which that was found out     ARGV[3] when the record of it was made in this shard
--          and, behind a blank, when a strict query was last put out of force here, "" if none was
-- ARGV[4..] names of strict queries
-- returns  {"in_force" | "changed", now}
-- why      in another life, or after FLUSHALL, barriers may have been lost meanwhile: it has to be found out anew
local record = life_since() .. ' ' .. (redis.call('HGET', root .. 'in_force', 'forgot') or '')
if ARGV[2] ~= life or ARGV[3] ~= record then return {'changed', text(now)} end
for i = 4, #ARGV do redis.call('HSET', root .. 'in_force', ARGV[i], life) end
return {'in_force', text(now)}
