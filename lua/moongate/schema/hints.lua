-- SPDX-License-Identifier: MIT
--
-- What to say of a field that the schema doesn't have: where it belongs, what it is called here, which one was meant.
-- It knows the words of other proxies.

local text = require("moongate.text")

local hints = {}

local PORTS = { "match.ports", "say where it listens with match = { ports = 443 }" }
local TARGET = { "action.target", 'say where it forwards to with action = { target = "host:port" }' }
local TARGETS = {
  "action.targets",
  "say where it forwards to with action = { targets = { … } }, or target for a single one",
}
local DOMAINS = { "match.domains", 'names of sites are match = { domains = "example.com" }' }
local TLS = { "action.tls", 'TLS is forwarded as it is by action = { tls = { mode = "passthrough" } }' }
local CERTIFICATE = {
  "action.tls",
  'moongate has no certificates in this version: action = { tls = { mode = "passthrough" } } forwards TLS as it is',
}
local CLIENTS = { "match.client_ip", 'where clients come from is match = { client_ip = "10.0.0.0/8" }' }
local TIMEOUTS = { "timeouts", 'say which: timeouts = { connect = "5s", idle = "10m" }' }
local IDLE = {
  "timeouts.idle",
  "both sides have one time: timeouts.idle while nothing moves, timeouts.half_dead once one of them has ended",
}
local INITIAL = {
  "timeouts.initial_data",
  "the wait for a client's first bytes is timeouts = { initial_data = \"10s\" }",
}
local ALLOW = { "security.ip_allow", 'those who may connect are security = { ip_allow = "10.0.0.0/8" }' }
local BLOCK = { "security.ip_block", 'those who may not connect are security = { ip_block = "10.0.0.0/8" }' }
local PER_IP = { "limits.connections_per_ip", "of one address it is limits = { connections_per_ip = 100 }" }
local CONNECTIONS = { "limits.connections", "of all routes together it is limits = { connections = 1000 }" }
local ROUTE_CONNECTIONS = { "security.max_connections", "of one route it is security = { max_connections = 100 }" }
local WORKERS = { "workers", "did you mean workers?" }
local SERVICE = { nil, "moongate runs in the foreground: use the service manager for that" }
local STANDARD_ERROR = { nil, "the log goes to standard error: the service manager keeps it" }
local A_ROUTE = { nil, "that is a route's: it belongs into a file in routes/" }

-- By what is described, then by the field, alone or after its table: the field that is meant (nil: none), what to say.
local WORDS = {
  route = {
    listen = PORTS,
    port = PORTS,
    listen_port = PORTS,
    ["match.port"] = { "match.ports", 'did you mean "ports"?' },
    bind = { "match.ports", 'say where it listens with match = { address = "127.0.0.1", ports = 443 }' },
    upstream = TARGET,
    backend = TARGET,
    proxy_pass = TARGET,
    forward = TARGET,
    to = TARGET,
    server = TARGET,
    ["action.host"] = TARGET,
    ["action.address"] = TARGET,
    upstreams = TARGETS,
    backends = TARGETS,
    servers = TARGETS,
    host = DOMAINS,
    hosts = DOMAINS,
    hostname = DOMAINS,
    server_name = DOMAINS,
    domain = DOMAINS,
    sni = DOMAINS,
    source = CLIENTS,
    source_ip = CLIENTS,
    remote_ip = CLIENTS,
    clients = CLIENTS,
    location = { "match.path", "paths are match.path, which this version does not support" },
    ssl = TLS,
    passthrough = TLS,
    cert = CERTIFICATE,
    certificate = CERTIFICATE,
    timeout = TIMEOUTS,
    type = { nil, "leave it out: `target` forwards, `handler` answers itself" },
    lb = { "action.balance", 'the way to choose a target is action = { balance = "round-robin" }' },
    load_balancing = { "action.balance", 'the way to choose a target is action = { balance = "round-robin" }' },
    redirect = { "action.handler", "redirect with action = { handler = moongate.handlers.http_redirect(…) }" },
    ["return"] = { "action.handler", "answer with action = { handler = moongate.handlers.http_response { … } }" },
    ["function"] = { "action.handler", "a function that answers is action = { handler = function(socket) … end }" },
    maxconn = ROUTE_CONNECTIONS,
    max_conns = ROUTE_CONNECTIONS,
    deny = BLOCK,
    allow = ALLOW,
    ["security.deny"] = BLOCK,
    ["security.allow"] = ALLOW,
    ["security.whitelist"] = ALLOW,
    ["security.blacklist"] = BLOCK,
  },
  config = {
    listen = { nil, "routes listen: match = { ports = 443 } in a file in routes/; the admin's is admin.listen" },
    port = A_ROUTE,
    ports = A_ROUTE,
    match = A_ROUTE,
    action = A_ROUTE,
    target = A_ROUTE,
    handler = A_ROUTE,
    upstream = A_ROUTE,
    backend = A_ROUTE,
    server = A_ROUTE,
    threads = WORKERS,
    nbthread = WORKERS,
    nbproc = WORKERS,
    worker_processes = WORKERS,
    maxconn = CONNECTIONS,
    worker_connections = CONNECTIONS,
    ["limits.maxconn"] = CONNECTIONS,
    daemon = SERVICE,
    pidfile = SERVICE,
    pid = SERVICE,
    chroot = SERVICE,
    uid = { "user", "did you mean user?" },
    gid = { "group", "did you mean group?" },
    error_log = STANDARD_ERROR,
    ["log.file"] = STANDARD_ERROR,
    ["log.path"] = STANDARD_ERROR,
    ["log.output"] = STANDARD_ERROR,
    resolver = { nil, 'name servers are dns = { servers = "192.0.2.1" }' },
    ["timeout"] = TIMEOUTS,
    ["security.deny"] = BLOCK,
    ["security.allow"] = ALLOW,
    ["security.max_connections"] = { "limits.connections", "of all routes it is limits = { connections = 1000 }" },
    ["security.max_connections_per_ip"] = PER_IP,
    ["security.connection_rate"] = { "limits.connection_rate", 'it is limits = { connection_rate = { 300, "60s" } }' },
    ["limits.max_connections"] = { "limits.connections", 'did you mean "connections"?' },
    ["limits.max_connections_per_ip"] = PER_IP,
    log_level = { nil, 'did you mean log = { level = "info" }?' },
  },
}

for _, words in pairs(WORDS) do
  for _, name in ipairs({ "client", "server", "send", "read", "tunnel" }) do
    words["timeouts." .. name] = IDLE
  end
  words["timeouts.client_fin"], words["timeouts.server_fin"] = IDLE, IDLE
  words["timeouts.http_request"], words["timeouts.request"] = INITIAL, INITIAL
end

-- Where such a word means the same.
local PLAIN = { [""] = true, match = true, action = true }

---The names of some fields, sorted.
---@param fields table<string, table>
---@return string[]
function hints.names(fields)
  local names = {}
  for name in pairs(fields) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

-- The path of a field of that very name somewhere in the schema, but not in the table `but`; its descriptor.
local function find_elsewhere(name, fields, but, prefix)
  for _, field in ipairs(hints.names(fields)) do
    if field == name and fields ~= but then
      return prefix .. field, fields[field]
    end
  end
  for _, field in ipairs(hints.names(fields)) do
    if fields[field].fields then
      local found, descriptor = find_elsewhere(name, fields[field].fields, but, prefix .. field .. ".")
      if found then
        return found, descriptor
      end
    end
  end
end

-- The path of the field elsewhere that is called nearly so.
local function find_near(name, fields, prefix)
  local found = {}
  local function collect(inner, before)
    for _, field in ipairs(hints.names(inner)) do
      found[field] = found[field] or before .. field
      if inner[field].fields then
        collect(inner[field].fields, before .. field .. ".")
      end
    end
  end
  collect(fields, prefix)
  local near = text.nearest(name, hints.names(found))
  return near and found[near]
end

-- "match = { ports = … }" for "match.ports".
local function as_written(path)
  local words = {}
  for word in path:gmatch("[^.]+") do
    words[#words + 1] = word
  end
  return table.concat(words, " = { ") .. " = …" .. (" }"):rep(#words - 1)
end

local function belongs(path, descriptor, kind)
  if descriptor.type == "unsupported" then
    return ("unknown field here, and %s is not supported in this version"):format(path)
  end
  local parent = path:match("^(.*)%.[^.]+$")
  if not parent then
    local place = kind == "route" and "to the route itself, beside match and action" or "at the top of the config"
    return ("unknown field here, it belongs %s"):format(place)
  end
  return ("unknown field here, it belongs into %s: %s"):format(parent, as_written(path))
end

---@param key string
---@param fields table<string, table> that are known where it stands
---@param place string the path of what it stands in, "" for the root
---@param root table what is described: the schema's route or config
---@return string message
---@return string|nil meant the path of the field that was meant, where it is clear
---@return boolean|nil is_clear it is that field under another name: what stands here may stand there
function hints.unknown(key, fields, place, root)
  local words = WORDS[root.kind] or {}
  local prefix = place ~= "" and place .. "." or ""
  local word = words[prefix .. key] or (PLAIN[place] and words[key])
  if word then
    return "unknown field, " .. word[2], word[1], word[2]:find("did you mean", 1, true) ~= nil
  end
  local path, descriptor = find_elsewhere(key, root.fields, fields, "")
  if path then
    return belongs(path, descriptor, root.kind), path
  end
  local near = text.nearest(key, hints.names(fields))
  if near then
    return ('unknown field, did you mean "%s"?'):format(near), prefix .. near, true
  end
  near = find_near(key, root.fields, "")
  if near then
    return ('unknown field, did you mean "%s"?'):format(near), near
  end
  return "unknown field, known here: " .. table.concat(hints.names(fields), ", ")
end

return hints
