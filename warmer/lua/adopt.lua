-- adopt.lua: entries of the life before this one become entries of this one, a page of a query's index.
-- KEYS[1]  root
-- ARGV[1]  life
-- ARGV[2]  the life for which it was decided   ARGV[3] the one before it, whose entries they are
-- ARGV[4]  query, as its index is named        ARGV[5] cursor, "0" to begin     ARGV[6] about how many to look at
-- returns  {"adopted", now, next cursor ("0": all were seen), how many} | {"other", now}: it is another life
-- why      what was decided of one life says nothing about the next; what was invalidated and kept for a while is not
--          worth it; and what was stored later than now had another clock
if ARGV[2] ~= life then return {'other', text(now)} end
local index, adopted = root .. 'index:' .. ARGV[4], 0
local reply = redis.call('ZSCAN', index, ARGV[5], 'COUNT', ARGV[6])
for i = 1, #reply[2], 2 do
  local header = header_of(reply[2][i])
  if header and header.life == ARGV[3] and math.floor(header.flags / 4) % 2 == 0
     and header.stored_at <= now and header.grace_until > now then
    take_in(reply[2][i])
    adopted = adopted + 1
  end
end
return {'adopted', text(now), reply[1], adopted}
