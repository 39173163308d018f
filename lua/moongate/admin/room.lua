-- SPDX-License-Identifier: MIT
--
-- Who may stay connected to the admin interface when many are. Whoever asks about health has to be answered, however
-- many others hold a connection and say nothing: beyond MOST the one that has been waited for longest makes room, first
-- of those that have not sent the head of a request yet, then of those that say no more or do not take their answer.
-- Nobody is cut short whose answer is being made.

local room = {}

local MOST = 128 -- of each channel; runtime/admin/ accepts twice as many, for those that are on their way out
local PATIENT = 0.5 -- up to this share of them everybody has all the time

local Place = {}
Place.__index = Place

local places = { control = {}, tcp = {} }

-- Whether `a` goes before `b`.
local function is_first_to_go(a, b)
  if a.has_asked ~= b.has_asked then
    return b.has_asked
  end
  return a.since < b.since
end

local function make_room(taken)
  local first, index
  for i, place in ipairs(taken) do
    if not place.busy and (not first or is_first_to_go(place, first)) then
      first, index = place, i
    end
  end
  if first then
    table.remove(taken, index)
    first.socket:close()
  end
end

---A place for a connection, which `leave` gives back.
---@param socket table
---@param channel "control"|"tcp"
---@param now fun(): number
function room.enter(socket, channel, now)
  local taken = places[channel]
  if #taken >= MOST then
    make_room(taken)
  end
  local place = setmetatable({ socket = socket, taken = taken, now = now, since = now(), has_asked = false }, Place)
  taken[#taken + 1] = place
  return place
end

---How much of a time there is, near the limit less: 1 down to a tenth.
---@return number share
function Place:patience()
  local share = #self.taken / MOST
  return share <= PATIENT and 1 or math.max(0.1, 1 - 0.9 * (share - PATIENT) / (1 - PATIENT))
end

---The whole head of a request has come, and it is being answered.
function Place:ask()
  self.has_asked, self.busy = true, true
end

---The answer is on its way, and the next request may come.
function Place:answered()
  self.busy, self.since = false, self.now()
end

function Place:leave()
  for i, place in ipairs(self.taken) do
    if place == self then
      table.remove(self.taken, i)
      return
    end
  end
end

return room
