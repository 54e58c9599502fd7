-- start_run.lua: make a run by hand, of a plan or of entries that the caller feeds itself.
-- KEYS[1]  root    of shard 0
-- ARGV[1]  life   ARGV[2] id for the run   ARGV[3] title   ARGV[4] plan, "" for entries
-- returns  {"started", now}
-- why      the record and its place among the runs to be taken appear together, and a repeated call makes one run
if redis.call('EXISTS', root .. 'run:' .. ARGV[2]) == 0 then create_run(ARGV[2], ARGV[3], ARGV[4]) end
return {'started', text(now)}
