-- fire.lua: a plan's trigger has fired: one run of it, whichever scheduler says so first.
-- KEYS[1]  root           of shard 0
-- ARGV[1]  life   ARGV[2] plan   ARGV[3] firing_us: when the trigger fired   ARGV[4] id for the run
-- ARGV[5]  catch_up_us    how late a firing may be seen and still make a run
-- returns  {"fired" | "known" | "new" | "missed" | "early", now}
--          new: the plan was never seen before, so that firing was before its time. missed: too long ago.
--          early: by the server's clock it is still to come, so the caller's estimate of that clock is wrong.
-- why      every scheduler sees each firing, and a firing makes one run
local plan, firing, run = ARGV[2], tonumber(ARGV[3]), ARGV[4]
if redis.call('EXISTS', root .. 'run:' .. run) == 1 then return {'fired', text(now)} end
-- A firing in the future, once recorded, would hold the plan up until then.
if firing > now + 1000000 then return {'early', text(now)} end
local record = split(redis.call('HGET', root .. 'fired', plan) or '')
if not record[1] then
  redis.call('HSET', root .. 'fired', plan, text(now))
  return {'new', text(now)}
end
if firing <= tonumber(record[1]) then return {'known', text(now)} end
if now - firing > tonumber(ARGV[5]) then
  redis.call('HSET', root .. 'fired', plan, text(firing))
  return {'missed', text(now)}
end
-- Of a plan whose runs take longer than its period, one run is under way and one waits, never a queue of them.
if record[2] then
  local before = root .. 'run:' .. record[2]
  if redis.call('EXISTS', before) == 1 and redis.call('HEXISTS', before, 'begun_at') == 0 then
    redis.call('HSET', before, 'skipped_by', run, 'moved_at', text(now))
    redis.call('ZREM', root .. 'runs', record[2])
  end
end
redis.call('HSET', root .. 'fired', plan, text(firing) .. ' ' .. run)
create_run(run, 'plan ' .. plan, plan)
return {'fired', text(now)}
