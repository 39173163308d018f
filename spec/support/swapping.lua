-- SPDX-License-Identifier: MIT
--
-- Route files for specs that change them while moongate runs, on addresses of 127.0.0.0/8 that no other process uses
-- (they come from our process id), so that a port can be given up and taken again.

local moongate = require "spec.support.moongate"
local net = require "spec.support.net"
local process = require "spec.support.process"
local unistd = require "posix.unistd"

local swapping = {}

local pid = unistd.getpid()
-- Four million processes from 127.64.0.1 on.
swapping.host = ("127.%d.%d.%d"):format(64 + math.floor(pid / 62500) % 128, math.floor(pid / 250) % 250, pid % 250 + 1)

-- Below the ports that the kernel gives to others. The files of one spec count from 20001 on.
local FIRST_PORT = 20000

-- The port of a file: "a.lua" or "a" has the first one, "b.lua" the second.
function swapping.port(name)
  return FIRST_PORT + name:byte() - 96
end

-- The text of a route, named as the file without ".lua", and the text of its action; `more` of the route.
function swapping.route(name, action, more, port)
  return ("{ name = %q, match = { address = %q, ports = %d }, action = { %s }, %s }"):format(
    name,
    swapping.host,
    port or swapping.port(name),
    action,
    more or ""
  )
end

-- The text of a file with one route, whose handler says "<version> <how many clients before>" to each client, and then
-- "<version>: <line> <which client>" for each line. `before` stands at the top of the file.
function swapping.counting(name, version, more, before)
  return (before or "")
    .. ([[

local version, clients = %q, 0
local function talk(socket)
  socket:send(version .. " " .. clients .. "\n")
  clients = clients + 1
  local mine = clients
  for line in socket:lines() do
    socket:send(version .. ": " .. line .. " " .. mine .. "\n")
  end
end
return ]]):format(version)
    .. swapping.route(name, "handler = talk", more)
    .. "\n"
end

-- The text of a file with one route without functions.
function swapping.forwarding(name, target_port, more)
  return "return " .. swapping.route(name, ("target = '127.0.0.1:%d'"):format(target_port), more) .. "\n"
end

function swapping.connect(name)
  return net.connect(type(name) == "number" and name or swapping.port(name), { host = swapping.host })
end

-- Connects, and has a first line: the connection and the line; nil and what went wrong.
function swapping.open(name)
  local client, message = swapping.connect(name)
  if not client then
    return nil, message
  end
  local line, how = client:receive_line()
  if not line then
    client:close()
    return nil, how
  end
  return client, line
end

-- What a counting file's port says to a new client: the version, and how many there were before. nil when nobody
-- answers.
function swapping.ask(name)
  local client, line = swapping.open(name)
  if not client then
    return nil, line
  end
  client:close()
  local version, count = line:match "^(.*) (%d+)$"
  return version or line, tonumber(count)
end

-- Waits until new clients are answered by that version.
function swapping.await(name, version)
  local found, message
  local fine = pcall(process.wait_for, function()
    found, message = swapping.ask(name)
    return found == version
  end)
  if not fine then
    error(("%s answers %s, not %s"):format(name, found or message, version), 2)
  end
end

-- Waits until new clients are refused.
function swapping.await_refused(name)
  process.wait_for(function()
    local client, message = swapping.connect(name)
    if client then
      client:close()
    end
    return not client and message == "refused"
  end, 10, ("port %s to be closed"):format(name))
end

-- A moongate on those files; all of moongate.start's options.
function swapping.start(routes, options)
  options = options or {}
  options.routes = routes
  return moongate.start(options)
end

return swapping
