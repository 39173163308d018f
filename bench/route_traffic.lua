-- SPDX-License-Identifier: MIT
--
-- What a table of many names costs a connection: TLS connections passed through by their server name, among 100 names
-- and among 100,000, in moongate's routes and in the maps of haproxy and nginx (hello.c is client and target).

local cjson = require "cjson"
local process = require "process"
local stat = require "posix.sys.stat"
local unistd = require "posix.unistd"

local traffic = {}

local COUNTS = { 100, 100000 }
local NAMES = { "moongate", "haproxy", "nginx" }
local MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

-- One line a name, as `form` says, into a file.
local function write_names(path, names, form)
  local lines = {}
  for i, name in ipairs(names) do
    lines[i] = form:format(name)
  end
  write(path, table.concat(lines, "\n") .. "\n")
end

local function find(name)
  for directory in (os.getenv "PATH" .. ":/usr/sbin:/sbin"):gmatch "[^:]+" do
    if unistd.access(directory .. "/" .. name, "x") then
      return directory .. "/" .. name
    end
  end
end

-- Each writes its configuration and returns the command line; nil: it is not there. `where` has directory, port,
-- target, and the names.
local makes = {}

function makes.moongate(where, options)
  stat.mkdir(where.directory .. "/routes", 448)
  write(where.directory .. "/moongate.lua", ([[
return { workers = 1, admin = { listen = "127.0.0.1:%d" }, control = "%s/control.sock", state = "%s/state",
  limits = { connections_per_ip = 0, connection_rate = 0 }, log = { level = "warn" } }
]]):format(process.free_port(), where.directory, where.directory))
  write(where.directory .. "/routes/names.lua", ([[
local routes = {}
local names = %q
for name in names:gmatch "%%S+" do
  routes[#routes + 1] = { name = name, match = { ports = %d, address = "127.0.0.1", domains = name },
    action = { target = "127.0.0.1:%d", tls = { mode = "passthrough" } } }
end
return routes
]]):format(table.concat(where.names, " "), where.port, where.target))
  return { options.moongate, "run", "--config", where.directory .. "/moongate.lua", "--routes",
    where.directory .. "/routes" }
end

function makes.haproxy(where)
  local path = find "haproxy"
  write_names(where.directory .. "/names.map", where.names, "%s target")
  write(where.directory .. "/haproxy.cfg", ([[
global
  nbthread 1
  maxconn 9500
defaults
  mode tcp
  timeout connect 10s
  timeout client 1h
  timeout server 1h
frontend bench
  bind 127.0.0.1:%d
  tcp-request inspect-delay 5s
  tcp-request content accept if { req.ssl_hello_type 1 }
  use_backend %%[req.ssl_sni,lower,map_str(%s/names.map)]
backend target
  server target 127.0.0.1:%d
]]):format(where.port, where.directory, where.target))
  return path and { path, "-db", "-f", where.directory .. "/haproxy.cfg" }
end

function makes.nginx(where)
  local path = unistd.access(MODULE, "r") and find "nginx"
  write_names(where.directory .. "/names.map", where.names, "%s 127.0.0.1:" .. where.target .. ";")
  write(where.directory .. "/nginx.conf", ([[
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
  map_hash_max_size 262144;
  map_hash_bucket_size 128;
  map $ssl_preread_server_name $target {
    include %s/names.map;
  }
  server {
    listen 127.0.0.1:%d;
    ssl_preread on;
    proxy_pass $target;
    proxy_timeout 1h;
  }
}
]]):format(MODULE, where.directory, where.directory, where.port))
  return path and { path, "-p", where.directory, "-c", where.directory .. "/nginx.conf", "-e", "stderr" }
end

-- Microseconds of CPU a connection; nil and what went wrong.
local function measure(run, name, names, number)
  local where = { directory = ("%s/traffic-%d"):format(run.directory, number), names = names,
    port = process.free_port(), target = process.free_port() }
  stat.mkdir(where.directory, 448)
  local argv = makes[name](where, run.options)
  if not argv then
    return nil, name .. " is not there"
  end
  local child = process.start(argv, { core = run.proxy_core, log = where.directory .. "/log" })
  local ready, err = process.await_port(where.port, child, 60)
  local text
  if ready then
    local client = process.start({ run.options.programs .. "/hello", "--port", tostring(where.port), "--target",
      tostring(where.target), "--domains", tostring(#names), "--watch", tostring(child.pid), "--milliseconds",
      run.options.quick and "500" or "1200" }, { core = run.client_core, output = true,
      log = where.directory .. "/client.log" })
    text, err = process.read(client, 30)
    process.finish(client, 5)
  end
  process.stop(child)
  local decoded, figures = pcall(cjson.decode, text or "")
  if not decoded or figures.errors > 0 then
    return nil, ("%s: %s (see %s)"):format(name, err or "connections failed", where.directory)
  end
  return figures.cpu_seconds / figures.units * 1e6
end

local function median(values)
  table.sort(values)
  return values[math.floor((#values + 1) / 2)]
end

local function read_names(run, count)
  local child = process.start({ run.options.programs .. "/hello", "--names", tostring(count) }, { output = true })
  local text = process.read(child, 30)
  process.finish(child, 5)
  local names = {}
  for name in text:gmatch "%S+" do
    names[#names + 1] = name
  end
  assert(#names == count)
  return names
end

---Measures and prints. True, or nil and what went wrong.
function traffic.run(run)
  print "\nTLS connections passed through by server name, CPU µs each (names in random order; medians)"
  print(("  %-10s %10s %12s %8s"):format("", "100 names", "100,000", "ratio"))
  local lists, costs, number = { read_names(run, COUNTS[1]), read_names(run, COUNTS[2]) }, {}, 0
  for _ = 1, run.options.rounds or (run.options.quick and 1 or 2) do
    for _, name in ipairs(NAMES) do
      costs[name] = costs[name] or { {}, {}, {} }
      local pair = {}
      for i, names in ipairs(lists) do
        number = number + 1
        local cost, err = measure(run, name, names, number)
        if not cost then
          return nil, err
        end
        pair[i] = cost
        table.insert(costs[name][i], cost)
      end
      table.insert(costs[name][3], pair[2] / pair[1])
    end
  end
  for _, name in ipairs(NAMES) do
    local small, large, ratio = median(costs[name][1]), median(costs[name][2]), median(costs[name][3])
    print(("  %-10s %10.1f %12.1f %8.2f"):format(name, small, large, ratio))
  end
  return true
end

return traffic
