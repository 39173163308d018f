-- SPDX-License-Identifier: MIT
--
-- The proxies of `bench/run swap`: each with a forwarding port beside 10,000 routes that answer by themselves, and with
-- a way to change one answer while it runs: moongate's file is saved; HAProxy and nginx get a new configuration and are
-- told to reload. Each function returns the command line and { ask_port, host, save(version) }, or nil and why it can't
-- be run. Arguments as in proxies.lua; `size` is { files =, routes = (of each) }.

local process = require "process"
local proxies = require "proxies"
local signal = require "posix.signal"
local stat = require "posix.sys.stat"
local unistd = require "posix.unistd"

local swap_proxies = {}

local nginx_stream = "/usr/lib/nginx/modules/ngx_stream_module.so"

-- Aside and renamed, as editors and deployments do.
local function write(path, text)
  local file = assert(io.open(path .. ".new~", "w"))
  file:write(text)
  file:close()
  assert(os.rename(path .. ".new~", path))
end

-- One file: its routes share a port, and differ by priority; each has a handler of its own. The first one answers.
local function route_file(number, count, port, version)
  local parts = { ("-- %d: %s\nreturn {\n"):format(number, version) }
  for i = 1, count do
    parts[#parts + 1] = ([[
  {
    name = "file%d-route%d",
    priority = %d,
    match = { ports = %d, address = "127.0.0.1" },
    action = {
      handler = function(socket)
        socket:receive "*l"
        socket:send "HTTP/1.0 200 OK\r\n\r\n%s"
      end,
    },
  },
]]):format(number, i, count - i, port, i == 1 and version or "route " .. i)
  end
  parts[#parts + 1] = "}\n"
  return table.concat(parts)
end

function swap_proxies.moongate(size)
  return function(environment, directory, port, target_port, admin_port)
    local argv, err = proxies.moongate(environment, directory, port, target_port, admin_port)
    if not argv then
      return nil, err
    end
    local middle, ask_port = math.ceil(size.files / 2), nil
    local ports = process.free_ports(size.files)
    for number = 1, size.files do
      local path = ("%s/routes/file%03d.lua"):format(directory, number)
      write(path, route_file(number, size.routes, ports[number], "v0"))
      ask_port = number == middle and ports[number] or ask_port
    end
    return argv, {
      ask_port = ask_port,
      save = function(version)
        local path = ("%s/routes/file%03d.lua"):format(directory, middle)
        write(path, route_file(middle, size.routes, ask_port, version))
      end,
    }
  end
end

-- A map from names to backends is how HAProxy is told of thousands; each backend answers by itself. The new process
-- takes the listeners over from the old one (-x), which stays until its connections have ended.
function swap_proxies.haproxy(size)
  return function(environment, directory, port, target_port)
    local argv, err = proxies.haproxy(environment, directory, port, target_port)
    if not argv then
      return nil, err
    end
    local config, socket, ask_port = directory .. "/haproxy.cfg", directory .. "/socket", process.free_port()
    local count = size.files * size.routes
    local map = {}
    for i = 1, count do
      map[i] = ("host%d.test back%d"):format(i, i)
    end
    write(directory .. "/names.map", table.concat(map, "\n") .. "\n")
    local function configure(version)
      local parts = { ([[
global
  nbthread 1
  maxconn 2000
  stats socket %s mode 600 level admin expose-fd listeners
defaults
  timeout connect 10s
  timeout client 1h
  timeout server 1h
frontend bench
  mode tcp
  bind 127.0.0.1:%d
  default_backend target
backend target
  mode tcp
  server target 127.0.0.1:%d
frontend names
  mode http
  bind 127.0.0.1:%d
  use_backend %%[req.hdr(host),map(%s/names.map)]
]]):format(socket, port, target_port, ask_port, directory) }
      for i = 1, count do
        parts[#parts + 1] = ("backend back%d\n  mode http\n  http-request return content-type text/plain string %s\n")
          :format(i, i == 1 and version or "route-" .. i)
      end
      write(config, table.concat(parts))
    end
    configure "v0"
    local more = { ask_port = ask_port, host = "host1.test" }
    local latest
    function more.save(version, pid)
      configure(version)
      local old = tostring(latest and latest.pid or pid)
      latest = process.start({ argv[1], "-db", "-q", "-f", config, "-x", socket, "-sf", old },
        { core = environment.core, log = directory .. "/log" })
    end
    function more.latest()
      return latest
    end
    argv[#argv + 1] = "-q" -- else it says of each of the 10,000 that it stopped
    return argv, more
  end
end

function swap_proxies.nginx(size)
  return function(environment, directory, port, target_port)
    local argv, err = proxies.nginx(environment, directory, port, target_port)
    if not argv then
      return nil, err
    end
    local config, ask_port = directory .. "/nginx.conf", process.free_port()
    for _, name in ipairs { "body", "proxy", "fastcgi", "uwsgi", "scgi" } do
      stat.mkdir(directory .. "/" .. name, 448)
    end
    local function configure(version)
      local parts = { ([[
load_module %s;
daemon off;
%s
worker_processes 1;
pid %s/nginx.pid;
error_log stderr warn;
events {
  worker_connections 2000;
}
stream {
  access_log off;
  server {
    listen 127.0.0.1:%d;
    proxy_pass 127.0.0.1:%d;
    proxy_timeout 1h;
  }
}
http {
  access_log off;
  default_type text/plain;
  server_names_hash_max_size 65536;
  client_body_temp_path %s/body;
  proxy_temp_path %s/proxy;
  fastcgi_temp_path %s/fastcgi;
  uwsgi_temp_path %s/uwsgi;
  scgi_temp_path %s/scgi;
]]):format(nginx_stream, unistd.geteuid() == 0 and "user root;" or "", directory, port, target_port, directory,
        directory, directory, directory, directory) }
      for i = 1, size.files * size.routes do
        parts[#parts + 1] = ("server { listen 127.0.0.1:%d; server_name host%d.test; return 200 %s; }\n"):format(
          ask_port, i, i == 1 and version or "route-" .. i)
      end
      parts[#parts + 1] = "}\n"
      write(config, table.concat(parts))
    end
    configure "v0"
    return argv, {
      ask_port = ask_port,
      host = "host1.test",
      save = function(version, pid)
        configure(version)
        signal.kill(pid, signal.SIGHUP) -- what `nginx -s reload` comes to
      end,
    }
  end
end

return swap_proxies
