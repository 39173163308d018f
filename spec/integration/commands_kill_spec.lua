-- SPDX-License-Identifier: MIT
--
-- `moongate kill` and DELETE /api/v1/connections: ending connections on purpose.

local cjson = require "cjson"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

local HOLD = [[handler = function(socket) socket:receive("*a") end]]
local TWO = ([[return {
  { name = "hold", match = { ports = 0 }, action = { %s } },
  { name = "other", match = { ports = 0 }, action = { %s } },
}]]):format(HOLD, HOLD)

local KILLED = 'connection_terminations_total{side="client",reason="killed"}'

local function command(m, ...)
  return moongate.command { "kill", "--control", m.control, ... }
end

-- The ids of those of a route, once there are `count`.
local function ids_of(m, route, count)
  local ids
  process.wait_for(function()
    ids = {}
    for _, row in ipairs(m:live_connections({ route = route, sort = "client" }).connections) do
      ids[#ids + 1] = row.id
    end
    return #ids == count
  end)
  return ids
end

-- The same command in a terminal, in which `typed` is typed.
local function in_terminal(m, typed, ...)
  local directory = process.directory()
  process.write(directory .. "/typed", typed .. "\n")
  local words = { moongate.binary, "kill", "--control", m.control, ... }
  return process.run(
    { "script", "-qec", table.concat(words, " "), "/dev/null" },
    { input = directory .. "/typed", env = { COLUMNS = "120" } }
  )
end

describe("kill", function()
  after_each(moongate.finish)

  it("ends the connections that are named, in whatever state, and says which are not there", function()
    local target, silent = net.listen(), net.blackhole()
    local m = moongate.start {
      workers = 2,
      routes = ([[return {
        { name = "hold", match = { ports = 0 }, action = { %s } },
        { name = "forward", match = { ports = 0 }, action = { target = "127.0.0.1:%d" } },
        { name = "connect", match = { ports = 0 }, action = { target = "127.0.0.1:%d" } },
        { name = "waits", match = { ports = 0, when = function() moongate.sleep(1000) end },
          action = { target = "127.0.0.1:1" } },
      }]]):format(HOLD, target:port(), silent),
    }
    local clients, ids = {}, {}
    for i, name in ipairs { "hold", "forward", "connect", "waits" } do
      clients[i] = net.connect(m:port(name))
    end
    local accepted = target:accept()
    process.wait_for(function()
      ids = {}
      for _, row in ipairs(m:live_connections().connections) do
        ids[#ids + 1] = row.id
      end
      return #ids == 4
    end)
    ids[5], ids[6] = "0-999999", "77-1"
    local answer = command(m, unpack(ids))
    assert.are.equal(1, answer.status)
    assert.are.equal("ended 4 connections\n", answer.out)
    assert.truthy(answer.err:find("there is no connection 0-999999 (any more)", 1, true), answer.err)
    assert.truthy(answer.err:find("there is no connection 77-1 (any more)", 1, true), answer.err)
    for i = 1, 4 do
      local rest, how = clients[i]:receive_all(5)
      assert.are.equal("", rest)
      assert.truthy(how == "end" or how == "reset", how)
    end
    assert.truthy(({ accepted:receive_all(5) })[2] ~= "timeout")
    assert.are.equal(4, m:metric(KILLED))
    assert.are.equal(0, m:metric "active_connections")
  end)

  it("ends one that is named twice once", function()
    local m = moongate.start { routes = TWO }
    net.connect(m:port "hold")
    net.connect(m:port "hold")
    local ids = ids_of(m, "hold", 2)
    local words = { ids[1] }
    for i = 1, 256 do -- more than a request takes
      words[i + 1] = "0-" .. 1000000 + i
    end
    words[#words + 1] = ids[1]
    local answer = command(m, unpack(words))
    assert.are.equal("ended 1 connection\n", answer.out)
    assert.is_nil(answer.err:find(" " .. ids[1] .. " ", 1, true))
    local status, body = m:request("DELETE", ("/api/v1/connections?id=%s,%s"):format(ids[2], ids[2]))
    assert.are.same({ 200, 1, {} }, { status, cjson.decode(body).killed, cjson.decode(body).unknown })
  end)

  it("ends those that wait for their client to end, too", function()
    local m = moongate.start {
      config = 'timeouts = { linger = "1h" }, log = { access = true },',
      routes = moongate.front [[handler = function(socket) socket:send("bye") end]],
    }
    local client = net.connect(m:port "front")
    local id
    process.wait_for(function()
      local row = m:live_connections({ state = "closing" }).connections[1]
      id = row and row.id
      return id
    end)
    assert.are.equal("ended 1 connection\n", command(m, id).out)
    assert.are.equal("bye", (client:receive_all(5)))
    assert.are.equal(0, m:live_connections().total)
    assert.are.equal(1, m:metric(KILLED))
    process.wait_for(function()
      return m:log():find("client_side=killed", 1, true)
    end)
  end)

  it("ends those that a filter means, and where nobody can be asked only with --yes", function()
    local m = moongate.start { workers = 2, routes = TWO }
    for _ = 1, 5 do
      net.connect(m:port "hold")
      net.connect(m:port "other")
    end
    ids_of(m, "hold", 5)
    ids_of(m, "other", 5)
    local refused = command(m, "--route", "hold")
    assert.are.same({ 2, "" }, { refused.status, refused.out })
    assert.truthy(refused.err:find("--yes", 1, true))
    assert.are.equal(10, m:live_connections().total)
    local done = command(m, "--route", "hold", "--yes")
    assert.are.same({ 0, "ended 5 connections\n", "" }, { done.status, done.out, done.err })
    assert.are.equal(5, m:live_connections().total)
    local none = command(m, "--stuck", "--yes")
    assert.are.same({ 0, "none was ended (5 open)\n" }, { none.status, none.out })
    local json = cjson.decode(command(m, "--client", "127.0.0.0/8", "--yes", "--json").out)
    assert.are.same({ killed = 5, open = 0, waiting = 0, complete = true }, json)
    assert.are.equal(10, m:metric(KILLED))
  end)

  it("shows in a terminal whom it means, and asks", function()
    local m = moongate.start { routes = TWO }
    net.connect(m:port "hold")
    local id = ids_of(m, "hold", 1)[1]
    local no = in_terminal(m, "n", "--route", "hold")
    assert.are.equal(1, no.status)
    assert.truthy(no.out:find(id, 1, true) and no.out:find("End 1 connection? [y/N]", 1, true), no.out)
    assert.truthy(no.out:find("none was ended", 1, true), no.out)
    assert.are.equal(1, m:live_connections().total)
    local yes = in_terminal(m, "y", "--route", "hold")
    assert.are.equal(0, yes.status)
    assert.truthy(yes.out:find("ended 1 connection", 1, true), yes.out)
    assert.are.equal(0, m:live_connections().total)
    local none = in_terminal(m, "y", "--route", "hold")
    assert.truthy(none.status == 0 and not none.out:find("[y/N]", 1, true), none.out)
  end)

  it("wants to be told which", function()
    local m = moongate.start { routes = TWO }
    for _, words in ipairs { {}, { "--yes" }, { "1-1", "--stuck" }, { "all" }, { "1-1,1-2" } } do
      local answer = command(m, unpack(words))
      assert.are.same({ 2, "" }, { answer.status, answer.out }, table.concat(words, " "))
    end
  end)

  it("takes thousands of ids, and ends many in pieces", function()
    local m = moongate.start { workers = 2, routes = TWO }
    local words = {}
    for i = 1, 3000 do
      words[i] = "1-" .. 100000 + i
    end
    local answer = command(m, unpack(words))
    assert.are.equal(1, answer.status)
    assert.are.equal(3000, select(2, answer.err:gsub("\n", "")))
    for _ = 1, 300 do
      net.connect(m:port "hold")
    end
    ids_of(m, "hold", 300)
    assert.are.equal("ended 300 connections\n", command(m, "--route", "hold", "--yes").out)
    assert.are.equal(0, m:live_connections().total)
  end)
end)

describe("DELETE of connections", function()
  after_each(moongate.finish)

  it("ends the one that is named: 200, and 404 for one that is not there", function()
    local m = moongate.start { routes = TWO }
    net.connect(m:port "hold")
    local id = ids_of(m, "hold", 1)[1]
    local status, body = m:request("DELETE", "/api/v1/connections/" .. id)
    assert.are.same({ 200, { killed = 1 } }, { status, cjson.decode(body) })
    for _, other in ipairs { id, "9-9", "x", "", "0-1,0-2", "01-1", "-1-1" } do
      assert.are.equal(404, (m:request("DELETE", "/api/v1/connections/" .. other)), other)
    end
    assert.are.equal(405, (m:request("GET", "/api/v1/connections/" .. id)))
    assert.truthy(m:log():find("path=\"?/api/v1/connections/" .. id:gsub("%-", "%%-")))
  end)

  it("ends those that are meant, never all because nothing was said", function()
    local m = moongate.start { routes = TWO }
    net.connect(m:port "hold")
    net.connect(m:port "other")
    ids_of(m, "hold", 1)
    ids_of(m, "other", 1)
    for _, query in ipairs { "", "?", "?limit=1", "?sort=age", "?client=nobody" } do
      assert.are.equal(400, (m:request("DELETE", "/api/v1/connections" .. query)), query)
    end
    assert.are.equal(2, m:live_connections().total)
    local status, body = m:request("DELETE", "/api/v1/connections?route=other")
    assert.are.same({ 200, 1, 1 }, { status, cjson.decode(body).killed, cjson.decode(body).open })
  end)

  it("wants the token over TCP, and admin.write there", function()
    local m = moongate.start { admin = true, routes = TWO }
    net.connect(m:port "hold")
    local id = ids_of(m, "hold", 1)[1]
    for _, path in ipairs { "/api/v1/connections/" .. id, "/api/v1/connections?route=hold" } do
      assert.are.equal(403, (m:request("DELETE", path, { tcp = true })))
    end
    assert.are.equal(1, m:live_connections().total)
    local bearer = { tcp = true, headers = { "Authorization: Bearer very-secret" } }
    local function configure(write)
      local text = process.read(m.config_path)
      local admin = "%1, token = 'very-secret', write = " .. write .. " }"
      process.write(m.config_path, (text:gsub("(listen = [^,}]*)[^}]*}", admin)))
      assert.are.equal(200, (m:request("POST", "/api/v1/reload")))
    end
    configure "false"
    assert.are.equal(403, (m:request("DELETE", "/api/v1/connections/" .. id, bearer)))
    configure "true"
    assert.are.equal(401, (m:request("DELETE", "/api/v1/connections/" .. id, { tcp = true })))
    assert.are.equal(200, (m:request("DELETE", "/api/v1/connections/" .. id, bearer)))
  end)
end)
