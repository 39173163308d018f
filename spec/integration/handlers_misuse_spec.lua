-- SPDX-License-Identifier: MIT
--
-- Handlers that are written wrongly: the log says which function of ours was called how, and in which route and file.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"

describe("a handler that", function()
  after_each(moongate.finish)

  -- Starts one route for each handler, calls all, and expects the words in the log line of each.
  local function expect(cases)
    local routes = { "return {" }
    for i, case in ipairs(cases) do
      local route = "{ name = 'r%d', match = { ports = 0 }, action = { handler = %s } },"
      routes[#routes + 1] = route:format(i, case[1])
    end
    local m = moongate.start { workers = 1, routes = table.concat(routes, "\n") .. "\n}" }
    for i, case in ipairs(cases) do
      local bytes, how = net.connect(m:port("r" .. i)):receive_all()
      assert.are.same({ "", "reset" }, { bytes, how }, case[1])
      local line = m:await_log("[^\n]*route=r" .. i .. " file=routes%.lua[^\n]*error=[^\n]*")
      for word = 2, #case do
        assert.truthy(line:find(case[word], 1, true), case[word] .. " is not in " .. line)
      end
    end
  end

  it("misuses a function last names it, and where the handler is", function()
    expect {
      {
        'function(socket, context) return context:forward("127.0.0.1") end',
        "/routes/routes.lua:2 connection=", "bad argument #1 to 'context:forward' (where to connect to",
      },
      {
        'function(socket, context) return context:forward("127.0.0.1", "http") end',
        "/routes/routes.lua:3 connection=", "bad argument #2 to 'context:forward' (a port expected",
      },
      { "function(socket) return socket:send({ {} }) end", "bad argument #1 to 'socket:send' (element 1" },
    }
  end)

  it("gives connect what it does not know is told what there is", function()
    expect {
      {
        "function() return moongate.connect('127.0.0.1', 80, { timeuot = 1 }) end",
        "bad argument #3 to 'moongate.connect' (there is no option 'timeuot'; there are: timeout, tls)",
      },
      { "function() return moongate.connect('127.0.0.1:80', { 1 }) end", "bad argument #2 to 'moongate.connect'" },
      { "function() return moongate.connect('127.0.0.1', 'x') end", "bad argument #2 to 'moongate.connect' (a port" },
    }
  end)

  it("waits where it can't, by way of the library, is told its own line", function()
    expect {
      {
        "function() local _ = ('x'):gsub('x', function() moongate.metrics.connections.active() end) end",
        "routes/routes.lua:2: can't wait here: within a function that C calls",
      },
      {
        "function() local _ = ('x'):gsub('x', function() require('socket').sleep(1) end) end",
        "routes/routes.lua:3: can't wait here: within a function that C calls",
      },
    }
  end)

  -- Where the route file gives it itself, `check` says so (spec/messages_spec.lua).
  it("is a function that calls the maker of a handler with a socket is told to call it before", function()
    local cases = {}
    for _, name in ipairs { "echo", "proxy", "block", "line", "http_response", "http_block", "http_redirect" } do
      local whole = "moongate.handlers." .. name
      local call = ("function(...) %s(...) end"):format(whole)
      cases[#cases + 1] = { call, whole .. " makes a handler, and is called in the route file", whole .. "(" }
    end
    expect(cases)
  end)

  it("logs with wrong arguments is told its line", function()
    expect {
      { "function() moongate.log.info('a', 'b') end", "routes/routes.lua:2: bad argument #2 to 'moongate.log.info'" },
      { "function() moongate.log.warn({}) end", "routes/routes.lua:3: bad argument #1 to 'moongate.log.warn'" },
      {
        "function() moongate.log.warn('a', { [''] = 1 }) end",
        "routes/routes.lua:4: bad argument #2 to 'moongate.log.warn' (a field with an empty name)",
      },
    }
  end)

  it("raises in a function that it spawned is told with its client", function()
    local m = moongate.start {
      routes = moongate.front [[handler = function() moongate.spawn(error, "inner") moongate.sleep(0.1) end]],
    }
    assert(net.connect(m:port "front")):receive_all()
    local line = m:await_log "[^\n]*a spawned function failed[^\n]*"
    for _, word in ipairs { "route=front", "file=routes.lua", "connection=", "client=127.0.0.1", "inner" } do
      assert.truthy(line:find(word, 1, true), word .. " is not in " .. line)
    end
  end)

  it("raises for each of many connections fills no log, and hides no other route", function()
    local m = moongate.start {
      workers = 1,
      routes = [[return {
        { name = "loud", match = { ports = 0 }, action = { handler = function() error "loud one" end } },
        { name = "other", match = { ports = 0 }, action = { handler = function() error "other one" end } },
      }]],
    }
    for _ = 1, 50 do
      net.connect(m:port "loud"):close()
    end
    m:await_metric('handler_errors_total{route="loud"}', 50)
    net.connect(m:port "other"):receive_all()
    m:await_log "other one"
    local _, lines = m:log():gsub("loud one", "")
    assert.truthy(lines >= 1 and lines < 40, lines)
  end)

  it("prints is heard at once", function()
    local m = moongate.start { routes = moongate.front [[handler = function() print "heard" end]] }
    net.connect(m:port "front"):receive_all()
    m:await_log "heard"
  end)
end)
