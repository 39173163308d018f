-- SPDX-License-Identifier: MIT
--
-- `moongate diagnose`, SIGUSR1, the API and the thresholds: a snapshot as a file, which names what is wrong.

local cjson = require "cjson"
local lfs = require "lfs"
local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

local HOLD = [[handler = function(socket) socket:receive("*a") end]]

local function command(m, ...)
  return moongate.command { "diagnose", "--control", m.control, ... }
end

-- The names of the snapshots, oldest first; those of one trigger alone where it is given.
local function kept(m, trigger)
  local names, directory = {}, m.directory .. "/state/diagnose"
  if lfs.attributes(directory, "mode") == "directory" then
    for name in lfs.dir(directory) do
      if name:find("%.json$") and (not trigger or name:find("-" .. trigger .. ".json", 1, true)) then
        names[#names + 1] = name
      end
    end
  end
  table.sort(names)
  return names
end

local function read(m, name)
  return cjson.decode(process.read(m.directory .. "/state/diagnose/" .. name))
end

local function snapshot(m)
  local result = command(m, "--json")
  assert.are.equal(0, result.status, result.err)
  return cjson.decode(result.out)
end

-- Asks until a snapshot satisfies `wanted`; it.
local function await(m, wanted, seconds)
  local last
  process.wait_for(function()
    last = snapshot(m)
    return wanted(last)
  end, seconds or 30)
  return last
end

local function finding(body, about)
  for _, one in ipairs(body.look_at) do
    if one.about == about then
      return one
    end
  end
end

local function wait_for_open(m, count)
  m:await_metric("active_connections", count, 20)
end

-- Thirty more connections, which come to so many.
local function open_thirty(m, sum)
  for _ = 1, 30 do
    net.connect(m:port "front")
  end
  wait_for_open(m, sum)
end

describe("a snapshot", function()
  after_each(moongate.finish)

  it("says that nothing stands out, and where it is kept", function()
    local m = moongate.start { workers = 2, routes = moongate.front(HOLD) }
    local result = command(m)
    assert.are.same({ 0, "" }, { result.status, result.err })
    local path = result.out:match "^([^\n]+)\n"
    assert.are.equal(m.directory .. "/state/diagnose/" .. kept(m)[1], path)
    assert.truthy(result.out:find("Nothing stands out.", 1, true), result.out)
    assert.are.equal("rw-------", lfs.attributes(path, "permissions"))
    local body = read(m, kept(m)[1])
    assert.are.same({ "command", 0, true }, { body.trigger, body.connections.open, body.connections.complete })
    assert.are.same({ 1, 2 }, { body.workers[1].number, body.workers[2].number })
    assert.is_true(body.memory.rss > 0 and body.descriptors.used > 0 and body.workers[1].lag >= 0)
    assert.is_true(body.workers[1].script_memory > 0)
    assert.are.same({}, body.look_at)
  end)

  it("has what the config says, by the names of its options, but for secrets", function()
    local token = ("0123456789abcdef"):rep(4)
    local m = moongate.start {
      config = ([[admin = { listen = false, token = "%s" }, limits = { connections = 77, connections_per_ip = 5 },
        timeouts = { idle = "30m" }, log = { access = true },]]):format(token),
      routes = moongate.front(HOLD),
    }
    local result = command(m, "--json")
    local config = cjson.decode(result.out).config
    assert.are.same({ 77, 5, 1800, 10 }, { config.limits.connections, config.limits.connections_per_ip,
      config.timeouts.idle, config.limits.load_time })
    assert.are.same({ true, "info", m.config_path }, { config.log.access, config.log.level, config.path })
    assert.is_nil(result.out:find(token, 1, true))
  end)

  it("counts the connections by what they have in common", function()
    local server = net.listen()
    local m = moongate.start {
      workers = 2,
      routes = ([[return {
        { name = "hold", match = { ports = 0 }, action = { %s } },
        { name = "front", match = { ports = 0 }, action = { target = "127.0.0.1:%d" } },
      }]]):format(HOLD, server:port()),
    }
    for _ = 1, 3 do
      net.connect(m:port "hold")
    end
    local client = net.connect(m:port "front")
    client:send "hello"
    local upstream = server:accept()
    assert.are.equal("hello", upstream:receive(5))
    wait_for_open(m, 4)
    local body = snapshot(m)
    assert.are.equal(4, body.connections.open)
    assert.are.same({ 3, 1 }, { body.connections.by_state.handling, body.connections.by_state.forwarding })
    assert.are.same({ "hold", 3 }, { body.connections.by_route[1].name, body.connections.by_route[1].count })
    assert.are.same({ "127.0.0.1", 4 }, { body.connections.by_client[1].name, body.connections.by_client[1].count })
    local target = body.connections.by_target
    assert.are.same({ 1, "127.0.0.1:" .. server:port() }, { #target, target[1].name })
    local sum = 0
    for _, age in ipairs(body.connections.ages) do
      sum = sum + age.count
    end
    assert.are.equal(4, sum)
    assert.are.equal(4, body.since_last.accepted)
    upstream:close()
    client:receive_all()
    client:close()
    m:await_metric("active_connections", 3)
    body = snapshot(m)
    assert.are.same({ 0, 1 }, { body.since_last.accepted, body.since_last.terminations.target.ended })
  end)

  it("names connections that wait for a target, one that lost a side, and one whose target is silent", function()
    local silent, half = net.listen(), net.listen()
    local m = moongate.start {
      workers = 2,
      clock = true,
      config = [[diagnose = { old = "1s" }]],
      routes = ([[return {
        { name = "blackhole", match = { ports = 0 }, action = { target = "127.0.0.1:%d" },
          timeouts = { connect = "60s" } },
        { name = "silent", match = { ports = 0 }, action = { target = "127.0.0.1:%d" } },
        { name = "half", match = { ports = 0 }, action = { target = "127.0.0.1:%d" },
          timeouts = { half_dead = "60s" } },
        { name = "sni", match = { ports = 0, domains = "a.example.com" },
          action = { target = "127.0.0.1:9", tls = { mode = "passthrough" } } },
      }]]):format(net.blackhole(), silent:port(), half:port()),
    }
    for _ = 1, 3 do
      net.connect(m:port "blackhole")
    end
    net.connect(m:port "silent"):send "anybody?"
    net.connect(m:port "sni")
    local leaving = net.connect(m:port "half")
    leaving:send "bye"
    local target = half:accept()
    assert.are.equal("bye", target:receive(3))
    target:send "yes"
    leaving:shutdown()
    m:await_metric('connections_by_state{state="connecting"}', 3)
    m:await_metric('connections_by_state{state="forwarding"}', 2)
    assert.are.same({ "", "end" }, { target:receive_all() })
    m:advance(11)
    local body = await(m, function(now)
      local p = now.patterns
      return p.stuck_connecting.count == 3 and p.stuck.count + p.half_zombie.count + p.no_outgoing.count == 3
    end, 40)
    local connecting = body.patterns.stuck_connecting
    assert.are.same({ 3, "blackhole" }, { #connecting.examples, connecting.examples[1].route })
    assert.are.equal("connecting", connecting.examples[1].class.name)
    assert.is_true(connecting.oldest >= 10)
    local text = finding(body, "stuck_connecting").text
    assert.truthy(text:find("^3 connections wait for 127%.0%.0%.1:%d+ to accept"), text)
    assert.truthy(text:find("timeouts.connect is 1m", 1, true), text)
    assert.truthy(finding(body, "stuck").command:find("--target 127.0.0.1:" .. silent:port(), 1, true))
    assert.truthy(finding(body, "half_zombie").text:find("route half", 1, true))
    assert.truthy(finding(body, "no_outgoing").text:find("to port " .. m:port "sni", 1, true))
    assert.are.same({ 6, 0 }, { body.patterns.old.count, body.patterns.zombie.count })
    local out = command(m).out
    assert.truthy(out:find("What to look at:", 1, true) and out:find("3 stuck connecting", 1, true), out)
    for line in out:match("\n\n.*"):gmatch "[^\n]+" do
      assert.is_true(#line <= 80 or line:find "%->" ~= nil, line)
    end
  end)

  it("tells connections that keep_alive keeps", function()
    local m = moongate.start {
      clock = true,
      config = [[diagnose = { old = "1h" }]],
      routes = moongate.front(HOLD, nil, [[keep_alive = "immortal"]]),
    }
    net.connect(m:port "front")
    wait_for_open(m, 1)
    m:advance(3601)
    local body = await(m, function(now)
      return now.patterns.keep_alive_stuck.count == 1
    end)
    assert.truthy(finding(body, "keep_alive_stuck").text:find("kept by keep_alive", 1, true))
  end)

  it("is made by SIGUSR1, once in a while", function()
    local m = moongate.start { routes = moongate.front(HOLD) }
    m.process:signal "SIGUSR1"
    process.wait_for(function()
      return #kept(m, "signal") == 1
    end)
    m:await_log "a snapshot of the connections[^\n]*nothing stands out"
    m.process:signal "SIGUSR1"
    m:await_log "no snapshot: there was one less than 30 seconds ago"
    assert.are.equal(0, command(m).status)
    assert.are.same({ 1, 1 }, { #kept(m, "signal"), #kept(m, "command") })
  end)

  it("is made when there are as many connections as diagnose.connections says", function()
    local m = moongate.start {
      workers = 2,
      config = [[diagnose = { every = "100ms", connections = 5 }]],
      routes = moongate.front(HOLD),
    }
    for _ = 1, 4 do
      net.connect(m:port "front")
    end
    wait_for_open(m, 4)
    process.wait_for(function()
      return #snapshot(m).trend >= 5
    end)
    assert.are.equal(0, #kept(m, "connections"))
    net.connect(m:port "front")
    process.wait_for(function()
      return #kept(m, "connections") == 1
    end)
    assert.are.same({ "connections", 5 }, { read(m, kept(m, "connections")[1]).trigger,
      read(m, kept(m, "connections")[1]).connections.open })
  end)

  it("is made when there are so many more than at the last look", function()
    local m = moongate.start {
      clock = true,
      config = [[diagnose = { every = "1m", spike = 10 }]],
      routes = moongate.front(HOLD),
    }
    m:advance(60)
    process.wait_for(function()
      return #snapshot(m).trend >= 1
    end)
    open_thirty(m, 30)
    m:advance(60)
    process.wait_for(function()
      return #kept(m, "spike") == 1
    end, 20)
    assert.is_true(read(m, kept(m, "spike")[1]).connections.open >= 10)
  end)

  it("is made of a spike also right after others, by a signal, the command and the other threshold", function()
    local m = moongate.start {
      clock = true,
      config = [[diagnose = { every = "2s", connections = 1, spike = 10 }]],
      routes = moongate.front(HOLD),
    }
    m.process:signal "SIGUSR1"
    assert.are.equal(0, command(m).status)
    net.connect(m:port "front")
    wait_for_open(m, 1)
    m:advance(2)
    process.wait_for(function()
      return #kept(m, "signal") == 1 and #kept(m, "connections") == 1
    end, 20)
    open_thirty(m, 31)
    m:advance(2)
    process.wait_for(function()
      return #kept(m, "spike") == 1
    end, 20)
  end)

  it("takes thresholds up at a reload", function()
    local space = moongate.workspace { routes = moongate.front(HOLD) }
    local config = process.read(space.config_path)
    local m = moongate.start { space = space }
    net.connect(m:port "front")
    wait_for_open(m, 1)
    local thresholds = [[diagnose = { every = "100ms", connections = 1 }, timeouts]]
    process.write(m.config_path, (config:gsub("timeouts", thresholds, 1)))
    assert.are.equal(0, m:reload().status)
    process.wait_for(function()
      return #kept(m, "connections") == 1
    end)
  end)

  it("is one of diagnose.keep, the youngest", function()
    local m = moongate.start { config = "diagnose = { keep = 3 }", routes = moongate.front(HOLD) }
    local paths = {}
    for i = 1, 5 do
      paths[i] = snapshot(m).path
    end
    local names = kept(m)
    assert.are.equal(3, #names)
    for i = 1, 3 do
      assert.are.equal(paths[i + 2], m.directory .. "/state/diagnose/" .. names[i])
    end
  end)

  it("is told all the same when it can't be kept", function()
    local m = moongate.start { routes = moongate.front(HOLD) }
    process.write(m.directory .. "/state/diagnose", "in the way")
    local result = command(m)
    assert.are.equal(1, result.status)
    assert.truthy(result.out:find("Nothing stands out.", 1, true), result.out)
    assert.truthy(result.err:find("could not be kept: " .. m.directory .. "/state/diagnose: ", 1, true), result.err)
  end)

  it("is not kept where a link leads, or where others may write", function()
    local m = moongate.start { routes = moongate.front(HOLD) }
    local path, elsewhere = m.directory .. "/state/diagnose", m.directory .. "/elsewhere"
    os.execute(("mkdir -m 700 %s && ln -s %s %s"):format(elsewhere, elsewhere, path))
    local result = command(m)
    assert.are.equal(1, result.status)
    assert.truthy(result.err:find(path .. ": the directory diagnose is a link, or no directory: remove it", 1, true),
      result.err)
    assert.are.equal(0, os.execute(("rm %s && rmdir %s && mkdir -m 770 %s"):format(path, elsewhere, path)))
    assert.truthy(command(m).err:find("may be written by others", 1, true))
    assert.are.equal(0, os.execute("chmod 700 " .. path))
    assert.truthy(snapshot(m).path)
  end)

  it("names a worker that does not answer", function()
    local m = moongate.start {
      workers = 2,
      clock = true,
      config = [[limits = { script_time = "5m" }]],
      routes = moongate.front [[handler = function(socket)
        moongate.log.info "busy"
        local began = moongate.now()
        while moongate.now() - began < 60 do end
      end]],
    }
    net.connect(m:port "front")
    m:await_log 'msg="busy"'
    local result = command(m, "--json") -- the command's patience is real
    assert.are.equal(0, result.status, result.err)
    assert.truthy(result.err:find("a worker did not answer in time", 1, true), result.err)
    local body = cjson.decode(result.out)
    assert.is_false(body.connections.complete)
    assert.truthy(finding(body, "workers").text:find("^worker %d has not answered for "), finding(body, "workers").text)
    m:advance(60)
    m:await_log("a worker that was stuck goes on", 20) -- one that hangs holds up the stop
    m:await_idle()
  end)

  it("needs the control socket or the token, and POST", function()
    local m = moongate.start { admin = true, routes = moongate.front(HOLD) }
    assert.are.equal(403, (m:request("POST", "/api/v1/diagnose", { tcp = true })))
    assert.are.equal(405, (m:get "/api/v1/diagnose"))
    local status, body = m:request("POST", "/api/v1/diagnose")
    assert.are.equal(200, status)
    assert.are.equal(m.directory .. "/state/diagnose/" .. kept(m)[1], cjson.decode(body).path)
  end)
end)
