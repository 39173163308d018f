-- SPDX-License-Identifier: MIT
--
-- A pattern that backtracks for ever, and a gsub that calls itself for each of a line's parentheses: an error after
-- limits.script_time at most wherever they stand, in a handler, in `when`, at load, in `moongate check`, at a start;
-- and the others of the worker wait no longer.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

local SCRIPT_TIME = 0.4
local SLACK = moongate.sanitized and 3 or 1.5 -- what a busy machine adds

local LIMIT = 'limits = { script_time = "%dms" }'
local BACKTRACKING = "local found = ('a'):rep(90):find(('a*'):rep(14) .. 'b')"
local NESTED = [[
  local function expand(text)
    return (text:gsub("%b()", function(inner) return expand(inner:sub(2, -2)) end))
  end
  local function nested(depth) return expand(("("):rep(depth) .. "x" .. (")"):rep(depth)) end
]]

local ECHO = [[
  return { name = "echo", match = { ports = 0 }, action = { handler = function(socket)
    for line in socket:lines() do socket:send(line .. "\n") end
  end } }
]]

describe("a pattern", function()
  after_each(moongate.finish)

  local function start(routes, seconds)
    routes["echo.lua"] = ECHO
    return moongate.start { config = LIMIT:format((seconds or SCRIPT_TIME) * 1000), routes = routes }
  end

  -- Ends it, and starts another on the same directory.
  local function restart(m)
    assert.are.equal(0, m:stop())
    return moongate.start { space = { directory = m.directory, control = m.control, config_path = m.config_path } }
  end

  -- The other connection's longest wait until `over` holds.
  local function longest_wait(what, other, over)
    local longest, began = 0, process.now()
    repeat
      local sent = process.now()
      other:send "ping\n"
      assert.are.equal("ping", other:receive_line())
      longest = math.max(longest, process.now() - sent)
    until over() or process.now() - began > 20
    print(("    %-40s longest wait %4.0f ms"):format(what, longest * 1000))
    assert.truthy(longest < SCRIPT_TIME + SLACK, what .. ": " .. longest)
  end

  local function expect_stopped(what, m, other, where)
    longest_wait(what, other, function()
      return m:log():find("script_time", 1, true) ~= nil
    end)
    local line = m:await_log "[^\n]*script_time[^\n]*"
    assert.truthy(line:find(where, 1, true), line)
  end

  describe("that backtracks for ever", function()
    it("is stopped in a handler, and the state runs on", function()
      local m = start {
        ["site.lua"] = ([[
          return { name = "site", match = { ports = 0 }, action = { handler = function(socket)
            if socket:receive "*l" == "go" then pcall(function() %s end) end
            socket:send "done\n"
          end } }]]):format(BACKTRACKING),
      }
      local other, client = net.connect(m:port "echo"), net.connect(m:port "site")
      client:send "go\n"
      expect_stopped("in a handler", m, other, "site.lua:2")
      m:await_metric('handler_errors_total{route="site"}', 1)
      m:await_metric('connection_terminations_total{side="client",reason="script_time"}', 1)
      client = net.connect(m:port "site")
      client:send "on\n"
      assert.are.equal("done", client:receive_line())
    end)

    it("is stopped in `when`", function()
      local m = start {
        ["site.lua"] = ([[
          return { name = "site", match = { ports = 0, when = function() %s return true end },
            action = { handler = function(socket) socket:send "taken\n" end } }]]):format(BACKTRACKING),
      }
      local other, client = net.connect(m:port "echo"), net.connect(m:port "site")
      expect_stopped("in when", m, other, "site.lua:1")
      assert.are_not.equal("taken", (client:receive_line()))
    end)

    it("is stopped at load, and the last good version stays", function()
      local m = start { ["site.lua"] = ECHO:gsub('"echo"', '"site"') }
      local other = net.connect(m:port "echo")
      m:write("site.lua", BACKTRACKING .. "\nreturn {}")
      expect_stopped("at load", m, other, "line=1")
      assert.truthy(m:await_fault("site.lua", "script_time"))
      local client = net.connect(m:port "site")
      client:send "on\n"
      assert.are.equal("on", client:receive_line())
    end)

    it("is a fault for check", function()
      local space = moongate.workspace { routes = { ["site.lua"] = BACKTRACKING .. "\nreturn {}" } }
      local began = process.now()
      local answer = moongate.command { "check", moongate.files_of(space) }
      assert.are.equal(1, answer.status)
      assert.truthy((answer.out .. answer.err):find("site.lua", 1, true), answer.out .. answer.err)
      assert.truthy((answer.out .. answer.err):find("script_time", 1, true), answer.out .. answer.err)
      assert.truthy(process.now() - began < 10)
    end)

    it("of a module, which took the function before, is stopped too", function()
      local space = moongate.workspace {
        config = LIMIT:format(SCRIPT_TIME * 1000),
        routes = {
          ["echo.lua"] = ECHO,
          ["site.lua"] = [[
            local search = require "search"
            return { name = "site", match = { ports = 0 }, action = { handler = function(socket)
              socket:receive "*l"
              search()
            end } }]],
        },
      }
      process.write(
        space.directory .. "/search.lua",
        'local find = string.find\nreturn function() find(("a"):rep(90), ("a*"):rep(14) .. "b") end'
      )
      local m = moongate.start { space = space }
      local other, client = net.connect(m:port "echo"), net.connect(m:port "site")
      client:send "go\n"
      expect_stopped("in a module", m, other, "search.lua:2")
    end)
  end)

  describe("whose callback calls gsub again", function()
    local HANDLER = NESTED
      .. [[
      return { name = "site", match = { ports = 0 }, action = { handler = function(socket)
        for line in socket:lines() do
          local fine, answer = pcall(expand, line)
          socket:send(tostring(answer):match "[^\n]*" .. "\n")
        end
      end } }]]

    local function parentheses(depth)
      return ("("):rep(depth) .. "x" .. (")"):rep(depth) .. "\n"
    end

    it("goes a thousand deep for a client's line, and deeper it is an error", function()
      local m = start({ ["site.lua"] = HANDLER }, 20)
      local client = net.connect(m:port "site")
      client:send(parentheses(1000))
      assert.are.equal("x", client:receive_line())
      client:send(parentheses(20000))
      assert.truthy(client:receive_line():find("stack overflow", 1, true))
      client:send(parentheses(1000))
      assert.are.equal("x", client:receive_line())
    end)

    it("is an error at load, in check and at a start, which takes the last good version", function()
      local m = start({ ["site.lua"] = HANDLER }, 20)
      m:write("site.lua", NESTED .. "nested(20000)\nreturn {}")
      assert.truthy(m:await_fault("site.lua", "stack overflow"))
      local space = moongate.workspace {
        config = LIMIT:format(20000),
        routes = { ["site.lua"] = NESTED .. "nested(20000)\nreturn {}" },
      }
      local answer = moongate.command { "check", moongate.files_of(space) }
      assert.are.equal(1, answer.status, answer.out .. answer.err)
      assert.truthy((answer.out .. answer.err):find("stack overflow", 1, true), answer.out .. answer.err)
      m = restart(m)
      assert.truthy(m:await_fault("site.lua", "stack overflow"))
      local client = net.connect(m:port "site")
      client:send(parentheses(10))
      assert.are.equal("x", client:receive_line())
    end)
  end)
end)
