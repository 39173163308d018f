-- SPDX-License-Identifier: MIT
--
-- Code that never ends, wherever it stands, is stopped after limits.script_time; another connection of the same worker
-- waits no longer than that. The longest wait is printed.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

local SCRIPT_TIME = 0.4
local SLACK = moongate.sanitized and 3 or 1.5 -- what a busy machine adds

local LOOPS = {
  plain = "while true do end",
  ["within pcall"] = "while true do pcall(function() while true do end end) end",
  ["within xpcall"] = "xpcall(function() while true do end end, function() while true do end end)",
  ["in a nested coroutine"] = "coroutine.wrap(function() coroutine.wrap(function() while true do end end)() end)()",
  ["in a metamethod"] = "local t = setmetatable({}, { __index = function() while true do end end }) return t.field",
  ["in a sort"] = "table.sort({ 3, 2, 1 }, function() while true do end end)",
  ["in a gsub"] = "(('x'):gsub('.', function() while true do end end))",
  ["in a replacing function of a regex"] = "moongate.regex('.'):gsub('x', function() while true do end end)",
  ["in what it spawned"] = "moongate.spawn(function() while true do end end):join()",
}

describe("the watchdog", function()
  after_each(moongate.finish)

  local ECHO = [[
    return { name = "echo", match = { ports = 0 }, action = { handler = function(socket)
      for line in socket:lines() do socket:send(line .. "\n") end
    end } }
  ]]
  local CONFIG = ('limits = { script_time = "%dms" }'):format(SCRIPT_TIME * 1000)

  -- The longest wait of the other connection while `seconds` pass and until `over` holds.
  local function longest_wait(other, over)
    local longest, began = 0, process.now()
    repeat
      local sent = process.now()
      other:send "ping\n"
      assert.are.equal("ping", other:receive_line())
      longest = math.max(longest, process.now() - sent)
    until over() or process.now() - began > 20
    return longest
  end

  local function expect(what, m, other, over)
    local longest = longest_wait(other, over)
    print(("    %-40s longest wait %4.0f ms"):format(what, longest * 1000))
    assert.is_true(over(), what .. " is not stopped:\n" .. m:log())
    assert.truthy(longest < SCRIPT_TIME + SLACK, what .. ": " .. longest)
  end

  for name, loop in pairs(LOOPS) do
    it("stops a loop " .. name, function()
      local m = moongate.start {
        config = CONFIG,
        routes = {
          ["echo.lua"] = ECHO,
          ["loop.lua"] = ([[
            return { name = "loop", match = { ports = 0 }, action = { handler = function(socket)
              socket:receive()
              local _ = (function() %s end)()
            end } }
          ]]):format(name == "in a gsub" and "return " .. loop or loop),
        },
      }
      local other, client = net.connect(m:port "echo"), net.connect(m:port "loop")
      local port = m:port "loop"
      client:send "go\n"
      expect(name, m, other, function()
        return m:log():find "script_time" ~= nil
      end)
      m:await_metric('handler_errors_total{route="loop"}', 1)
      local line = m:await_log "[^\n]*script_time[^\n]*"
      assert.truthy(line:find("stack traceback", 1, true), line)
      assert.truthy(line:find("loop.lua:", 1, true), line)
      net.connect(port):send "go\n" -- the state runs on
      m:await_metric('handler_errors_total{route="loop"}', 2)
    end)
  end

  it("stops a timer's loop, and the timer goes on", function()
    local m = moongate.start {
      config = CONFIG,
      routes = {
        ["echo.lua"] = ECHO,
        ["loop.lua"] = "moongate.every(0.3, function() while true do end end) return {}",
      },
    }
    expect("in a timer", m, net.connect(m:port "echo"), function()
      return m:metric 'handler_errors_total{route="(none)"}' >= 2
    end)
    assert.truthy(m:await_log("[^\n]*script_time[^\n]*"):find("loop.lua:1", 1, true))
  end)

  it("stops a file that loops while it is loaded, which holds up nobody", function()
    local m = moongate.start { config = CONFIG, routes = { ["echo.lua"] = ECHO } }
    local other = net.connect(m:port "echo")
    m:write("loop.lua", "while true do end\nreturn {}")
    expect("at load", m, other, function()
      return m:metric 'route_file_ok{file="loop.lua"}' == 0 and m:log():find("script_time", 1, true) ~= nil
    end)
    assert.truthy(m:await_fault("loop.lua", "script_time"))
  end)
end)
