-- SPDX-License-Identifier: MIT
--
-- Every hook may wait, and each ends where it waits when its connection, or its file's version, goes.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

describe("what waits", function()
  after_each(moongate.finish)

  -- Each of them notes that it began, and, were it not cancelled, that it went on.
  local NOTED = [[
    local seen = moongate.shared "seen"
    local function wait(...)
      seen:incr("began", 1, 0)
      moongate.sleep(60)
      seen:incr("went on", 1, 0)
      return ...
    end
  ]]
  local LOOK = [[
    return { name = "look", match = { ports = 0 }, action = { handler = function(socket)
      for line in socket:lines() do socket:send(tostring(moongate.shared "seen":get(line)) .. "\n") end
    end } }
  ]]
  local HOOKS = {
    handler = "{ name = 'r', match = { ports = 0 }, action = { handler = function() wait() end }, %s }",
    ["`when`"] = "{ name = 'r', match = { ports = 0, when = function() return wait(true) end }, "
      .. "action = { target = '127.0.0.1:9' }, %s }",
    ["target function"] = "{ name = 'r', match = { ports = 0 }, "
      .. "action = { target = function() return wait('127.0.0.1', 9) end }, %s }",
    ["host function"] = "{ name = 'r', match = { ports = 0 }, "
      .. "action = { target = { host = function() return wait('127.0.0.1') end, port = 9 } }, %s }",
    ["port function"] = "{ name = 'r', match = { ports = 0 }, "
      .. "action = { target = { host = '127.0.0.1', port = function() return wait(9) end } }, %s }",
    ["spawned function"] = "{ name = 'r', match = { ports = 0 }, action = { handler = function() "
      .. "moongate.spawn(wait) moongate.spawn(function() moongate.spawn(wait):join() end) "
      .. "moongate.sleep(600) end }, %s }",
  }

  local function start(text)
    local m = moongate.start {
      clock = true,
      -- While a route is not chosen, its own do not hold.
      config = 'timeouts = { shutdown = "2s", initial_data = "30s" }',
      routes = { ["r.lua"] = NOTED .. "return " .. text, ["look.lua"] = LOOK },
    }
    local look = net.connect(m:port "look")
    return m, function(key)
      look:send(key .. "\n")
      return look:receive_line()
    end
  end

  for name, route in pairs(HOOKS) do
    it(("in a %s ends with its connection"):format(name), function()
      local m, seen = start(route:format 'timeouts = { lifetime = "30s" }')
      local client = net.connect(m:port "r")
      process.wait_for(function()
        return seen "began" ~= "nil"
      end)
      m:advance(31)
      client:receive_all()
      client:close()
      m:await_metric("active_connections", 1) -- the one that looks
      m:advance(60)
      assert.are.equal("nil", seen "went on")
      assert.are.equal(0, m:metric 'handler_errors_total{route="r"}')
    end)
  end

  it("in a handler, and in a timer that it made, ends with moongate itself", function()
    local text = "{ name = 'r', match = { ports = 0 }, action = { handler = function(socket) "
    local m, seen = start(text .. "moongate.after(0, wait) wait() end } }")
    net.connect(m:port "r")
    process.wait_for(function()
      return seen "began" == "2"
    end)
    assert.are.equal(0, m:stop())
  end)

  it("in a timer made by a handler goes on after its connection, and ends with the file's version", function()
    local text = "{ name = 'r', match = { ports = 0 }, action = { handler = function(socket) "
      .. "moongate.every(1, function() seen:incr('ticks', 1, 0) end) socket:send 'made' end } }"
    local m, seen = start(text)
    net.connect(m:port "r"):receive_all()
    for _ = 1, 4 do
      m:advance(1)
    end
    process.wait_for(function()
      return tonumber(seen "ticks") and tonumber(seen "ticks") > 3
    end)
    m:write("r.lua", NOTED .. "return " .. text .. "-- changed")
    m:await_generation(2)
    local ticks = seen "ticks"
    for _ = 1, 4 do
      m:advance(1)
    end
    assert.are.equal(ticks, seen "ticks")
  end)
end)
