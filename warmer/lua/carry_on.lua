-- carry_on.lua: whoever makes a long invalidation is still at it.
-- KEYS[1]  root
-- ARGV[1]  life
-- ARGV[2..] ids of its records in this shard
-- returns  {"carried", now}
-- why      a record whose invoker is silent for too long is taken over by somebody else
for i = 2, #ARGV do
  local record = redis.call('HGET', root .. 'unfinished', ARGV[i])
  if record then redis.call('HSET', root .. 'unfinished', ARGV[i], text(now) .. string.match(record, ' .*$')) end
end
return {'carried', text(now)}
