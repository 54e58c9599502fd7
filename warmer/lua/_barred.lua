-- _barred.lua: whether what a strict query loads may be stored now, for the scripts that let loads store.

-- Of ARGV[first..last], only a strict query's entry has names that open with "!". Those that a transaction bars are in
-- root..'barred'. The one that names the query ("!q:") must be in force in this life of the server: until then nobody
-- knows that every open transaction would have barred it.
local function is_barred(first, last)
  for i = first, last do
    if string.byte(ARGV[i]) == 33 then
      if string.sub(ARGV[i], 1, 3) == '!q:' then
        if redis.call('HGET', root .. 'in_force', ARGV[i]) ~= life then return true end
      elseif redis.call('HEXISTS', root .. 'barred', ARGV[i]) == 1 then
        return true
      end
    end
  end
  return false
end
