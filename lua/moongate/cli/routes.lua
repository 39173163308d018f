-- SPDX-License-Identifier: MIT
--
-- `moongate routes`: the live routes in the order of choice; with a name, all of one.

local asking = require("moongate.cli.asking")
local output = require("moongate.cli.output")
local tables = require("moongate.cli.table")
local text = require("moongate.text")

local routes = { summary = "List the live routes, in the order in which they are chosen." }

local PATH, LIMIT = "/api/v1/routes", 1000

function routes.define(command)
  command:argument("name", "A route: all that is known of it."):args("?")
  command:option("--port", "Only those that this port may choose, in its order."):argname("N")
    :convert(asking.number("--port", 0, 65535))
  command:option("--file", "Only those of this route file."):argname("NAME.lua")
  asking.define_page(command, LIMIT)
  command:flag("--json", "Print the answer of " .. PATH .. ".")
end

---"80, 443, 8000-8010": runs of ports as ranges.
---@param list integer[]
---@return string
function routes.ports(list)
  local parts, at = {}, 1
  while list[at] do
    local last = at
    while list[last + 1] == list[last] + 1 do
      last = last + 1
    end
    if last - at > 1 then
      parts[#parts + 1] = ("%d-%d"):format(list[at], list[last])
    else
      for i = at, last do
        parts[#parts + 1] = tostring(list[i])
      end
    end
    at = last + 1
  end
  return table.concat(parts, ",")
end

local function target(one, asked)
  local host = one.host or (one.host_function and "(function)" or "?")
  local port = one.port_function and "(function)" or one.port == "preserve" and asked or one.port
  if host:sub(1, 5) == "unix:" or not port then
    return host
  end
  return (host:find(":", 1, true) and "[%s]:%s" or "%s:%s"):format(host, port)
end

---Those of its targets that have failed lately: "10.0.0.1:80 has failed (Connection refused, 3s ago), and is tried last
---for 2s"; nil: none has.
---@param action table of the API's answer
---@return string?
function routes.failed(action)
  local parts = {}
  for _, one in ipairs(action.targets or {}) do
    local failed = one.failed
    if failed then
      local ago, left = text.format_duration(math.floor(failed.seconds)), text.format_duration(math.ceil(failed.left))
      local last = failed.left > 0 and (", and is tried last for %s"):format(left) or ""
      parts[#parts + 1] = ("%s has failed (%s, %s ago)%s"):format(target(one), failed.error, ago, last)
    end
  end
  return #parts > 0 and table.concat(parts, "; ") or nil
end

---What a route does, in a few words: "handler", "10.0.0.1:80, 10.0.0.2:80", "by function".
---@param action table of the API's answer
---@param port integer? that the connection comes in on: what a target has that keeps it; nil: "preserve"
---@return string
function routes.action(action, port)
  if action.type == "handler" then
    return "handler"
  elseif action.target_function then
    return "target function"
  end
  local parts = {}
  for i, one in ipairs(action.targets or {}) do
    parts[i] = target(one, port)
  end
  return table.concat(parts, ",")
end

---What it matches besides its port.
---@param match table of the API's answer
---@return string?
function routes.match(match)
  local parts = {}
  local function add(label, values)
    if values and #values > 0 then
      parts[#parts + 1] = label .. table.concat(values, ",")
    end
  end
  add("", match.domains)
  add("from ", match.client_ip)
  add("TLS ", match.tls_version)
  if match.when then
    parts[#parts + 1] = "when()"
  end
  return #parts > 0 and table.concat(parts, " ") or nil
end

local COLUMNS = {
  { title = "ROUTE", least = 8, value = function(row) return row.name end },
  { title = "PORTS", least = 5, value = function(row) return routes.ports(row.ports or {}) end },
  { title = "PRIO", right = true, value = function(row) return row.priority end },
  { title = "MATCH", least = 8, value = function(row) return routes.match(row.match) or "any" end },
  { title = "TO", least = 8, value = function(row) return routes.action(row.action) end },
  { title = "OPEN", right = true, value = function(row) return row.connections and row.connections.active end },
  { title = "IN", right = true, value = function(row) return row.bytes and tables.size(row.bytes["in"]) end },
  { title = "OUT", right = true, value = function(row) return row.bytes and tables.size(row.bytes.out) end },
  {
    title = "WHERE",
    least = 8,
    value = function(row)
      return row.line > 0 and ("%s:%d"):format(row.file, row.line) or row.file
    end,
  },
}

---@param body table of the API's answer
---@param width? integer
---@return string
function routes.format(body, width)
  local lines = { tables.render(COLUMNS, body.routes, width) }
  lines[2] = tables.rest(#body.routes, body.offset or 0, body.total, "route")
  return table.concat(lines)
end

local function list(values)
  return values and #values > 0 and table.concat(values, ", ") or nil
end

---All of one route.
---@param row table of the API's answer
---@param width? integer
---@return string
function routes.describe(row, width)
  local match, action = row.match or {}, row.action or {}
  local connections, bytes = row.connections, row.bytes
  local version = row.version and ("version %d of the file"):format(row.version)
  return tables.labelled({
    { "route", row.name },
    { "description", row.description },
    { "tags", list(row.tags) },
    { "where", ("%s:%d%s"):format(row.file, row.line, version and ", " .. version or "") },
    { "note", row.stands_in and "the file has a fault: this is its last good version" or nil },
    { "ports", row.ports and routes.ports(row.ports) },
    { "address", match.address },
    { "priority", row.priority },
    { "domains", list(match.domains) or "any" },
    { "client_ip", list(match.client_ip) or "any" },
    { "tls_version", list(match.tls_version) },
    { "when", match.when and "a function" or nil },
    { "tls", action.tls },
    { "to", routes.action(action):gsub(",", ", ") .. "" },
    { "on_change", row.on_change },
    {
      "connections",
      connections and ("%d open, %d in all"):format(connections.active, connections.total),
    },
    {
      "bytes",
      bytes and ("%s in, %s out"):format(text.format_bytes(bytes["in"]), text.format_bytes(bytes.out)),
    },
  }, width)
end

function routes.run(options)
  local wanted = {
    route = options.name,
    port = options.port,
    file = options.file,
    limit = options.limit or LIMIT,
    offset = options.offset,
  }
  local path = asking.target(PATH, wanted, { "route", "port", "file", "limit", "offset" })
  local body, raw, _, code = asking.get(options.control, path)
  if not body then
    return asking.fail(raw, code)
  end
  local unknown, status = asking.unknown(body, "connections and bytes are without what it has done since")
  if options.name and body.total == 0 then
    if options.json then
      asking.print_raw(raw)
    end
    return asking.fail(("there is no live route \"%s\"; `moongate routes` lists them"):format(options.name))
  elseif options.json then
    asking.print_raw(raw)
    return status
  elseif options.name then
    output.write(routes.describe(body.routes[1]))
  elseif body.total == 0 then
    output.write("no live route\n")
  else
    output.write(routes.format(body))
  end
  output.write(unknown)
  return status
end

return routes
