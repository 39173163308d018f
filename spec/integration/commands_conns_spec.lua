-- SPDX-License-Identifier: MIT
--
-- `moongate conns` and /api/v1/connections: who is there, since when, and who gets nowhere.

local cjson = require "cjson"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"
local unicode = require "moongate.unicode"

local HOLD = [[handler = function(socket) socket:receive("*a") end]]

local function command(m, ...)
  return moongate.command { "conns", "--control", m.control, ... }
end

-- Waits until the answer satisfies `wanted`; the answer.
local function await(m, values, wanted, seconds)
  local answer
  process.wait_for(function()
    answer = m:live_connections(values)
    return wanted(answer)
  end, seconds or 15)
  return answer
end

local function has(count)
  return function(answer)
    return answer.total == count
  end
end

describe("the connections", function()
  after_each(moongate.finish)

  it("are those of all workers, with who, where, since when and how much", function()
    local server = net.listen()
    local m = moongate.start { workers = 2, routes = moongate.front(server:port()) }
    local client = net.connect(m:port "front")
    client:send "hello"
    local target = server:accept()
    assert.are.equal("hello", target:receive(5))
    target:send "hi"
    assert.are.equal("hi", client:receive(2))
    for _ = 1, 7 do
      net.connect(m:port "front")
    end
    local answer = await(m, nil, has(8))
    assert.is_true(answer.complete)
    local row
    for _, one in ipairs(answer.connections) do
      row = one.client_port == client:port() and one or row
    end
    assert.are.same({ "127.0.0.1", client:port() }, { row.client_ip, row.client_port })
    assert.are.same({ "front", "routes.lua", "current" }, { row.route, row.file, row.version })
    assert.are.same({ m:port "front", "forwarding" }, { row.port, row.state })
    assert.are.equal("127.0.0.1:" .. server:port(), row.target)
    assert.are.same({ 5, 2 }, { row.bytes_in, row.bytes_out })
    assert.is_false(row.stuck)
    assert.are.equal("idle", row.deadline.reason)
    assert.is_true(row.age >= row.idle and row.idle >= 0)
  end)

  it("are filtered, sorted and come in pages", function()
    local m = moongate.start {
      workers = 2,
      routes = ([[return {
        { name = "hold", match = { ports = 0 }, action = { %s } },
        { name = "other", match = { ports = 0 }, action = { %s } },
      }]]):format(HOLD, HOLD),
    }
    local held = {}
    for i = 1, 5 do
      held[i] = net.connect(m:port "hold")
      held[i]:send(("x"):rep(i))
    end
    net.connect(m:port "other")
    await(m, nil, has(6))
    await(m, nil, function(answer)
      local sum = 0
      for _, row in ipairs(answer.connections) do
        sum = sum + row.bytes_in
      end
      return sum == 15
    end)
    assert.are.equal(5, m:live_connections({ route = "hold" }).total)
    assert.are.equal(1, m:live_connections({ port = m:port "other" }).total)
    assert.are.equal(6, m:live_connections({ state = "handling" }).total)
    assert.are.equal(0, m:live_connections({ state = "forwarding" }).total)
    assert.are.equal(6, m:live_connections({ client = "127.0.0.0/8" }).total)
    assert.are.equal(0, m:live_connections({ client = "10.*" }).total)
    assert.are.equal(0, m:live_connections({ older = "1h" }).total)
    assert.are.equal(0, m:live_connections({ stuck = 1 }).total)
    local sorted = m:live_connections { sort = "bytes", limit = 2, route = "hold" }
    assert.are.same({ 5, 4 }, { sorted.connections[1].bytes_in, sorted.connections[2].bytes_in })
    assert.are.same({ 5, 6 }, { sorted.total, sorted.open })
    local one = m:live_connections { id = sorted.connections[1].id }
    assert.are.equal(1, one.total)
    local odd = { "state=odd", "client=nobody", "sort=name", "older=long", "stuck=maybe", "offset=131072" }
    for _, query in ipairs(odd) do
      assert.are.equal(400, (m:get("/api/v1/connections?" .. query)), query)
    end
  end)

  it("are shown with their port here, and with what they wait for while they have no route", function()
    local m = moongate.start {
      config = "security = {},",
      routes = ([[return {
        { name = "hold", match = { ports = 0 }, action = { %s } },
        { name = "asks", match = { ports = 0, when = function() moongate.sleep(1000) end }, action = { %s } },
        { name = "named", match = { ports = 0, domains = "a.example" }, action = { tls = { mode = "passthrough" },
          target = "127.0.0.1:1" } },
      }]]):format(HOLD, HOLD),
    }
    for _, name in ipairs { "hold", "asks", "named" } do
      net.connect(m:port(name))
    end
    net.connect(m:port "named"):send "\22\3\1"
    await(m, nil, function(answer)
      local sum = 0
      for _, row in ipairs(answer.connections) do
        sum = sum + row.bytes_in
      end
      return answer.total == 4 and sum == 3
    end)
    local out = command(m).out
    assert.truthy(out:find(("127.0.0.1 +%d +hold +handling"):format(m:port "hold")), out)
    assert.truthy(out:find(("127.0.0.1 +%d +asks%%? +routing +%%(when%%)"):format(m:port "asks")), out)
    assert.truthy(out:find(("127.0.0.1 +%d +%%- +routing +%%(sent nothing%%)"):format(m:port "named")), out)
    assert.truthy(out:find(("127.0.0.1 +%d +%%- +routing +%%(sent little%%)"):format(m:port "named")), out)
  end)

  it("of a route that is none are not told to be none", function()
    local m = moongate.start { routes = moongate.front(HOLD) }
    local answer = command(m, "--route", "frond")
    assert.are.same({ 1, "" }, { answer.status, answer.out })
    assert.truthy(answer.err:find('there is no live route "frond": did you mean "front"?', 1, true), answer.err)
    assert.are.equal(0, command(m, "--route", "front").status)
    assert.are.equal(2, command(m, "--client", "nobody").status)
    net.connect(m:port "front")
    await(m, nil, has(1))
    m:write("routes.lua", (moongate.front(HOLD):gsub("front", "back")))
    m:await_generation(2)
    assert.are.equal(1, m:live_connections({ route = "front" }).total)
    assert.are.equal(0, command(m, "--route", "front", "--stuck").status)
    assert.are.equal(1, moongate.command({ "kill", "--control", m.control, "--route", "frond", "--yes" }).status)
  end)

  it("are shown again and again with --watch, until it is interrupted, or nobody answers", function()
    local m = moongate.start { routes = moongate.front(HOLD) }
    net.connect(m:port "front")
    await(m, nil, has(1))
    local watching = process.start { moongate.binary, "conns", "--control", m.control, "--watch", "100ms" }
    process.wait_for(function()
      return select(2, watching:out():gsub("CLIENT", "")) >= 3
    end)
    assert.is_nil(watching:out():find("\27", 1, true))
    watching:signal "SIGINT"
    watching:wait(5)
    local last = process.start { moongate.binary, "conns", "--control", m.control, "--watch", "--json" }
    process.wait_for(function()
      return last:out():find("front", 1, true)
    end)
    m:stop()
    assert.are.equal(1, last:wait(10))
  end)

  it("of a route that has changed are told to be old", function()
    local m = moongate.start { routes = moongate.front(HOLD) }
    net.connect(m:port "front")
    await(m, nil, has(1))
    m:write("routes.lua", moongate.front(HOLD) .. " -- changed")
    m:await_generation(2)
    assert.are.equal("old", m:live_connections().connections[1].version)
    assert.truthy(command(m).out:find("front (old)", 1, true))
    assert.truthy(command(m).out:find "ENDS IN" and command(m).out:find "%d+h%d*m? idle", command(m).out)
  end)

  it("come and go while they are told, a thousand at a time", function()
    local m = moongate.start { workers = 2, routes = moongate.front(HOLD) }
    local port, held = m:port "front", {}
    for i = 1, 1000 do
      held[i] = net.connect(port)
    end
    await(m, nil, has(1000))
    for i = 1, 1000 do
      if i % 3 == 0 then
        held[i]:close()
      end
      if i % 50 == 0 then
        local answer, seen = m:live_connections(), {}
        for _, row in ipairs(answer.connections) do
          assert.is_nil(seen[row.id])
          seen[row.id] = true
        end
      end
    end
    await(m, nil, has(667))
  end)

  it("that get nowhere are found: connecting, half dead and stuck; one that is merely idle is not", function()
    local silent, chatty = net.listen(), net.listen()
    local m = moongate.start {
      clock = true,
      routes = ([[return {
        { name = "blackhole", match = { ports = 0 }, action = { target = "127.0.0.1:%d" } },
        { name = "silent", match = { ports = 0 }, action = { target = "127.0.0.1:%d" } },
        { name = "chatty", match = { ports = 0 }, action = { target = "127.0.0.1:%d" } },
      }]]):format(net.blackhole(), silent:port(), chatty:port()),
    }
    net.connect(m:port "blackhole")
    net.connect(m:port "silent"):send "anybody?"
    local well = net.connect(m:port "chatty")
    local target = chatty:accept()
    target:send "hello"
    assert.are.equal("hello", well:receive(5))
    net.connect(m:port "chatty"):shutdown()
    await(m, { state = "connecting" }, has(1))
    await(m, { state = "forwarding" }, has(3))
    local ended = assert(chatty:accept())
    assert.are.same({ "", "end" }, { ended:receive_all() })
    m:advance(9)
    assert.are.equal(0, m:live_connections({ stuck = 1 }).total)
    m:advance(2)
    local answer = await(m, { stuck = 1 }, has(3))
    local classes = {}
    for _, row in ipairs(answer.connections) do
      classes[row.class.name] = row.route
    end
    assert.are.same({ connecting = "blackhole", stuck = "silent", half_dead = "chatty" }, classes)
    local shown = command(m, "--stuck")
    assert.are.equal(0, shown.status, shown.err)
    for line in shown.out:gmatch "[^\n]+" do
      assert.is_true(unicode.width(line) <= 80 or line:find("^  moongate ") ~= nil, line)
    end
    assert.truthy(shown.out:find("half dead %d+s"), shown.out)
    local told = moongate.command { "explain", answer.connections[1].id, "--control", m.control }
    assert.are.equal(0, told.status, told.err)
    assert.truthy(told.out:find("trouble", 1, true), told.out)
  end)

  it("that are sent what they do not read are found: a client's, of a handler or a target, and a target's", function()
    local reader = { receive_buffer = 4096 }
    local target, server = net.listen(reader), net.listen()
    local m = moongate.start {
      clock = true,
      routes = ([[return {
        { name = "handler", match = { ports = 0 }, action = { handler = function(socket)
          while true do socket:send(("x"):rep(65536)) end
        end } },
        { name = "download", match = { ports = 0 }, action = { target = "127.0.0.1:%d" } },
        { name = "upload", match = { ports = 0 }, action = { target = "127.0.0.1:%d" } },
      }]]):format(server:port(), target:port()),
    }
    local client = net.connect(m:port "handler", reader)
    local downloader = net.connect(m:port "download", reader)
    local uploader, upload = net.connect(m:port "upload"), assert(target:accept())
    upload:send "go on" -- or it were stuck
    local download, piece = assert(server:accept()), ("x"):rep(65536)
    local before, moved
    process.wait_for(function()
      repeat
        local sent = download:send(piece, 0)
      until not sent
      repeat
        local sent = uploader:send(piece, 0)
      until not sent
      process.nap(0.2)
      before, moved = moved, m:metric 'bytes_total{direction="in"}' + m:metric 'bytes_total{direction="out"}'
      return before == moved and #m:live_connections().connections == 3
    end, 30)
    assert.are.equal(0, m:live_connections({ stuck = 1 }).total)
    m:advance(11)
    local unsent = {}
    for _, row in ipairs(await(m, { stuck = 1 }, has(3)).connections) do
      assert.are.equal("unread", row.class.name)
      assert.is_true(row.class.limit > 11)
      unsent[row.route] = (row.unsent.client and "client" or "") .. (row.unsent.target and "target" or "")
    end
    assert.are.same({ handler = "client", download = "client", upload = "target" }, unsent)
    assert.truthy(command(m, "--stuck").out:find("unread %d+s"))
    assert.are.equal("x", client:receive(1) and downloader:receive(1))
  end)

  it("make a table, or the API's body", function()
    local m = moongate.start { routes = moongate.front(HOLD) }
    local none = command(m)
    assert.are.equal("none (0 open)\n", none.out)
    net.connect(m:port "front")
    await(m, nil, has(1))
    assert.truthy(command(m).out:find("127.0.0.1 +%d+ +front +handling"))
    assert.are.equal(1, cjson.decode(command(m, "--json").out).total)
    assert.are.equal(2, command(m, "--sort", "name").status)
    assert.are.equal(2, command(m, "--client", "nobody").status)
  end)
end)
