-- SPDX-License-Identifier: MIT
--
-- Other programs beside moongate: nginx and haproxy as targets, curl as client, and the traffic programs of this
-- directory, which ctest builds and names the place of.

local cjson = require "cjson"
local net = require "spec.support.net"
local process = require "spec.support.process"

local peers = {}

local support = os.getenv "MOONGATE_SUPPORT" or "build/support"

local function await_port(child, port)
  process.wait_for(function()
    assert(child:alive(), child.name .. " ended:\n" .. child:err())
    local connection = net.connect(port)
    if connection then
      connection:close()
    end
    return connection
  end, 10, child.name)
end

-- nginx with one server on a port of its own and on a unix socket: { port =, path =, directory = }. What is in
-- `directory`/html is served. `listen`: what else stands behind the port, and directives after a semicolon.
function peers.nginx(listen)
  local directory = process.directory()
  os.execute(("mkdir %s/html %s/tmp; chmod -R 755 %s"):format(directory, directory, directory))
  local port = net.free_ports(1, "127.0.0.1")
  local config = ([[
daemon off; master_process off; pid DIR/pid; error_log DIR/error.log;
events { worker_connections 512; }
http {
  access_log off;
  client_body_temp_path DIR/tmp; proxy_temp_path DIR/tmp; fastcgi_temp_path DIR/tmp;
  uwsgi_temp_path DIR/tmp; scgi_temp_path DIR/tmp;
  server { listen 127.0.0.1:PORT LISTEN; listen unix:DIR/socket; root DIR/html; }
}
]]):gsub("DIR", directory):gsub("PORT", port):gsub("LISTEN", listen or "")
  process.write(directory .. "/nginx.conf", config)
  local errors = directory .. "/error.log"
  local child = process.start { "nginx", "-p", directory, "-c", directory .. "/nginx.conf", "-e", errors }
  await_port(child, port)
  return { port = port, path = directory .. "/socket", directory = directory, process = child }
end

-- A key and a certificate for a name: the two paths.
local function certificate(name)
  local directory = process.directory()
  local key, cert = directory .. "/key.pem", directory .. "/cert.pem"
  local made = process.run {
    "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
    "-subj", "/CN=" .. name, "-keyout", key, "-out", cert,
  }
  assert(made.status == 0, made.err)
  return key, cert
end

-- openssl's s_server with a certificate for a name, which answers HTTP with a page about the connection: { port = }.
function peers.tls_server(name)
  local key, cert = certificate(name)
  local port = net.free_ports(1, "127.0.0.1")
  local at = "127.0.0.1:" .. port
  local child = process.start { "openssl", "s_server", "-accept", at, "-key", key, "-cert", cert, "-www" }
  await_port(child, port)
  return { port = port, process = child }
end

-- nginx that ends TLS: { port =, directory = }.
function peers.nginx_tls()
  local key, cert = certificate "localhost"
  return peers.nginx(("ssl; ssl_certificate %s; ssl_certificate_key %s"):format(cert, key))
end

-- haproxy in TCP mode before a port: { port = }. options.bind and options.server: what else stands in these lines, such
-- as "accept-proxy" and "send-proxy-v2"; options.listen: a line of its own.
function peers.haproxy(target, options)
  options = options or {}
  local directory = process.directory()
  local port = net.free_ports(1, "127.0.0.1")
  process.write(directory .. "/haproxy.cfg", ([[
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen front
  bind 127.0.0.1:%d %s
  %s
  server back 127.0.0.1:%d %s
]]):format(port, options.bind or "", options.listen or "", target, options.server or ""))
  local child = process.start { "haproxy", "-db", "-q", "-f", directory .. "/haproxy.cfg" }
  await_port(child, port)
  return { port = port, process = child }
end

-- curl: { status =, out =, err = }, out is the body.
function peers.curl(words)
  return process.run { "curl", "-sS", "--noproxy", "*", "--max-time", "15", unpack(words) }
end

-- A traffic server (see server.c): { port =, totals() }, totals() ends it and returns what it counted.
function peers.server(behaviour, ...)
  local child = process.start { support .. "/server", behaviour or "exchange", ... }
  local first = process.wait_for(function()
    assert(child:alive(), "the traffic server does not start: " .. child:err())
    return child:out():match "^(.-)\n"
  end, 10, "the traffic server")
  local server = { port = cjson.decode(first).port, process = child }
  function server.totals()
    child:stop()
    return cjson.decode(child:out():match "\n(.+)\n")
  end
  return server
end

local function words_of(options)
  local words = {}
  for name, value in pairs(options) do
    words[#words + 1] = "--" .. name:gsub("_", "-")
    words[#words + 1] = type(value) == "table" and table.concat(value, ",") or tostring(value)
  end
  return unpack(words)
end

-- Starts traffic clients (see client.c), options by their names there, lists as tables. The answer's finish(seconds)
-- waits for the end and returns what was counted, with `errors`.
function peers.start_clients(options)
  local child = process.start { support .. "/client", words_of(options) }
  local clients = { process = child }
  function clients.finish(seconds)
    assert(child:wait(seconds or 60), "the traffic clients do not come to an end")
    local counted = cjson.decode(child:out())
    counted.errors = child:err()
    return counted
  end
  return clients
end

function peers.clients(options, seconds)
  return peers.start_clients(options).finish(seconds)
end

return peers
