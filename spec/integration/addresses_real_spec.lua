-- SPDX-License-Identifier: MIT
--
-- Limits and lists with addresses that clients really have: moongate runs in a network namespace of its own, and
-- clients come over a pair of virtual interfaces. Needs root.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local netns = require "spec.support.netns"
local process = require "spec.support.process"
local subnet = require "spec.support.subnet"
local unistd = require "posix.unistd"

local FRONT4, FRONT6 = subnet.address(1), subnet.address6(1)
local FIRST, SECOND, THIRD = subnet.address(2), subnet.address(3), subnet.address(4)
local FIRST6, SECOND6 = subnet.address6(2), subnet.address6(3)

local ip = netns.ip

describe("real addresses", function()
  local space = "moongate-spec-" .. unistd.getpid()
  local here, there = "mgs" .. unistd.getpid(), "mgt" .. unistd.getpid()
  local ready = false

  setup(function()
    ready = unistd.geteuid() == 0
      and netns.add(space)
      and ip(("link add %s type veth peer name %s netns %s"):format(here, there, space))
      and ip(("-n %s addr add %s/%d dev %s"):format(space, FRONT4, subnet.PREFIX, there))
      and ip(("-n %s addr add %s/%d dev %s nodad"):format(space, FRONT6, subnet.PREFIX6, there))
      and ip(("-n %s link set lo up"):format(space))
      and ip(("-n %s link set %s up"):format(space, there))
    for _, address in ipairs { FIRST, SECOND, THIRD } do
      ready = ready and ip(("addr add %s/%d dev %s"):format(address, subnet.PREFIX, here))
    end
    for _, address in ipairs { FIRST6, SECOND6 } do
      ready = ready and ip(("addr add %s/%d dev %s nodad"):format(address, subnet.PREFIX6, here))
    end
    ready = ready and ip(("link set %s up"):format(here))
  end)

  teardown(function()
    ip("link del " .. here)
    netns.remove(space)
  end)

  after_each(moongate.finish)

  local function start(config, security)
    if not ready then
      pending "needs root, and network namespaces"
      return nil
    end
    local handler = 'handler = function(socket, context) socket:send(context.client_ip .. "\\n") socket:receive() end'
    return moongate.start {
      within = { "ip", "netns", "exec", space },
      config = config,
      routes = moongate.front(handler, nil, security and ("security = { %s }"):format(security)),
    }
  end

  -- What a client from that address is greeted with; nil: it was reset.
  local function enter(m, from)
    local client = assert(net.connect(m:port "front", { host = from:find ":" and FRONT6 or FRONT4, from = from }))
    local greeting, how = client:receive_line()
    assert(greeting or how == "reset", how)
    return greeting
  end

  it("are counted one by one, and IPv6 ones by their prefix", function()
    local m = start "limits = { connections_per_ip = 2 },"
    if not m then
      return
    end
    for _, from in ipairs { FIRST, SECOND } do
      assert.are.equal(from, enter(m, from))
      assert.are.equal(from, enter(m, from))
      assert.is_nil(enter(m, from))
    end
    assert.are.equal(THIRD, enter(m, THIRD))
    assert.are.equal(FIRST6, enter(m, FIRST6))
    assert.are.equal(SECOND6, enter(m, SECOND6))
    assert.is_nil(enter(m, FIRST6))
    local answer = m:ask("/api/v1/addresses", { client = "fd6d::/16" })
    assert.are.equal(("%s/%d"):format(subnet.address6(0), subnet.PREFIX6), answer.addresses[1].address)
    m:await_metric('connection_terminations_total{side="client",reason="limit_ip"}', 3)
  end)

  it("are blocked and allowed, in the config and in a route", function()
    local m = start(
      ("security = { ip_block = { %q } },"):format(SECOND),
      ('ip_allow = { "%s/%d" }, ip_block = { %q }'):format(subnet.address(0), subnet.PREFIX, THIRD)
    )
    if not m then
      return
    end
    assert.are.equal(FIRST, enter(m, FIRST))
    assert.is_nil(enter(m, SECOND))
    assert.is_nil(enter(m, THIRD))
    assert.is_nil(enter(m, FIRST6))
    m:await_metric('connection_terminations_total{side="client",reason="not_allowed"}', 3)
  end)

  it("of a stranger can't be replaced by a PROXY header", function()
    local m = start(("proxy_protocol = { trusted = { %q }, timeout = '10s' },"):format(FIRST))
    if not m then
      return
    end
    local header = "PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n"
    local trusted = assert(net.connect(m:port "front", { host = FRONT4, from = FIRST }))
    trusted:send(header)
    assert.are.equal("192.0.2.7", (trusted:receive_line()))
    local stranger = assert(net.connect(m:port "front", { host = FRONT4, from = SECOND }))
    stranger:send(header)
    assert.are_not.equal("192.0.2.7", (stranger:receive_line()))
    m:await_metric('errors_total{type="proxy_header"}', 1)
    process.wait_for(function()
      return m:log():find("peer=" .. SECOND, 1, true)
    end)
  end)
end)
