-- One request for each call, with the next key in its place. HEAD, TAIL, POOL and SEED are defined by whoever runs this:
-- the bytes around the key, the size of the pool of known keys (0: fresh keys), and a seed that no other run has.
math.randomseed(SEED)
local count = 0

local function key()
  if 0 < POOL then
    count = (count + 1) % POOL
    return string.format("00000000-0000-4000-8000-%012x", count)
  end
  count = count + 1
  local random = math.random
  return string.format("%08x-%04x-4%03x-8%03x-%04x%08x", SEED, random(0, 0xffff), random(0, 0xfff),
    random(0, 0xfff), random(0, 0xffff), count)
end

request = function()
  return HEAD .. key() .. TAIL
end
