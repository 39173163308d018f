-- SPDX-License-Identifier: MIT
--
-- Handlers that raise, and handlers that run for ever: it costs their connection, it is counted and logged, and the
-- worker's other connections hardly notice.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"

describe("a handler's fault", function()
  after_each(moongate.finish)

  local function start(routes, config)
    return moongate.start { workers = 1, config = config, routes = routes }
  end

  local function route(name, body)
    local text = "{ name = '%s', match = { ports = 0 }, action = { handler = function(socket, context)\n%s\nend } },\n"
    return text:format(name, body)
  end

  local echo = route("echo", "for line in socket:lines() do socket:send(line .. '\\n') end")

  -- The connection ends soon.
  local function expect_ended(client, seconds)
    local bytes, how = client:receive_all(seconds)
    assert.are_not.equal("timeout", how)
    return bytes, how
  end

  it("that is raised closes the connection, is logged with a traceback and counted", function()
    local body = "local function inner() error 'broken inside' end\ninner()\nreturn 1"
    local m = start("return { " .. route("bad", body) .. echo .. "}")
    local other = net.connect(m:port "echo")
    expect_ended(net.connect(m:port "bad"))
    m:await_log "broken inside"
    assert.truthy(m:log():find "stack traceback")
    assert.truthy(m:log():find("routes.lua:2", 1, true))
    assert.are.equal(1, m:metric 'handler_errors_total{route="bad"}')
    assert.are.equal(0, m:metric 'handler_errors_total{route="echo"}')
    m:await_metric('connection_terminations_total{side="client",reason="handler_error"}', 1)
    other:send "still there\n"
    assert.are.equal("still there", other:receive_line())
  end)

  it("that is raised never looks like a regular end of what was being sent", function()
    local m = start("return { " .. route("bad", "socket:send 'the first half'\nerror 'the rest is missing'") .. "}")
    local bytes, how = expect_ended(net.connect(m:port "bad"))
    assert.are.equal("reset", how)
    assert.are.equal(("the first half"):sub(1, #bytes), bytes)
  end)

  it("is told to the client as one, also when nobody holds its socket any more", function()
    local m = moongate.start {
      workers = 1,
      routes = moongate.front [[handler = function()
        for _ = 1, 3 do collectgarbage() end
        moongate.sleep(0.05)
        error "here"
      end]],
    }
    local bytes, how = net.connect(m:port "front"):receive_all()
    assert.are.same({ "", "reset" }, { bytes, how })
  end)

  it("is what comes of collecting more, in all connections together, than a file's memory", function()
    local m = start(
      "return { " .. route("hoard", "assert(socket:receive '*a')") .. echo .. "}",
      "limits = { script_memory = '8m', connections_per_ip = 0 }"
    )
    local clients = {}
    for i = 1, 16 do
      clients[i] = net.connect(m:port "hoard")
      clients[i]:send(("x"):rep(1500000))
    end
    m:await_metric('handler_errors_total{route="hoard"}', function(failed)
      return failed >= 11
    end)
    assert.truthy(m:await_log("[^\n]*a function raised an error[^\n]*"):find "memory")
    local client = net.connect(m:port "echo")
    client:send "still there\n"
    assert.are.equal("still there", client:receive_line())
  end)

  it("of any kind of value is told", function()
    local object = "setmetatable({}, { __tostring = function() return 'a told object' end })"
    for _, value in ipairs { "nil", "{}", object, "42" } do
      local m = start("return { " .. route("bad", ("error(%s)"):format(value)) .. "}")
      expect_ended(net.connect(m:port "bad"))
      m:await_metric('handler_errors_total{route="bad"}', 1)
      assert.are.equal(0, m:stop())
    end
  end)

  it("by recursion or by memory is one like any other", function()
    local m = start(
      "return { "
        .. route("deep", "local function f() return 1 + f() end f()")
        .. route("fat", "local t = {} while true do t[#t + 1] = ('x'):rep(1024 * 1024) .. #t end")
        .. echo
        .. "}",
      "limits = { script_memory = '64m', script_time = '5s' }"
    )
    expect_ended(net.connect(m:port "deep"), 20)
    m:await_metric('handler_errors_total{route="deep"}', 1)
    expect_ended(net.connect(m:port "fat"), 20)
    m:await_metric('handler_errors_total{route="fat"}', 1)
    local client = net.connect(m:port "echo")
    client:send "still there\n"
    assert.are.equal("still there", client:receive_line())
  end)

  local loops = {
    ["a loop inside two pcalls"] = "pcall(function() pcall(function() while true do end end) end)\nwhile true do end",
    ["a loop that catches every error"] = "while true do pcall(function() while true do end end) end",
    ["a loop of calls"] = "local function f() end while true do f() end",
    ["an endless recursion by tail calls"] = "local function f() return f() end f()",
    ["a loop in a coroutine"] = "while true do coroutine.wrap(function() while true do end end)() end",
    ["a loop in xpcall's handler"] = "xpcall(error, function() while true do end end) while true do end",
  }
  for name, body in pairs(loops) do
    it(("that is %s is stopped after script_time"):format(name), function()
      local m = start(
        "return { " .. route("runaway", "socket:send '!'\nsocket:receive()\n" .. body) .. echo .. "}",
        "limits = { script_time = '500ms' }"
      )
      local other = net.connect(m:port "echo")
      other:send "before\n"
      assert.are.equal("before", other:receive_line())
      local runaway = net.connect(m:port "runaway")
      assert.are.equal("!", (runaway:receive(1)))
      runaway:send "go\n"
      local before = m.process:cpu() -- time says nothing on a busy machine
      other:send "during\n"
      assert.are.equal("during", other:receive_line(60))
      local worked = m.process:cpu() - before
      assert.truthy(worked < 0.5 + 1.5, ("the other connection waited for %.2f s of work"):format(worked))
      expect_ended(runaway)
      m:await_log "stack traceback"
      assert.truthy(m:log():find("runaway", 1, true))
      assert.truthy(m:log():find("script_time", 1, true), "the log names the limit")
      m:await_metric('handler_errors_total{route="runaway"}', 1)
      m:await_metric('connection_terminations_total{side="client",reason="script_time"}', 1)
      other:send "after\n"
      assert.are.equal("after", other:receive_line())
    end)
  end

  it("is none where it runs long in all, but waits in between", function()
    local m = start(
      "return { "
        .. route("steady", [[
          local began = moongate.now()
          while moongate.now() - began < 1 do
            for _ = 1, 10000 do end
            moongate.sleep(0.01)
          end
          socket:send "done"]])
        .. "}",
      "limits = { script_time = '300ms' }"
    )
    assert.are.same({ "done", "end" }, { net.connect(m:port "steady"):receive_all() })
    assert.are.equal(0, m:metric 'handler_errors_total{route="steady"}')
  end)
end)
