-- SPDX-License-Identifier: MIT
--
-- log.access: a line for each connection at its end.

local cjson = require "cjson"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

-- A line of logfmt as a table.
local function fields_of(line)
  local fields = {}
  for name, value in (" " .. line):gmatch ' ([%w_]+)="([^"]*)"' do
    fields[name] = value
  end
  for name, value in (" " .. line):gmatch ' ([%w_]+)=([^" ][^ ]*)' do
    fields[name] = value
  end
  return fields
end

local function lines_of(m)
  local lines = {}
  for line in m:log():gmatch "[^\n]+" do
    if line:find('msg="access"', 1, true) then
      lines[#lines + 1] = fields_of(line)
    end
  end
  return lines
end

local function await_lines(m, count)
  local lines
  process.wait_for(function()
    lines = lines_of(m)
    return #lines >= count
  end)
  assert.are.equal(count, #lines)
  return lines
end

local function exchange(m, server)
  local client = net.connect(m:port "front")
  client:send "hello"
  local target = server:accept()
  assert.are.equal("hello", target:receive(5))
  target:send "hi"
  assert.are.equal("hi", client:receive(2))
  local port = client:port()
  target:close()
  client:receive_all()
  client:close()
  return port
end

describe("the access log", function()
  after_each(moongate.finish)

  it("has a line for each connection, with who, where, how much and why it ended", function()
    local server = net.listen()
    local m = moongate.start { config = "log = { access = true }", routes = moongate.front(server:port()) }
    local port = exchange(m, server)
    local line = await_lines(m, 1)[1]
    assert.are.same({ "127.0.0.1", tostring(port) }, { line.client, line.client_port })
    assert.are.same({ tostring(m:port "front"), "front" }, { line.port, line.route })
    assert.are.same({ "127.0.0.1:" .. server:port(), "1" }, { line.target, line.attempts })
    assert.are.same({ "5", "2" }, { line["in"], line.out })
    assert.are.same({ "closed", "ended" }, { line.client_side, line.target_side })
    assert.truthy(line.connection:find "^%d+%-%d+$")
    assert.is_true(tonumber(line.seconds) >= tonumber(line.connect_seconds) and tonumber(line.connect_seconds) >= 0)
    assert.is_nil(line.proxy)
  end)

  it("has times to the microsecond", function()
    local server = net.listen()
    local m = moongate.start { config = "log = { access = true }", routes = moongate.front(server:port()) }
    for _ = 1, 5 do
      exchange(m, server)
    end
    local fine = 0
    for _, line in ipairs(await_lines(m, 5)) do
      local seconds, route, connect = tonumber(line.seconds), tonumber(line.route_seconds),
        tonumber(line.connect_seconds)
      assert.is_true(seconds < 10 and route > 0 and connect > 0 and route + connect <= seconds, line.seconds)
      fine = fine + (math.abs(seconds * 1000 - math.floor(seconds * 1000 + 0.5)) > 1e-4 and 1 or 0)
    end
    assert.is_true(fine >= 3, "they come in whole milliseconds")
  end)

  it("has none unless it is asked for, and is switched without a restart", function()
    local server = net.listen()
    local space = moongate.workspace { config = "log = { access = false }", routes = moongate.front(server:port()) }
    local config = process.read(space.config_path)
    local m = moongate.start { space = space }
    exchange(m, server)
    m:await_idle()
    assert.are.equal(0, #lines_of(m))
    local held = net.connect(m:port "front") -- it began before, and ends after
    held:send "x"
    local target = server:accept()
    assert.are.equal("x", target:receive(1))
    process.write(m.config_path, (config:gsub("access = false", "access = true")))
    assert.are.equal(0, m:reload().status)
    exchange(m, server)
    await_lines(m, 1)
    held:close()
    target:close()
    await_lines(m, 2)
    process.write(m.config_path, config)
    assert.are.equal(0, m:reload().status)
    exchange(m, server)
    m:await_idle()
    assert.are.equal(2, #lines_of(m))
  end)

  it("is written whatever the log's level, and as JSON where the log is", function()
    local server = net.listen()
    local m = moongate.start {
      config = [[log = { access = true, level = "off", format = "json" }]],
      routes = moongate.front(server:port()),
    }
    exchange(m, server)
    local line = m:await_log '({"time":[^\n]*"msg":"access"[^\n]*})'
    local fields = cjson.decode(line)
    assert.are.same({ "info", 5, 2, "front" }, { fields.level, fields["in"], fields.out, fields.route })
  end)

  it("has the client's own address, and the proxy's, behind a PROXY header", function()
    local server = net.listen()
    local m = moongate.start {
      config = [[log = { access = true }, proxy_protocol = { trusted = "127.0.0.1", accept = true }]],
      routes = moongate.front(server:port()),
    }
    local client = net.connect(m:port "front")
    client:send "PROXY TCP6 2001:db8::7 2001:db8::1 50000 443\r\nhello"
    local target = server:accept()
    assert.are.equal("hello", target:receive(5))
    local hop = "127.0.0.1:" .. client:port()
    client:close()
    target:close()
    local line = await_lines(m, 1)[1]
    assert.are.same({ "2001:db8::7", hop, "5" }, { line.client, line.proxy, line["in"] })
  end)

  it("tells the target that a function chose, the attempts, and that none could be reached", function()
    local refusing = net.refusing_port()
    local m = moongate.start {
      config = "log = { access = true }",
      routes = ([[return {
        { name = "front", match = { ports = 0 }, action = { target = function() return "127.0.0.1", %d end } },
        { name = "both", match = { ports = 0 }, action = { targets = { "127.0.0.1:%d", "localhost:%d" } } },
      }]]):format(refusing, refusing, refusing),
    }
    net.connect(m:port "front"):receive_all()
    local line = await_lines(m, 1)[1]
    assert.are.same({ "127.0.0.1:" .. refusing, "1", "refused" }, { line.target, line.attempts, line.target_side })
    net.connect(m:port "both"):receive_all()
    line = await_lines(m, 2)[2]
    assert.are.same({ "2", "refused", "both" }, { line.attempts, line.target_side, line.route })
  end)

  it("has the target that a client has waited for in vain, and how long", function()
    local hole = net.blackhole()
    local m = moongate.start { config = "log = { access = true }", routes = moongate.front(hole) }
    local client = net.connect(m:port "front")
    m:await_metric('connections_by_state{state="connecting"}', 1)
    client:reset()
    local line = await_lines(m, 1)[1]
    assert.are.same({ "127.0.0.1:" .. hole, "1" }, { line.target, line.attempts })
    assert.are.same({ "reset", "none" }, { line.client_side, line.target_side })
    assert.truthy(tonumber(line.connect_seconds))
  end)

  it("does not hold up a worker whose log nobody reads, and counts what is lost", function()
    local server = net.listen()
    local space = moongate.workspace { config = "log = { access = true }", routes = moongate.front(server:port()) }
    local fifo = space.directory .. "/log"
    assert(os.execute(("mkfifo %s"):format(fifo)) == 0)
    local reader = process.start { "sh", "-c", ("exec 3<%s; sleep 100"):format(fifo) }
    local words = { moongate.binary, "run", moongate.files_of(space) }
    local started = process.start({ "sh", "-c", ('exec "$@" 2>%s'):format(fifo), "sh", unpack(words) }, {
      cwd = space.directory,
    })
    local m = setmetatable(space, moongate)
    process.wait_for(function()
      return m:get "/readyz" == 200
    end, 20)
    -- 64 KiB of pipe, some 300 bytes a line.
    for _ = 1, 400 do
      exchange(m, server)
    end
    m:await_metric('errors_total{type="access_log"}', function(count)
      return count > 0
    end)
    m:await_idle()
    started:signal "SIGTERM"
    assert.are.equal(0, started:wait(15))
    reader:stop()
  end)
end)
