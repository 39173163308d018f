-- SPDX-License-Identifier: MIT
--
-- Clients from any address, for specs: to a moongate that trusts loopback they say in a PROXY header who they are. What
-- they are let in to is a handler that greets, so that whoever is let in can be told from whoever is not.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"

local clients = {}

-- For the config: loopback may say who its clients are.
clients.TRUST = 'proxy_protocol = { trusted = { "127.0.0.1" }, timeout = "10s" },'

-- For a route's action: says who the client is taken for, then echoes lines.
clients.GREET = [[handler = function(socket, context)
    socket:send(context.client_ip .. "\n")
    for line in socket:lines() do socket:send(line .. "\n") end
  end]]

function clients.header(ip)
  local family = ip:find(":", 1, true) and "6" or "4"
  return ("PROXY TCP%s %s %s 40000 443\r\n"):format(family, ip, family == "6" and "2001:db8::ffff" or "198.51.100.1")
end

-- A moongate with a route "front" that greets; more of its config, more of the route, and options of moongate.start().
function clients.start(config, route, options)
  options = options or {}
  options.config = clients.TRUST .. (config or "")
  options.routes = options.routes or moongate.front(clients.GREET, nil, route)
  return moongate.start(options)
end

-- A reset that comes early is told by a call that sends, and by that one alone.
local function introduce(client, ip)
  local fine, how = client:connected()
  if fine then
    fine, how = client:send(clients.header(ip))
  end
  client.refused = not fine and how
end

-- The greeting; nil: the client was reset.
local function greeting_of(client)
  local greeting, how = client:receive_line()
  how = client.refused or how
  assert(greeting or how == "reset", how)
  return greeting
end

-- A connection of a client from `ip`, to the port of a route ("front").
function clients.connect(m, ip, route)
  local client = assert(net.connect(m:port(route or "front")))
  introduce(client, ip)
  return client
end

-- The same, and what became of it: true and the connection; or false, and it was reset.
function clients.enter(m, ip, route)
  local client = clients.connect(m, ip, route)
  local greeting = greeting_of(client)
  if greeting then
    assert(greeting == ip, "taken for " .. greeting)
    return true, client
  end
  client:close()
  return false
end

-- How many of `count` connections from `ip`, begun all at once, get in; and these.
function clients.race(m, ip, count, route)
  local port, opened, admitted = m:port(route or "front"), {}, {}
  for i = 1, count do
    opened[i] = assert(net.start_connecting(port))
  end
  for _, client in ipairs(opened) do
    introduce(client, ip)
  end
  for _, client in ipairs(opened) do
    if greeting_of(client) then
      admitted[#admitted + 1] = client
    else
      client:close()
    end
  end
  return #admitted, admitted
end

function clients.refusals(m, reason)
  return m:metric(('connection_terminations_total{side="client",reason="%s"}'):format(reason))
end

function clients.await_refusals(m, reason, count)
  return m:await_metric(('connection_terminations_total{side="client",reason="%s"}'):format(reason), count)
end

-- Lines of one reason are a second apart: enters in vain until the log has the pattern.
function clients.await_refusal_log(m, pattern, ip, route)
  process.wait_for(function()
    if m.clock_path then
      m:advance(1)
    end
    assert(not clients.enter(m, ip, route), "let in")
    return m:log():find("client was refused[^\n]*" .. pattern)
  end, 10, "the log to have " .. pattern)
end

-- Changes the config, text for text, and reloads.
function clients.reconfigure(m, text, instead)
  local config = process.read(m.config_path)
  local from, to = config:find(text, 1, true)
  assert(from, "the config does not have " .. text)
  process.write(m.config_path, config:sub(1, from - 1) .. instead .. config:sub(to + 1))
  local done = m:reload()
  assert(done.status == 0, done.err)
end

return clients
