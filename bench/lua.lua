-- SPDX-License-Identifier: MIT
--
-- The scenarios of `bench/run lua`: Lua that answers HTTP by itself, in moongate as a socket handler of a few lines and
-- by moongate.handlers.http, and in nginx by its Lua module, which compiles what it runs.

local unistd = require "posix.unistd"
local proxies = require "proxies"
local tcp = require "tcp"

local module_directory = "/usr/lib/nginx/modules/"

-- Reads the lines of a request up to the empty one, answers, and goes on: the least that the client here needs.
local RAW = [[
local answer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 128\r\n\r\n"
handler = function(socket)
  socket:settimeout(60)
  while true do
    local line = socket:receive("*l")
    if not line then return end
    local path = line:match("^GET (%S+) HTTP/1%.[01]$")
    repeat line = socket:receive("*l") until not line or line == ""
    socket:send({ answer, (path .. (" "):rep(128)):sub(1, 128) })
  end
end
]]

local HTTP = [[
handler = moongate.handlers.http(function(request)
  return (request.path .. (" "):rep(128)):sub(1, 128)
end)
]]

local NGINX = [[
load_module %sndk_http_module.so;
load_module %sngx_http_lua_module.so;
daemon off;
master_process off;
worker_processes 1;
pid %s/nginx.pid;
error_log stderr error;
events {
  worker_connections 19000;
}
http {
  access_log off;
  keepalive_requests 1000000000;
  lua_load_resty_core on;
  client_body_temp_path %s;
  proxy_temp_path %s;
  fastcgi_temp_path %s;
  uwsgi_temp_path %s;
  scgi_temp_path %s;
  server {
    listen 127.0.0.1:%d;
    location / {
      default_type text/plain;
      content_by_lua_block {
        ngx.header["Content-Length"] = 128
        ngx.print((ngx.var.uri .. (" "):rep(128)):sub(1, 128))
      }
    }
  }
}
]]

local function moongate(text)
  return function(environment, directory, port, target_port, admin_port)
    local argv, err = proxies.moongate(environment, directory, port, target_port, admin_port)
    if not argv then
      return nil, err
    end
    local file = assert(io.open(directory .. "/routes/bench.lua", "w"))
    file:write("local handler\n", text, ([[
return { name = "bench", match = { ports = %d, address = "127.0.0.1" }, action = { handler = handler } }
]]):format(port))
    file:close()
    return argv
  end
end

local function nginx(environment, directory, port, target_port)
  local argv, err = proxies.nginx(environment, directory, port, target_port)
  if not argv then
    return nil, err
  end
  if not unistd.access(module_directory .. "ngx_http_lua_module.so", "r") then
    return nil, "nginx's Lua module is not there (package libnginx-mod-http-lua)"
  end
  local file = assert(io.open(directory .. "/nginx.conf", "w"))
  local own = directory
  file:write(NGINX:format(module_directory, module_directory, own, own, own, own, own, own, port))
  file:close()
  return argv
end

local makes = { ["moongate socket"] = moongate(RAW), ["moongate http"] = moongate(HTTP), ["nginx lua"] = nginx }

local small = tcp[1]

return {
  {
    name = "lua http",
    title = "Lua answers HTTP: 64 connections with keep-alive, 128 bytes each",
    cost_title = small.cost_title, cost_format = small.cost_format, beside = small.beside,
    proxies = { "moongate socket", "moongate http", "nginx lua" }, peers = { "nginx lua" },
    makes = makes, measure = small.measure, rounds = { 5, 3 },
    targets = {
      { against = "nginx lua", of = "moongate socket", bound = 1.00, goal = 0.90 },
      { against = "nginx lua", of = "moongate http", goal = 0.90 },
    },
  },
}
