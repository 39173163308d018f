-- SPDX-License-Identifier: MIT
--
-- Names of targets: what clients see of name servers that fail, and of files of the machine that change.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local peers = require "spec.support.peers"
local process = require "spec.support.process"

local as_root = process.run({ "id", "-u" }).out == "0\n"

describe("the names of targets", function()
  local backend, directory

  before_each(function()
    backend = peers.server "echo"
    directory = process.directory()
  end)

  after_each(moongate.finish)

  -- By name: see name_server.lua.
  local function zone(text)
    process.write(directory .. "/zone.lua.new", "return { " .. text .. " }")
    assert(os.rename(directory .. "/zone.lua.new", directory .. "/zone.lua"))
  end

  -- The address of a name server that answers by the zone.
  local function name_server()
    local server = process.start { "luajit", "spec/support/name_server.lua", directory }
    local port = process.wait_for(function()
      assert(server:alive(), server:err())
      return server:out():match "^(%d+)\n"
    end, 10, "the name server")
    return "127.0.0.1:" .. port
  end

  local function start(servers, more, config)
    local options = more or {}
    options.config = ("dns = { servers = %q, tries = 1, %s }"):format(servers, config or "timeout = '500ms'")
    options.workers = options.workers or 2
    options.routes = moongate.front(("target = 'db.test.:%d'"):format(backend.port))
    return moongate.start(options)
  end

  local function reaches(m)
    local client = net.connect(m:port "front")
    client:send "hello\n"
    local line = client:receive_line(10)
    client:close()
    return line == "hello"
  end

  local function expect_served(m, seconds)
    local began = process.now()
    assert.is_true(reaches(m))
    local took = process.now() - began
    assert.truthy(took < seconds, took)
  end

  it("are used as they are answered, and the family that is not answered is not waited for", function()
    zone [[ ["db.test"] = { a = { "127.0.0.1" }, silent = "aaaa", ttl = 2 } ]]
    local m = start(name_server(), {}, "timeout = '4s'")
    expect_served(m, 3)
    local until_then = process.now() + 5
    while process.now() < until_then do
      expect_served(m, 3) -- at the ends of the TTL, too
      process.nap(0.05)
    end
    process.wait_for(function()
      return m:metric 'dns_queries_total{result="timeout"}' >= 1
    end, 20, "a question to be given up")
    assert.truthy(m:metric 'dns_queries_total{result="found"}' >= 2)
    assert.are.equal(1, m:metric "dns_names")
  end)

  it("serve by their last known addresses while name servers fail, and it is told", function()
    zone [[ ["db.test"] = { a = { "127.0.0.1" }, ttl = 60 } ]]
    local m = start(name_server(), { clock = true }, "timeout = '500ms', stale = '1h'")
    expect_served(m, 5)
    zone [[ every = { code = 2 } ]]
    for _ = 1, 30 do
      m:advance(10)
      expect_served(m, 5)
    end
    m:await_metric("dns_stale_names", 1)
    local line = m:await_log "[^\n]*its last known addresses serve[^\n]*"
    assert.truthy(line:find("name=db.test. answer=failed", 1, true), line)
    local stale = m:status().dns.stale_names
    assert.are.equal("db.test.", stale[1].name)
    assert.are.equal("the name servers fail", stale[1].error)
    assert.truthy(stale[1].seconds >= 230 and stale[1].left <= 3600 - 230, stale[1].seconds)
    local shown = moongate.command { "status", "--control", m.control }
    local names = "1 known, 1 of them by last known addresses: db.test. (the name servers fail; good until"
    assert.truthy(shown.out:gsub("%s+", " "):find(names, 1, true), shown.out)
    local diagnosis = moongate.command { "diagnose", "--control", m.control }
    assert.truthy(diagnosis.out:gsub("%s+", " "):find("db.test. can't be looked up: the name servers fail", 1, true),
      diagnosis.out)
    zone [[ ["db.test"] = { a = { "127.0.0.1" }, ttl = 60 } ]]
    process.wait_for(function()
      m:advance(2)
      expect_served(m, 5)
      return m:metric "dns_stale_names" == 0
    end, 20, "the name to be well again")
    m:await_log "a name is looked up again"
    local _, times = m:log():gsub("msg=\"a name can't be looked up", "")
    assert.are.equal(1, times, m:log())
  end)

  it("are refused when they are stale for longer than dns.stale", function()
    zone [[ ["db.test"] = { a = { "127.0.0.1" }, ttl = 60 } ]]
    local m = start(name_server(), { clock = true }, "timeout = '500ms', stale = '100s'")
    expect_served(m, 5)
    zone [[ every = { code = 2 } ]]
    for _ = 1, 15 do
      m:advance(10)
      expect_served(m, 5)
    end
    m:advance(20)
    assert.is_false(reaches(m))
  end)

  it("are served within a second or so after a name server is back", function()
    zone [[ every = { code = 2 } ]]
    local m = start(name_server())
    assert.is_false(reaches(m))
    m:await_log 'could be reached[^\n]*error="the name servers fail"'
    assert.is_false(reaches(m))
    zone [[ ["db.test"] = { a = { "127.0.0.1" } } ]]
    local well = process.now()
    process.wait_for(function()
      return reaches(m)
    end, 20, "the name")
    assert.truthy(process.now() - well < 8)
  end)

  it("are looked up alike by targets, connect, resolve and the socket library", function()
    zone [[ ["db.test"] = { a = { "127.0.0.1" }, ttl = 60 } ]]
    local options = { clock = true, workers = 1 }
    options.config = ("dns = { servers = %q, timeout = '500ms', tries = 1 }"):format(name_server())
    options.routes = ([[
      local socket = require "socket"
      return { name = "front", match = { ports = 0 }, action = { handler = function(client)
        local target = assert(moongate.connect("db.test.", %d))
        target:close()
        local other = assert(socket.connect("db.test.", %d))
        other:close()
        local addresses = assert(moongate.resolve "db.test.")
        local first = assert(socket.dns.toip "db.test.")
        local list = assert(socket.dns.getaddrinfo "db.test.")
        client:send(table.concat({ addresses[1], first, list[1].addr, list[1].family }, " ") .. "\n")
      end } }
    ]]):format(backend.port, backend.port)
    local m = moongate.start(options)
    for _ = 1, 2 do
      local client = net.connect(m:port "front")
      assert.are.equal("127.0.0.1 127.0.0.1 127.0.0.1 inet", client:receive_line(10), m:log())
      client:close()
      local _, questions = process.read(directory .. "/questions"):gsub("db.test a\n", "")
      assert.are.equal(1, questions)
      zone [[ every = { code = 2 } ]]
    end
    m:advance(100)
    local client = net.connect(m:port "front") -- all of them by the last known addresses
    assert.are.equal("127.0.0.1 127.0.0.1 127.0.0.1 inet", client:receive_line(10), m:log())
    client:close()
  end)

  -- In a mount namespace, where the machine's files are ours.
  local function within()
    process.write(directory .. "/hosts", "")
    process.write(directory .. "/resolv.conf", "nameserver 127.0.0.77\n")
    local script = 'mount --bind "$0/hosts" /etc/hosts && mount --bind "$0/resolv.conf" /etc/resolv.conf && exec "$@"'
    return { "unshare", as_root and "-m" or "-rm", "sh", "-c", script, directory }
  end

  it("follow the hosts file, and resolv.conf, as they are changed in place", function()
    local inside = within()
    if process.run({ unpack(inside), "true" }).status ~= 0 then
      pending "no mount namespaces here: needs root, or user namespaces"
      return
    end
    zone [[ every = { code = 3 } ]]
    local m = start(name_server(), { within = inside })
    assert.is_false(reaches(m))
    process.write(directory .. "/hosts", "127.0.0.1 db.test\n")
    m:await_log "resolv.conf or the hosts file has changed"
    expect_served(m, 5)
    process.write(directory .. "/resolv.conf", "nameserver 127.0.0.78\n")
    m:await_log "nameservers=127.0.0.78"
  end)
end)
