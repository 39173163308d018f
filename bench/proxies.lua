-- SPDX-License-Identifier: MIT
--
-- The proxies that are compared: what each needs to be there, and its configuration for one listening port and one
-- target. All get one worker, no access log, timeouts that never fire, and are otherwise as their makers deliver them.

local stat = require "posix.sys.stat"
local unistd = require "posix.unistd"

local proxies = {}

local nginx_stream = "/usr/lib/nginx/modules/ngx_stream_module.so"

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

local function program_find(name)
  if name:find("/", 1, true) then
    return unistd.access(name, "x") and name or nil
  end
  for directory in (os.getenv "PATH" .. ":/usr/sbin:/sbin"):gmatch "[^:]+" do
    local path = directory .. "/" .. name
    if unistd.access(path, "x") then
      return path
    end
  end
end

local function needed(name, hint)
  local path = program_find(name)
  if path then
    return path
  end
  return nil, ("%s is not there (%s)"):format(name, hint)
end

-- Each returns the command line, or nil and why it can't be run. `directory` is its own and empty; `environment` has
-- `moongate` and `programs`, the paths of the binary and of the directory of floor.

local function moongate(config, action)
  return function(environment, directory, port, target_port, admin_port)
    local path, err = needed(environment.moongate, "./dev build makes it")
    if not path then
      return nil, err
    end
    stat.mkdir(directory .. "/routes", 448)
    stat.mkdir(directory .. "/state", 448)
    write(directory .. "/moongate.lua", ([[
return {
  workers = 1,
  admin = { listen = "127.0.0.1:%d" },
  control = "%s/control.sock",
  state = "%s/state",
  log = { level = "warn" },
  %s
}
]]):format(admin_port, directory, directory, config))
    write(directory .. "/routes/bench.lua", ([[
return {
  name = "bench",
  match = { ports = %d, address = "127.0.0.1" },
  action = { target = "127.0.0.1:%d", %s },
}
]]):format(port, target_port, action))
    return { path, "run", "--config", directory .. "/moongate.lua", "--routes", directory .. "/routes" }
  end
end

proxies.moongate = moongate("", "")
proxies["moongate PROXY"] = moongate(
  'proxy_protocol = { trusted = { "127.0.0.1" }, accept = true },',
  "send_proxy_protocol = 1"
)

-- It reserves descriptors for the pipes of as many connections as it may get.
local function haproxy(connections, options, bind, server)
  return function(_, directory, port, target_port)
    local path, err = needed("haproxy", "package haproxy")
    if not path then
      return nil, err
    end
    write(directory .. "/haproxy.cfg", ([[
global
  nbthread 1
  maxconn %d
defaults
  mode tcp
  timeout connect 10s
  timeout client 1h
  timeout server 1h
  %s
frontend bench
  bind 127.0.0.1:%d %s
  default_backend target
backend target
  server target 127.0.0.1:%d %s
]]):format(connections, options, port, bind or "", target_port, server or ""))
    return { path, "-db", "-f", directory .. "/haproxy.cfg" }
  end
end

proxies.haproxy = haproxy(9500, "")
proxies["haproxy PROXY"] = haproxy(9500, "", "accept-proxy", "send-proxy")
proxies["haproxy splice"] = haproxy(2000, "option splice-request\n  option splice-response")
proxies["haproxy splice-auto"] = haproxy(2000, "option splice-auto")

local function nginx(listen, directive)
  return function(_, directory, port, target_port)
    local path, err = needed("nginx", "packages nginx-core and libnginx-mod-stream")
    if not path then
      return nil, err
    end
    if not unistd.access(nginx_stream, "r") then
      return nil, nginx_stream .. " is not there (package libnginx-mod-stream)"
    end
    -- Without a master the one process is a worker, and its process id is known.
    write(directory .. "/nginx.conf", ([[
load_module %s;
daemon off;
master_process off;
worker_processes 1;
pid %s/nginx.pid;
error_log stderr warn;
events {
  worker_connections 19000;
}
stream {
  access_log off;
  server {
    listen 127.0.0.1:%d%s;
    proxy_pass 127.0.0.1:%d;
    proxy_timeout 1h;
    %s
  }
}
]]):format(nginx_stream, directory, port, listen, target_port, directive))
    return { path, "-p", directory, "-c", directory .. "/nginx.conf", "-e", "stderr" }
  end
end

proxies.nginx = nginx("", "")
proxies["nginx PROXY"] = nginx(" proxy_protocol", "proxy_protocol on;")

local function floor(option)
  return function(environment, _, port, target_port)
    local path, err = needed(environment.programs .. "/floor", "./dev bench builds it")
    if not path then
      return nil, err
    end
    return { path, tostring(port), tostring(target_port), option }
  end
end

proxies.floor = floor(nil)
proxies["floor --splice"] = floor "--splice"

return proxies
