-- claim_runs.lua: take the runs that need a worker, and move their due times on by a claim.
-- KEYS[1]  root   of shard 0
-- ARGV[1]  life   ARGV[2] claim_us   ARGV[3] most to take
-- returns  {now, {run, ...}}
-- why      the message may be lost and the worker may die: a run is due again until its generator has ended
local taken = {}
for _, run in ipairs(redis.call('ZRANGE', root .. 'runs', '-inf', text(now), 'BYSCORE', 'LIMIT', 0, ARGV[3])) do
  local lease, key = live_lease('driving', run), root .. 'run:' .. run
  if redis.call('EXISTS', key) == 0 then
    redis.call('ZREM', root .. 'runs', run)
  elseif lease then
    redis.call('ZADD', root .. 'runs', text(lease.expires), run)
  else
    -- While no worker takes it, messages for it come ever more seldom: they all lie in the queue.
    local sent = redis.call('HINCRBY', key, 'sent', 1)
    redis.call('ZADD', root .. 'runs', text(now + tonumber(ARGV[2]) * 2 ^ math.min(sent - 1, 3)), run)
    taken[#taken + 1] = run
  end
end
return {text(now), taken}
