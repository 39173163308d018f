-- SPDX-License-Identifier: MIT
--
-- A socket for specs that is fed from a list instead of a network, and a clock that moves only while it waits. A string
-- is what the client sends next, a number is how many seconds it stays silent; after the last one it has closed.

local FakeSocket = {}
FakeSocket.__index = FakeSocket

local function fake_socket(steps)
  return setmetatable({ steps = steps, at = 1, sent = {}, time = 1000, timeout = nil, shut = {} }, FakeSocket)
end

--- The clock to hand to what is tested.
function FakeSocket:clock()
  return function()
    return self.time
  end
end

function FakeSocket:settimeout(seconds)
  assert(type(seconds) == "number" and seconds > 0, "every wait has a bound")
  self.timeout = seconds
end

function FakeSocket:receiveany(most)
  local step = self.steps[self.at]
  if type(step) == "number" then
    if step > self.timeout then
      self.steps[self.at] = step - self.timeout
      self.time = self.time + self.timeout
      return nil, "timeout"
    end
    self.time = self.time + step
    self.at = self.at + 1
    return self:receiveany(most)
  elseif not step then
    return nil, "closed"
  end
  local bytes = step:sub(1, most)
  if #step > most then
    self.steps[self.at] = step:sub(most + 1)
  else
    self.at = self.at + 1
  end
  return bytes
end

function FakeSocket:send(data)
  if self.broken then
    return nil, "closed", 0
  end
  data = type(data) == "table" and table.concat(data) or data
  self.sent[#self.sent + 1] = data
  return #data
end

function FakeSocket:shutdown(how)
  self.shut[how] = true
  return 1
end

function FakeSocket:close()
  self.closed = true
  return 1
end

--- All that was sent, as one string.
function FakeSocket:output()
  return table.concat(self.sent)
end

return fake_socket
