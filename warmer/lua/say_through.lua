-- say_through.lua: from here on, all invalidations of this shard must be in the outbox of one database.
-- KEYS[1]  root
-- ARGV[1]  life
-- ARGV[2]  the database's identity and which time it says so, as "<identity>:<count>"
-- returns  {"said", now}
-- why      a script, since the first one of a life writes down what its data said before: that must not be this
redis.call('HSET', root .. 'life', 'through', ARGV[2])
return {'said', text(now)}
