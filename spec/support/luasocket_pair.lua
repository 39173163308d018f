-- SPDX-License-Identifier: MIT
--
-- One program, run twice: under Debian's LuaSocket in a LuaJIT of its own, and in a handler of moongate's. The lines
-- that both tell (luasocket_run.lua) are there to be compared.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

local RUN = "spec/support/luasocket_run.lua"

local pair = {}
pair.__index = pair

-- options: those of moongate.start() but for its space.
function pair.start(options)
  local space = moongate.workspace {
    routes = [[
      local run = require "luasocket_run"
      return {
        name = "front",
        match = { ports = 0 },
        action = {
          handler = function(client)
            local words = {}
            for word in client:receive():gmatch "%S+" do words[#words + 1] = word end
            local file = assert(io.open(words[1]))
            local text = file:read "*a"
            file:close()
            client:send(table.concat(run(text, unpack(words, 2)), "\n") .. "\n")
          end,
        },
      }]],
  }
  process.write(space.directory .. "/luasocket_run.lua", process.read(RUN))
  options = options or {}
  options.space = space
  return setmetatable({ moongate = moongate.start(options), directory = space.directory }, pair)
end

local function lines_of(text)
  local lines = {}
  for line in text:gmatch "([^\n]*)\n" do
    lines[#lines + 1] = line
  end
  return lines
end

-- Two lists of lines: theirs, ours. `program` is text, its arguments are words.
function pair:run(program, ...)
  local path = process.write(self.directory .. "/program.txt", program)
  local words = table.concat({ path, ... }, " ")
  local theirs = process.start { "luajit", RUN, path, ... }
  local client = assert(net.connect(self.moongate:port "front"))
  client:send(words .. "\n")
  local ours = assert(client:receive_all(60))
  client:close()
  process.wait_for(function()
    return not theirs:alive()
  end, 60, "LuaSocket's answers")
  return lines_of(theirs:out()), lines_of(ours)
end

-- What random programs are made from; a run that failed is repeated with MOONGATE_SEED.
function pair.seed()
  return os.getenv "MOONGATE_SEED" or tostring(math.floor(process.now() * 1000) % 1000000007)
end

-- The first line in which they differ, told whole; nil for none.
local function difference(theirs, ours)
  for i = 1, math.max(#theirs, #ours) do
    if theirs[i] ~= ours[i] then
      return ("line %d\ntheirs: %s\nours:   %s"):format(i, tostring(theirs[i]), tostring(ours[i]))
    end
  end
end

-- Raises with the first difference, and with the program's arguments.
function pair:assert_same(program, ...)
  local theirs, ours = self:run(program, ...)
  local told = #theirs == 0 and "nothing is told" or difference(theirs, ours)
  if told then
    error(("with %s: %s"):format(table.concat({ ... }, " "), told), 2)
  end
end

return pair
