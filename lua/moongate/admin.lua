-- SPDX-License-Identifier: MIT
--
-- The admin interface: what is answered on admin.listen and on the control socket. It reads snapshots through
-- moongate.native and changes nothing.

local exposition = require "moongate.metrics.exposition"
local http_server = require "moongate.http_server"
local json = require "moongate.json"
local native = require "moongate.native"

local admin = {}

local MAX_HEAD, MAX_BODY = 16 * 1024, 64 * 1024

local function plain(status, text)
  return { status = status, body = text, headers = { ["Content-Type"] = "text/plain; charset=utf-8" } }
end

local function as_json(status, value, headers)
  headers = headers or {}
  headers["Content-Type"] = "application/json"
  return { status = status, body = json.encode(value) .. "\n", headers = headers }
end

local function fault(status, message, headers)
  return as_json(status, { error = { status = status, message = message } }, headers)
end

local function healthz()
  return plain(200, "ok\n")
end

local function readyz()
  local status = native.status()
  if status.draining then
    return plain(503, "draining: moongate is stopping and takes no new connections\n")
  elseif not status.ready then
    return plain(503, "not ready: no route table is live yet\n")
  end
  return plain(200, "ready\n")
end

local function metrics()
  local source = { snapshot = native.snapshot(), status = native.status() }
  return {
    status = 200,
    body = exposition.render(source),
    headers = { ["Content-Type"] = exposition.content_type },
  }
end

local function sum(routes, field)
  local total = 0
  for _, route in ipairs(routes) do
    total = total + route[field]
  end
  return total
end

local function status_of_api()
  local snapshot, status = native.snapshot(), native.status()
  status.routes, status.files = json.list(status.routes), json.list(status.files)
  for _, route in ipairs(status.routes) do
    route.ports = json.list(route.ports)
  end
  for _, file in ipairs(status.files) do
    file.faults = json.list(file.faults)
  end
  status.connections = { active = snapshot.active, total = snapshot.connections }
  status.bytes = { ["in"] = sum(snapshot.routes, "bytes_in"), out = sum(snapshot.routes, "bytes_out") }
  return as_json(200, status)
end

local index

-- Calls that change something will say so here, and on which channels they are answered.
local PAGES = {
  {
    path = "/",
    text = "this page",
    answer = function()
      return index()
    end,
  },
  { path = "/healthz", text = "200 while the process answers", answer = healthz },
  { path = "/readyz", text = "200 while new connections are taken, else 503 and why", answer = readyz },
  { path = "/metrics", text = "counters and gauges as Prometheus reads them", answer = metrics },
  { path = "/api/v1/status", text = "what is running, as JSON", answer = status_of_api },
}

local BY_PATH = {}
for _, page in ipairs(PAGES) do
  BY_PATH[page.path] = page
end

function index()
  local rows = {}
  for position, page in ipairs(PAGES) do
    rows[position] = ('<tr><td><a href="%s">%s</a></td><td>%s</td></tr>'):format(page.path, page.path, page.text)
  end
  return {
    status = 200,
    headers = { ["Content-Type"] = "text/html; charset=utf-8" },
    body = ([[
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>moongate</title>
<h1>moongate %s</h1>
<table>
%s
</table>
</html>
]]):format(tostring(native.status().version), table.concat(rows, "\n")),
  }
end

--- The response to a request that came on "control" (the control socket) or "tcp" (admin.listen).
function admin.answer(request, channel)
  assert(channel == "control" or channel == "tcp", "the channel is control or tcp")
  local page = BY_PATH[request.path]
  local response
  if not page then
    response = fault(404, ("there is nothing at %s; / lists what there is"):format(request.path))
  elseif request.method ~= "GET" and request.method ~= "HEAD" then
    local message = ("%s does not answer %s, only GET and HEAD"):format(request.path, request.method)
    response = fault(405, message, { Allow = "GET, HEAD" })
  else
    response = page.answer(request)
  end
  response.headers["Cache-Control"] = "no-store"
  response.headers["X-Content-Type-Options"] = "nosniff"
  return response
end

--- Serves one connection until it ends, and closes it. `options`: see moongate.http_server.
function admin.serve(socket, channel, options)
  local settings = { max_head = MAX_HEAD, max_body = MAX_BODY }
  for name, value in pairs(options or {}) do
    settings[name] = value
  end
  local done, failure = pcall(http_server.serve, socket, function(request)
    return admin.answer(request, channel)
  end, settings)
  socket:close()
  if not done then
    error(failure, 0)
  end
end

return admin
