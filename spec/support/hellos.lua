-- SPDX-License-Identifier: MIT
--
-- ClientHellos for specs: those that real clients have sent, which are the seeds of the fuzzer too, and the same
-- message put into other records; and the routes that they are told apart by.

local net = require "spec.support.net"
local posix = require "posix.sys.socket"
local process = require "spec.support.process"

local hellos = {}

-- By name: { bytes =, domain = }, with the domain that it names, nil for none.
hellos.recorded = {}
for name, domain in pairs {
  chromium = "www.example.com",
  curl = "b.example.com",
  openssl_1_3 = "a.example.com",
  openssl_1_2 = "a.example.com",
  openssl_no_name = false,
} do
  -- The first byte is for the fuzzer.
  local bytes = process.read("fuzz/corpus/client_hello/" .. name):sub(2)
  assert(bytes:sub(1, 2) == "\22\3", "no hello in the fuzzer's corpus: " .. name)
  hellos.recorded[name] = { bytes = bytes, domain = domain or nil }
end

-- The handshake message of a hello in one record, in records of `size` bytes.
function hellos.in_records(bytes, size)
  local records, message = {}, bytes:sub(6)
  for at = 1, #message, size do
    local part = message:sub(at, at + size - 1)
    records[#records + 1] = "\22\3\1" .. string.char(math.floor(#part / 256), #part % 256) .. part
  end
  return table.concat(records)
end

-- A hello of TLS 1.2 with a server_name of any bytes (nil: none), and `extra` bytes of an extension nobody knows.
function hellos.make(name, extra)
  local function number(value, width)
    local bytes = ""
    for _ = 1, width do
      bytes, value = string.char(value % 256) .. bytes, math.floor(value / 256)
    end
    return bytes
  end
  local function with_length(bytes, width)
    return number(#bytes, width) .. bytes
  end
  local extensions = ""
  if name then
    extensions = "\0\0" .. with_length(with_length("\0" .. with_length(name, 2), 2), 2)
  end
  extensions = extensions .. "\18\52" .. with_length(("x"):rep(extra or 0), 2)
  local body = "\3\3" .. ("r"):rep(32) .. "\0" .. with_length("\19\1", 2) .. "\1\0" .. with_length(extensions, 2)
  local message = "\1" .. with_length(body, 3)
  return hellos.in_records(("x"):rep(5) .. message, 16384)
end

-- The text of a file with a passthrough route for each of `list`: { name =, target = a port }, and as texts domains
-- and what else stands in match.
function hellos.routes(port, list)
  local routes = {}
  for i, route in ipairs(list) do
    local domains = route.domains and ("domains = %s,"):format(route.domains) or ""
    local action = ("target = '127.0.0.1:%d', tls = { mode = 'passthrough' }"):format(route.target)
    routes[i] = ("  { name = %q, match = { ports = %d, %s %s }, action = { %s } },"):format(
      route.name,
      port,
      domains,
      route.match or "",
      action
    )
  end
  return "return {\n" .. table.concat(routes, "\n") .. "\n}"
end

-- Each piece goes out at once, in a segment of its own where the kernel can.
function hellos.no_delay(connection)
  posix.setsockopt(connection.fd, posix.IPPROTO_TCP, posix.TCP_NODELAY, 1)
  return connection
end

function hellos.connect(port)
  return hellos.no_delay(assert(net.connect(port)))
end

return hellos
