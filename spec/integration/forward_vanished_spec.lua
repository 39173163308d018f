-- SPDX-License-Identifier: MIT
--
-- Peers that vanish without a word while bytes are on their way to them: moongate runs in a network namespace of its
-- own, between two virtual cables that can be pulled, one to the client and one to the target. Needs root.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local netns = require "spec.support.netns"
local process = require "spec.support.process"
local subnet = require "spec.support.subnet"
local unistd = require "posix.unistd"

-- Of each cable: the address in the namespace, and ours.
local CABLES = {
  client = { name = "mgc" .. unistd.getpid(), inner = subnet.address(1), outer = subnet.address(2) },
  target = { name = "mgd" .. unistd.getpid(), inner = subnet.address(9), outer = subnet.address(10) },
}

local ip = netns.ip

describe("a peer that vanishes", function()
  local space = "moongate-vanish-" .. unistd.getpid()
  local ready = false

  local function lay(cable)
    return ip(("link add %s type veth peer name %sx netns %s"):format(cable.name, cable.name, space))
      and ip(("-n %s addr add %s/%d dev %sx"):format(space, cable.inner, subnet.HALF, cable.name))
      and ip(("-n %s link set %sx up"):format(space, cable.name))
      and ip(("addr add %s/%d dev %s"):format(cable.outer, subnet.HALF, cable.name))
      and ip(("link set %s up"):format(cable.name))
  end

  local function pull(side)
    assert(ip(("link set %s down"):format(CABLES[side].name)))
  end

  before_each(function()
    ready = unistd.geteuid() == 0
      and netns.add(space)
      and ip(("-n %s link set lo up"):format(space))
      and lay(CABLES.client)
      and lay(CABLES.target)
  end)

  after_each(function()
    moongate.finish()
    ip("link del " .. CABLES.client.name)
    ip("link del " .. CABLES.target.name)
    netns.remove(space)
  end)

  -- A moongate, and one connection through it: both ends. nil: it can't be tried here.
  local function start(options)
    if not ready then
      pending "needs root, and network namespaces"
      return nil
    end
    local target = net.listen { host = CABLES.target.outer, receive_buffer = options.receive_buffer }
    local m = moongate.start {
      within = { "ip", "netns", "exec", space },
      config = ('keep_alive = "immortal", tcp = { %s },'):format(options.tcp or "unacknowledged = '2s'"),
      routes = moongate.front((options.action or "target = '%s:%d'"):format(CABLES.target.outer, target:port())),
    }
    local client = assert(net.connect(m:port "front", {
      host = CABLES.client.inner,
      receive_buffer = options.receive_buffer,
    }))
    local pair = { client = client, target = assert(target:accept()) }
    pair.client:send "x"
    assert.are.equal("x", (pair.target:receive(1)))
    pair.target:send "y"
    assert.are.equal("y", (pair.client:receive(1)))
    process.nap(1.2) -- it has been looked at, and all was well
    return m, pair
  end

  local function fill(sender)
    local quiet = 0
    repeat
      local ok, _, count = sender:send(("x"):rep(65536), 0)
      quiet = not ok and count == 0 and quiet + 1 or 0
      process.nap(quiet > 0 and 0.02 or 0)
    until quiet == 10
  end

  for _, side in ipairs { "client", "target" } do
    local other = side == "client" and "target" or "client"

    it(("with bytes on their way is found, though the other side goes on: the %s"):format(side), function()
      local m, pair = start {}
      if not m then
        return
      end
      pull(side)
      local class, reset
      process.wait_for(function()
        reset = reset or select(2, pair[other]:send "some more") == "reset"
        local row = m:live_connections().connections[1]
        if row and row.class and row.class.name == "silent" then
          class = row
        end
        process.nap(0.05)
        return reset and not row
      end, 30, "the end of it")
      assert.are.same({ "reset", 2 }, { class.deadline.reason, class.class.limit })
      assert.are.equal(1, m:metric(('connection_terminations_total{side="%s",reason="reset"}'):format(side)))
      assert.truthy(m:log():find("a peer acknowledges nothing any more[^\n]* side=" .. side), m:log())
    end)

    it(("while it does not read is found: the %s"):format(side), function()
      local m, pair = start { receive_buffer = 4096 }
      if not m then
        return
      end
      fill(pair[other])
      pull(side)
      m:await_idle(30)
      assert.are.equal(1, m:metric(('connection_terminations_total{side="%s",reason="reset"}'):format(side)))
      assert.are.equal("reset", select(2, pair[other]:receive_all()))
    end)

    it(("is none that is there and does not read: the %s"):format(side), function()
      local m, pair = start { receive_buffer = 4096, tcp = "unacknowledged = '1s'" }
      if not m then
        return
      end
      fill(pair[other])
      process.nap(5)
      assert.are.equal(1, m:metric 'connections_by_state{state="forwarding"}')
      pair[other]:shutdown()
      assert.are.equal("end", select(2, pair[side]:receive_all(30)))
    end)
  end

  local connected = "handler = function(s) local o = moongate.connect('%s', %d) s:pipe(o) end"

  it("ends a handler's pipe", function()
    for _, side in ipairs { "client", "target" } do
      local m, pair = start { action = connected }
      if not m then
        return
      end
      local other = side == "client" and "target" or "client"
      pair[other]:send "some"
      assert.are.equal("some", (pair[side]:receive(4)))
      pull(side)
      pair[other]:send "more"
      m:await_idle(30)
      m:stop()
      assert(ip(("link set %s up"):format(CABLES[side].name)))
    end
  end)

  local waiting = "handler = function(s) local o = moongate.connect('%s', %d) o:send(s:receive(1)) "
    .. "s:send(o:receive(1)) %%s local _, why = o:receive(1) s:send(why) end"

  it("is 'closed' for a handler that waits for its answer", function()
    local m, pair = start { action = waiting:gsub("%%%%s", "s:receive(1) o:send('question')") }
    if not m then
      return
    end
    pull "target"
    pair.client:send "z"
    assert.are.same({ "closed", "end" }, { pair.client:receive_all(30) })
  end)

  it("is 'closed' for a handler that waits for its word, by TCP's probes", function()
    local m, pair = start {
      action = waiting:gsub("%%%%s", ""),
      tcp = "probe_after = '1s', probe_interval = '1s', probes = 1",
    }
    if not m then
      return
    end
    pull "target"
    assert.are.same({ "closed", "end" }, { pair.client:receive_all(30) })
  end)

  it("ends the handler whose client it is", function()
    local m, pair = start { action = waiting:gsub("%%%%s", "s:receive(1) s:send('answer') o:receive(1) s:send('!')") }
    if not m then
      return
    end
    pair.client:send "z"
    assert.are.equal("answer", (pair.client:receive(6)))
    pull "client"
    pair.target:send "z"
    m:await_idle(30)
    assert.are.equal(1, m:metric 'connection_terminations_total{side="client",reason="reset"}')
  end)
end)
