-- _run.lua: how the record of a run is made, for the scripts that make one. Records are in shard 0.

-- A run of a plan waits in `runs` for a worker that runs its generator; one by hand is fed by whoever made it.
local function create_run(run, title, plan)
  redis.call('HSET', root .. 'run:' .. run, 'title', title, 'plan', plan, 'created_at', text(now))
  redis.call('ZADD', root .. 'history', text(now), run)
  if plan ~= '' then redis.call('ZADD', root .. 'runs', text(now), run) end
end
