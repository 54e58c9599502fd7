-- forget_strict.lua: a strict query that no process has had for long: out of force on each shard, then forgotten (shard 0).
-- KEYS[1]  root
-- ARGV[1]  life
-- ARGV[2]  name of the strict query
-- ARGV[3]  "": out of force here; else, for how long no process must have said that it has it, in microseconds: forgotten
-- returns  {"out_of_force" | "forgotten", now, stamp} | {"in_use", now}: somebody has it, or it is in force again
-- why      who is about to bring it into force has seen that nothing was forgotten since, and is turned away
if ARGV[3] == '' then
  redis.call('HDEL', root .. 'in_force', ARGV[2])
else
  local seen = string.match(redis.call('HGET', root .. 'strict_since', ARGV[2]) or '', '^%d+ (%d+)', 9)
  if not seen or now - tonumber(seen) < tonumber(ARGV[3]) or redis.call('HGET', root .. 'in_force', ARGV[2]) == life then
    return {'in_use', text(now)}
  end
  redis.call('HDEL', root .. 'strict', ARGV[2])
  redis.call('HDEL', root .. 'strict_since', ARGV[2])
end
local stamp = text(next_stamp())
redis.call('HSET', root .. 'in_force', 'forgot', stamp)
return {ARGV[3] == '' and 'out_of_force' or 'forgotten', text(now), stamp}
