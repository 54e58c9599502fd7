-- enforce.lua: these strict queries are in force from now on: every transaction that is open would bar them.
-- KEYS[1]  root
-- ARGV[1]  life
-- ARGV[2]  the life of the server in which that was found out
-- ARGV[3..] names of strict queries
-- returns  {"in_force" | "changed", now}
-- why      in another life barriers may have been lost meanwhile, and it has to be found out anew
if ARGV[2] ~= life then return {'changed', text(now)} end
for i = 3, #ARGV do redis.call('HSET', root .. 'in_force', ARGV[i], life) end
return {'in_force', text(now)}
