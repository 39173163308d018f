-- SPDX-License-Identifier: MIT
--
-- The admin interface: which calls there are on admin.listen and on the control socket, by path and method, and what
-- reads the running state through moongate.native. Who may change something is admin/access.lua's, what is changed
-- admin/files.lua's.

local access = require "moongate.admin.access"
local answers = require "moongate.admin.answers"
local connections = require "moongate.admin.connections"
local diagnose = require "moongate.diagnose"
local drain = require "moongate.admin.drain"
local exposition = require "moongate.metrics.exposition"
local files = require "moongate.admin.files"
local http_server = require "moongate.http_server"
local json = require "moongate.json"
local native = require "moongate.native"
local questions = require "moongate.admin.questions"
local room = require "moongate.admin.room"
local route_rows = require "moongate.route_rows"
local texts = require "moongate.text"

local admin = {}

local MAX_HEAD, MAX_BODY, MAX_FILE = 16 * 1024, 64 * 1024, 8 * 1024 * 1024
local HEAD_SECONDS, IDLE_SECONDS = 10, 60
local STATUS_ROUTES = 100

local plain, fault = answers.plain, answers.fault

local function healthz()
  return plain(200, "ok\n")
end

-- One line for each worker that is stuck.
local function stuck_lines(stuck)
  local lines = {}
  for index, worker in ipairs(stuck) do
    local by = worker.accepted_by and ("; worker %d accepts for it"):format(worker.accepted_by)
    lines[index] = texts.stuck_worker(worker) .. (by or "") .. "\n"
  end
  return table.concat(lines)
end

-- Asked for all the time, and also when much is wrong: of native's answers the one whose cost does not grow.
local function readyz()
  local state = native.ask "readiness"
  if state.draining then
    return plain(503, "draining: moongate is stopping and takes no new connections\n")
  elseif not state.ready then
    local loading = state.loading and texts.loading(state.loading) .. "\n" or ""
    return plain(503, "not ready: moongate is starting, no route table is live yet\n" .. loading)
  end
  for _, worker in ipairs(state.stuck) do
    if not worker.accepted_by then
      return plain(503, "not ready: what comes to a worker that is stuck waits for it\n" .. stuck_lines(state.stuck))
    end
  end
  return plain(200, "ready\n" .. stuck_lines(state.stuck))
end

-- Lets the control thread do what else there is.
local function pause()
  require("moongate").sleep(0)
end

local function metrics(request)
  local open = (request.headers.accept or ""):lower():find("application/openmetrics-text", 1, true) ~= nil
  local snapshot = native.ask "snapshot"
  if snapshot.error or next(snapshot) == nil then
    return plain(503, "moongate is starting or stopping: nothing is counted\n")
  end
  local source = { snapshot = snapshot, status = native.ask "status", scripts = native.ask "metrics" }
  return {
    status = 200,
    body = exposition.render(source, pause, nil, open),
    headers = { ["Content-Type"] = open and exposition.open_content_type or exposition.content_type, Vary = "Accept" },
  }
end

-- Of the routes the first ones: /api/v1/routes tells all, page by page.
local function status_of_api()
  local totals, status = native.ask "totals", native.ask "status"
  status.routes = route_rows.brief(native.ask("routes", { limit = STATUS_ROUTES }).routes)
  status.files = files.as_json(status.files)
  status.faults = json.list(status.faults)
  status.config_faults, status.restart_needed = json.list(status.config_faults), json.list(status.restart_needed)
  status.ports, status.stuck, status.complete = json.list(status.ports), json.list(status.stuck), totals.complete
  if status.engine then
    status.engine.faults = json.list(status.engine.faults)
  end
  if status.dns then
    status.dns.stale_names = json.list(status.dns.stale_names)
    status.failed_targets.list = json.list(status.failed_targets.list)
  end
  if status.reload then
    status.reload.old_connections = totals.old_connections
    status.reload.lost_files = json.list(status.reload.lost_files)
  end
  status.connections = { active = totals.active, total = totals.connections, states = totals.states }
  status.bytes = { ["in"] = totals.bytes_in, out = totals.bytes_out }
  return answers.json(200, status)
end

local index

-- `calls` by method; HEAD is answered as GET is. `writes`, `writes_files`, `open`: see admin/access.lua. `max_body`:
-- bytes, when it is not MAX_BODY.
local function reading(path, text, answer, open)
  return { path = path, text = text, calls = { GET = { answer = answer, open = open } } }
end

local PAGES = {
  reading("/", "this page", function()
    return index()
  end),
  reading("/healthz", "200 while the process answers", healthz, "always"),
  reading("/readyz", "200 while new connections are taken, else 503 and why", readyz, "always"),
  reading("/metrics", "counters and gauges as Prometheus reads them", metrics, "metrics"),
  reading("/api/v1/status", "what is running, as JSON", status_of_api),
  reading("/api/v1/routes", "the live routes in the order of choice: ?route= ?file= ?port= ?limit= ?offset=",
    questions.routes),
  {
    path = "/api/v1/connections",
    text = "the connections: ?stuck=1 ?route= ?client= ?state= ?sort= and more, see the docs; DELETE: ends those",
    calls = {
      GET = { answer = connections.list },
      DELETE = { answer = connections.kill_many, writes = true },
    },
  },
  reading("/api/v1/addresses", "the addresses that the limits know: ?blocked=1 ?client= ?scope= ?route= ?sort=;"
    .. " ?traffic=1: what each has moved",
    questions.addresses),
  reading("/api/v1/explain", "which route a connection gets, and why: ?port= ?domain= ?client_ip= ?tls_version=",
    questions.explain),
  reading("/api/v1/files", "every route file: its state and its faults", files.list),
  {
    path = "/api/v1/reload",
    text = "POST: takes up what has changed in the config and the route files",
    calls = { POST = { answer = files.reload, writes = true } },
  },
  {
    path = "/api/v1/drain",
    text = "POST: stops in good order, and answers when it is done: ?timeout=",
    calls = { POST = { answer = drain.answer, writes = true } },
  },
  {
    path = "/api/v1/diagnose",
    text = "POST: keeps a snapshot of the connections as a file, and answers with it",
    calls = { POST = { answer = diagnose.respond, writes = true } },
  },
}

-- Those of one thing, whose name stands behind the prefix. `fault_of_name`: what is wrong with one.
local PAGES_OF_ONE = {
  {
    prefix = "/api/v1/connections/",
    path = "/api/v1/connections/ID",
    text = "DELETE: ends a connection",
    calls = { DELETE = { answer = connections.kill, writes = true } },
  },
  {
    prefix = "/api/v1/files/",
    path = "/api/v1/files/NAME.lua",
    text = "PUT, DELETE: checks a route file, then writes it; deletes it",
    fault_of_name = files.fault_of_name,
    calls = {
      PUT = { answer = files.put, writes = true, writes_files = true, max_body = MAX_FILE },
      DELETE = { answer = files.delete, writes = true, writes_files = true },
    },
  },
}

-- Those of a later version.
local LATER = { ["/api/v1/metrics"] = true, ["/api/v1/metrics/history"] = true }

local METHODS = { "GET", "POST", "PUT", "DELETE" }

local BY_PATH = {}
for _, page in ipairs(PAGES) do
  BY_PATH[page.path] = page
end

-- "GET", "HEAD"…
local function methods_of(page)
  local list = {}
  for _, method in ipairs(METHODS) do
    if page.calls[method] then
      list[#list + 1] = method
      list[#list + 1] = method == "GET" and "HEAD" or nil
    end
  end
  return list
end

-- The page of a path, and the name behind it where it is of one thing.
local function page_of(path)
  for _, page in ipairs(PAGES_OF_ONE) do
    if path:sub(1, #page.prefix) == page.prefix then
      return page, path:sub(#page.prefix + 1)
    end
  end
  return BY_PATH[path]
end

-- The call that a request asks for, and the name of its file, or connection, if any; or nil and the response that
-- refuses it. Needs the head only.
local function find(request, channel)
  local page, name = page_of(request.path)
  if LATER[request.path] then
    return nil, fault(501, ("%s is not in this version; /metrics is"):format(request.path))
  elseif not page then
    return nil, fault(404, ("there is nothing at %s; / lists what there is"):format(request.path))
  end
  local call = page.calls[request.method == "HEAD" and "GET" or request.method]
  if not call then
    local methods = methods_of(page)
    local known = table.concat(methods, " and ")
    local message = ("%s does not answer %s, only %s"):format(request.path, request.method, known)
    return nil, fault(405, message, { Allow = table.concat(methods, ", ") })
  end
  local refusal = access.refusal(request, channel, call)
  local wrong = not refusal and page.fault_of_name and page.fault_of_name(name)
  if refusal or wrong then
    return nil, refusal or fault(400, ("%q: %s"):format(name, wrong))
  end
  local most = call.max_body or MAX_BODY
  if request.length and request.length > most then
    return nil, fault(413, ("the body of this call has at most %d bytes"):format(most))
  elseif not request.length and most < MAX_FILE then
    return nil, fault(411, "this call takes no body of unknown length: send Content-Length")
  end
  return call, name
end

function index()
  local rows = {}
  for position, page in ipairs(PAGES) do
    local path = page.calls.GET and ('<a href="%s">%s</a>'):format(page.path, page.path) or page.path
    rows[position] = ("<tr><td>%s</td><td>%s</td></tr>"):format(path, page.text)
  end
  for _, page in ipairs(PAGES_OF_ONE) do
    rows[#rows + 1] = ("<tr><td>%s</td><td>%s</td></tr>"):format(page.path, page.text)
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
]]):format(tostring(native.defaults().version), table.concat(rows, "\n")),
  }
end

local function finish(response)
  response.headers["Cache-Control"] = "no-store"
  response.headers["X-Content-Type-Options"] = "nosniff"
  return response
end

-- What a call comes to is told elsewhere; by whom it was asked is told nowhere else.
local function note(request, channel, response)
  local fields = { method = request.method, path = request.path, by = channel, client = request.peer }
  fields.query, fields.status = request.query ~= "" and request.query or nil, response.status
  require("moongate").log.info("the admin interface was asked for a change", fields)
end

--- The response to a request that came on "control" (the control socket) or "tcp" (admin.listen).
function admin.answer(request, channel)
  assert(channel == "control" or channel == "tcp", "the channel is control or tcp")
  local call, other = find(request, channel)
  local response = finish(call and call.answer(request, other) or other)
  if call and call.writes then
    note(request, channel, response)
  end
  return response
end

--- Serves one connection until it ends, and closes it. `options`: see moongate.http_server.
function admin.serve(socket, channel, options)
  local now = options and options.now or require("moongate").now
  local place = room.enter(socket, channel, now)
  local patience = place:patience()
  local peer = channel == "tcp" and socket.getpeername and socket:getpeername() or nil
  local settings = {
    max_head = MAX_HEAD,
    max_body = MAX_FILE,
    head_timeout = HEAD_SECONDS * patience,
    idle_timeout = IDLE_SECONDS * patience,
  }
  function settings.on_head(request)
    request.peer = peer
    local call, refusal = find(request, channel)
    return not call and finish(refusal) or nil
  end
  function settings.on_refusal(status, reason)
    return finish(fault(status, reason))
  end
  for name, value in pairs(options or {}) do
    settings[name] = value
  end
  local done, failure = pcall(http_server.serve, socket, function(request)
    place:ask()
    request.peer = peer
    local response = admin.answer(request, channel)
    place:answered()
    return response
  end, settings)
  place:leave()
  socket:close()
  if not done then
    error(failure, 0)
  end
end

return admin
